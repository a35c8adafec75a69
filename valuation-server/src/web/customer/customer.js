// The page works without this. With it a form is sent, and its answer shown, without a reload: the
// server renders the page in both cases.
"use strict";

// As people type a mark: "ab12 cde". Shown in the field before it is sent.
const normalised = (mark) => mark.toUpperCase().replace(/\s+/g, "");

async function send(form) {
  const button = form.querySelector("button");
  // A second press does nothing while the first is under way.
  if (button.getAttribute("aria-disabled") === "true") return;
  button.setAttribute("aria-disabled", "true");
  form.elements.vrm.value = normalised(form.elements.vrm.value);
  document.getElementById("status").textContent = "Asking for a valuation…";
  try {
    const answer = await fetch(form.action, {
      method: "POST",
      body: new URLSearchParams(new FormData(form)),
      headers: { accept: "text/html" },
    });
    show(await answer.text());
  } catch {
    document.getElementById("status").textContent =
      "The server can't be reached. What you entered is kept: try again.";
    button.removeAttribute("aria-disabled");
  }
}

function show(html) {
  const page = new DOMParser().parseFromString(html, "text/html");
  document.title = page.title;
  document.getElementById("main").replaceWith(page.getElementById("main"));
  const next = document.querySelector("[aria-invalid], #trouble, #result");
  if (next) next.focus();
}

document.addEventListener("submit", (event) => {
  event.preventDefault();
  send(event.target);
});

document.addEventListener("focusout", (event) => {
  if (event.target.id === "vrm") event.target.value = normalised(event.target.value);
});
