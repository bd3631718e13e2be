// What Swagger UI leaves out for who reads its page by ear: the name of its choice of a server; and links
// inside of buttons, which do what the button does, are no links.
"use strict";
new MutationObserver(() => {
  document.getElementById("servers")?.setAttribute("aria-label", "Server");
  for (const link of document.querySelectorAll(".opblock-summary-control a[href]")) link.removeAttribute("href");
}).observe(document.getElementById("swagger-ui"), { childList: true, subtree: true });
