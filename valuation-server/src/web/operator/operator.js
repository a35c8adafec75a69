// Puts the parts that the server renders in their places. It formats nothing itself.
"use strict";

const byId = (id) => document.getElementById(id);
const tags = {};
let shown = new Date();

// Fields nobody has changed show the settings in force; a changed one keeps what is typed.
function inForce(form, settings) {
  for (const [name, value] of Object.entries(settings)) {
    const input = form.elements[name];
    if (!input || input.defaultValue === value) continue;
    const untouched = input.value === input.defaultValue;
    input.defaultValue = value;
    if (untouched) input.value = value;
  }
}

// One update: true if the server answered. 304: nothing has changed.
async function update(path) {
  const headers = tags[path] ? { "if-none-match": tags[path] } : {};
  const answer = await fetch(path, { headers, cache: "no-store", signal: AbortSignal.timeout(5000) });
  if (answer.status === 401) location.assign("/");
  if (answer.status !== 304 && !answer.ok) throw new Error(`status ${answer.status}`);
  shown = new Date(answer.headers.get("date") ?? Date.now());
  if (answer.status === 304) return;
  const { title, settings, parts } = await answer.json();
  let skipped = false;
  for (const [id, html] of Object.entries(parts)) {
    const part = byId(id);
    if (!part || part.rendered === html) continue;
    // Not under the reader's hands: at the next update.
    if (part.contains(document.activeElement)) skipped = true;
    else [part.innerHTML, part.rendered] = [html, html];
  }
  for (const [failover, values] of Object.entries(settings ?? {}))
    inForce(document.querySelector(`[data-failover="${CSS.escape(failover)}"] [data-form="policy"]`), values);
  if (title) document.title = title;
  tags[path] = skipped ? undefined : answer.headers.get("etag");
}

// Polls while the page can be seen, and at once when it is seen again.
function poll(path, every) {
  let timer, pause = every;
  const next = async () => {
    clearTimeout(timer);
    if (document.hidden) return;
    try {
      await update(path);
      [pause, byId("connection").textContent] = [every, ""];
    } catch {
      pause = Math.max(every, Math.min(pause * 2, 5000));
      const time = shown.toISOString().slice(11, 19);
      byId("connection").textContent = `not connected, figures of ${time} UTC`;
    }
    clearTimeout(timer);
    timer = setTimeout(next, pause);
  };
  document.addEventListener("visibilitychange", next);
  timer = setTimeout(next, every);
  return next;
}
const now = poll("/page/now", 1000);
poll("/page/history", 10000);
