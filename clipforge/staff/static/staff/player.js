// A place in the video that is pressed is played here; without scripts, the page is loaded again for it.
"use strict";

document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-at]");
  const player = document.getElementById("player");
  if (!link || !player) return;
  event.preventDefault();
  player.currentTime = Number(link.dataset.at);
  player.focus();
});
