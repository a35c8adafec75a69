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
  const mark = form.elements.vrm.value;
  const status = document.getElementById("status");
  status.textContent = "Asking for a valuation…";
  try {
    const answer = await fetch(form.action, {
      method: "POST",
      body: new URLSearchParams(new FormData(form)),
      headers: { accept: "text/html" },
    });
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    // A proxy may have answered instead of the server.
    if (!page.querySelector("main")) throw new Error(`status ${answer.status}`);
    show(page);
    // The address of the result can be sent to somebody, and "back" leads to the form.
    if (answer.ok) history.pushState(null, "", "/?vrm=" + encodeURIComponent(mark));
  } catch (error) {
    const why =
      error instanceof TypeError ? "can't be reached" : `gave no usable answer (${error.message})`;
    status.textContent = `The server ${why}. What you entered is kept: try again.`;
    button.removeAttribute("aria-disabled");
  }
}

function show(page) {
  document.querySelector("main").replaceWith(page.querySelector("main"));
  document.title = page.title;
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

addEventListener("popstate", () => location.reload());
