// Sends an operator's orders, each confirmed in words.
"use strict";

const element = (name, properties) => Object.assign(document.createElement(name), properties);
const unreachable = "The server can't be reached. When it can, see above what is in force.";

async function send(method, failover, path, body) {
  const headers = { "content-type": "application/json" };
  const url = `/admin/failovers/${encodeURIComponent(failover)}${path}`;
  const answer = await fetch(url, { method, headers, body: JSON.stringify(body) });
  if (answer.status === 401) location.assign("/");
  // A proxy's error page is no JSON.
  const json = await answer.json().catch(() => null);
  if (answer.ok && json) return json;
  const detail = `The answer could not be understood (status ${answer.status}): see above what is in force.`;
  throw json?.detail ? json : { detail };
}

// An error stands beside its field, or else at the end of the form.
function fail(form, { field, detail }) {
  const input = form.querySelector(`[name="${CSS.escape(field ?? "")}"]`);
  const error = element("p", { className: "error", textContent: detail, role: "alert" });
  (input?.closest(".field, fieldset") ?? form).append(error);
  if (input) input.ariaInvalid = "true";
  input?.closest("details")?.setAttribute("open", "");
  (input ?? form.querySelector("button")).focus();
}

function clear(form) {
  form.querySelectorAll(".error").forEach((error) => error.remove());
  form.querySelectorAll("[aria-invalid]").forEach((input) => { input.ariaInvalid = null; });
}

// For which nodes, in a fleet: nothing without one. An error if nobody has chosen.
function scope(card) {
  const choice = card.querySelector("[data-scope]");
  if (!choice) return {};
  clear(choice);
  const chosen = choice.querySelector(":checked")?.value;
  if (chosen) return { scope: chosen };
  const [first] = choice.querySelectorAll("input");
  choice.append(element("p", { className: "error", textContent: "Choose this node alone or the whole fleet.", role: "alert" }));
  first.ariaInvalid = "true";
  first.focus();
}

const nodes = ({ scope }) => ({ node: ["On this node alone."], fleet: ["On all nodes of the fleet."] })[scope] ?? [];

// Says in words what will happen, and does it if the operator confirms.
function confirm(title, yes, lines, act, form) {
  const dialog = byId("confirm");
  byId("confirm-title").textContent = title;
  byId("confirm-yes").textContent = yes;
  byId("confirm-error").textContent = "";
  byId("confirm-text").replaceChildren(...lines.map((textContent) => element("li", { textContent })));
  let busy = false;
  dialog.querySelector("form").onsubmit = async (event) => {
    if (event.submitter?.value !== "yes") return;
    event.preventDefault();
    if (busy) return;
    busy = true;
    try {
      await act();
      dialog.close();
    } catch (error) {
      if (form?.elements[error.field]) {
        dialog.close();
        fail(form, error);
      } else byId("confirm-error").textContent = error.detail ?? unreachable;
    }
    busy = false;
  };
  dialog.showModal();
}

function force(form, { failover, primary, fallback, rescue }) {
  const order = Object.fromEntries(new FormData(form));
  const missing = [
    ["updateState", "Choose the provider that is asked."],
    ["for", "Choose an end, or explicitly “until I release it”."],
    ["reason", "Say why: the page and the log show it."],
  ].find(([field]) => !order[field]?.trim());
  if (missing) return fail(form, { field: missing[0], detail: missing[1] });
  const meant = scope(form.closest(".card"));
  if (!meant) return;
  Object.assign(order, meant);
  const [to, other] = order.updateState === "FORCE_FALLBACK" ? [fallback, primary] : [primary, fallback];
  const end = form.elements.for.selectedOptions[0].textContent;
  if (order.for === "release") delete order.for;
  const failed = rescue === "on" ? `; a failed one is still rescued by ${other}` : `, and none to ${other}`;
  confirm(`Send all calls to ${to} first?`, `Force ${to}`, [
    `All calls go to ${to} first, however often it fails${failed}.`,
    order.for ? `It ends by itself after ${end}.` : "It does not end by itself: somebody must release it.",
    ...nodes(meant),
    `Reason: ${order.reason}`,
  ], async () => {
    await send("POST", failover, "", order);
    form.reset();
    now();
  }, form);
}

async function policy(form, { failover }) {
  try {
    // Another operator may have changed the policy since the page was loaded.
    inForce(form, (await send("GET", failover, "")).policy);
    const changed = [...form.querySelectorAll(".settings input")].filter((input) => input.value !== input.defaultValue);
    if (changed.length === 0) return fail(form, { detail: "These values are in force. Change a setting first." });
    const meant = scope(form);
    if (!meant) return;
    const persist = form.elements.persist.checked;
    const settings = Object.fromEntries(changed.map((input) => [input.name, input.value]));
    const { wouldTrip, because } = await send("PUT", failover, "/policy?preview", settings);
    const verdict = wouldTrip ? "By it calls would change to the fallback at once" : "By it the route stays as it is";
    confirm("Change the policy?", "Change it", [
      ...changed.map((input) => `${input.name}: from ${input.defaultValue} to ${input.value}`),
      `${verdict}: ${because}`,
      ...nodes(meant),
      persist ? "It is saved, and stays after a restart." : "It lasts until the restart.",
    ], async () => {
      await send("PUT", failover, "/policy", { ...settings, ...meant, persist });
      location.reload();
    }, form);
  } catch (error) {
    fail(form, error.detail ? error : { detail: unreachable });
  }
}

document.addEventListener("submit", (event) => {
  const form = event.target;
  const act = { force, policy }[form.dataset.form];
  if (!act) return;
  event.preventDefault();
  clear(form);
  act(form, form.closest("[data-failover]").dataset);
});

document.addEventListener("click", ({ target }) => {
  const updateState = target.dataset.command;
  if (!updateState) return;
  const meant = scope(target.closest(".card"));
  if (!meant) return;
  const { failover, primary } = target.closest("[data-failover]").dataset;
  const [title, yes, lines] = updateState === "AUTO"
    ? ["Release the forced route?", "Release it", [
      `If a route is forced, that ends: calls go to ${primary}, counts start from zero, and the policy decides again.`,
      "Otherwise nothing changes.",
    ]]
    : [`Reset to ${primary}?`, "Reset it", [
      "A forced route and the time on the fallback end.",
      `Calls go to ${primary}, and counts start from zero.`,
    ]];
  confirm(title, yes, [...lines, ...nodes(meant)], async () => {
    await send("POST", failover, "", { updateState, ...meant });
    now();
  });
});
