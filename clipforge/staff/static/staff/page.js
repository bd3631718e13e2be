// What pages say beyond their text: of each time, where the pointer rests on it, when that was for who reads
// it; and the names and stops that what Django's scripts draw leaves out.
"use strict";
(() => {
  const MOMENT = /\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC/;
  const main = document.getElementById("content");
  if (!main) return;

  // What is written as plain text, in the lists of Django too, becomes a time like the others.
  const texts = [];
  const walker = document.createTreeWalker(main, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    if (!walker.currentNode.parentElement.closest("time, textarea, option, title")) texts.push(walker.currentNode);
  }
  for (const first of texts) {
    for (let text = first, found; (found = MOMENT.exec(text.data)); ) {
      const start = text.splitText(found.index);
      text = start.splitText(found[0].length);
      const time = document.createElement("time");
      time.dateTime = found[0].replace(" UTC", "Z").replace(" ", "T");
      start.replaceWith(time);
      time.append(start);
    }
  }
  for (const time of main.querySelectorAll("time")) {
    const at = new Date(time.dateTime);
    if (!time.dateTime.includes("T") || Number.isNaN(at.valueOf())) continue;
    time.title = `${at.toLocaleString(undefined, { dateStyle: "full", timeStyle: "long" })}, where you are`;
  }
})();

// After Django's own scripts, which draw these when all is loaded.
addEventListener("load", () => setTimeout(() => {
  for (const box of document.querySelectorAll(".select2-selection")) {
    const field = box.closest(".select2-container")?.previousElementSibling;
    const label = field?.labels?.[0];
    if (!label) continue;
    label.id ||= `${field.id}_label`;
    box.querySelector(".select2-selection__rendered")?.setAttribute("aria-labelledby", label.id);
    box.setAttribute("aria-labelledby", `${label.id} ${box.getAttribute("aria-labelledby") ?? ""}`.trim());
  }
  for (const sign of document.querySelectorAll(".help-tooltip[aria-label]")) sign.setAttribute("role", "img");
  for (const wide of document.querySelectorAll(".inline-group, #changelist-form .results")) {
    if (wide.scrollWidth > wide.clientWidth) wide.tabIndex = 0;
  }
}));
