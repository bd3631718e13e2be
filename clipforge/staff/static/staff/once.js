// A second click while a form is under way is held back. The server does so too: this only spares
// people the page that says so.
"use strict";
for (const form of document.querySelectorAll("form.cf-form")) {
  form.addEventListener("submit", (event) => {
    if (form.dataset.sent) event.preventDefault();
    form.dataset.sent = "yes";
  });
}
// Going back shows the page as it was left.
window.addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("form.cf-form")) delete form.dataset.sent;
});
