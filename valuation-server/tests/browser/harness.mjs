// A server of its own for each test, and a browser for all of them.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync, mkdirSync } from "node:fs";
import { after } from "node:test";
import { fileURLToPath } from "node:url";

import axe from "axe-core";
import { chromium } from "playwright-core";

const root = fileURLToPath(new URL("../../../", import.meta.url));
const target = process.env.CARGO_TARGET_DIR ?? `${root}target`;
const program =
  process.env.SERVER ??
  [`${target}/release/valuation-server`, `${target}/debug/valuation-server`].find(existsSync);
const shots = `${target}/browser`;
mkdirSync(shots, { recursive: true });

const executablePath = ["/usr/bin/chromium", "/usr/bin/google-chrome"].find(existsSync);

export async function browser() {
  assert.ok(executablePath, "Chromium or Chrome must be installed");
  const args = ["--disable-quic", "--disable-background-networking", "--disable-component-update"];
  return chromium.launch({ executablePath, args, chromiumSandbox: false });
}

// A test that fails leaves its server to this.
const children = new Set();
after(() => children.forEach((child) => child.kill("SIGKILL")));

// Runs the program until `stop`, and gives its addresses as it says them.
export async function run(args, env = {}) {
  assert.ok(program, "build the server first: cargo build -p valuation-server");
  const child = spawn(program, args, { env: { ...process.env, RUST_LOG: "info", ...env } });
  children.add(child);
  let said = "";
  const heard = new Set();
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text) => {
      said += text;
      heard.forEach((tell) => tell());
    });
  }
  const ended = new Promise((resolve) => child.on("exit", resolve));
  // What the first group of `pattern` matches in what the program says, now or later.
  const hears = (pattern) =>
    new Promise((resolve, reject) => {
      const tell = () => {
        const found = said.match(pattern);
        if (!found) return;
        heard.delete(tell);
        resolve(found[1]);
      };
      heard.add(tell);
      ended.then(() => reject(new Error(`it ended before it said ${pattern}: ${said}`)));
      tell();
    });
  const stop = async () => {
    child.kill("SIGTERM");
    return ended;
  };
  return { hears, stop, ended, said: () => said };
}

// The demo with its simulated providers.
export async function demo(...more) {
  const args = ["demo", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", ...more];
  const program = await run(args);
  return {
    ...program,
    customer: await program.hears(/(http:\S+)\/ +what a car is worth/),
    operators: await program.hears(/(http:\S+)\/ +what the failover does/),
  };
}

// How the demo's providers answer from now on: ok, 500, hang, …
export async function breakProvider(url, mode) {
  const answer = await fetch(`${url}/fault?mode=${mode}`, { method: "POST" });
  assert.equal(answer.status, 200, await answer.text());
}

// Axe's findings on the page as it stands; serious ones fail.
export async function accessible(page, state) {
  await page.evaluate(axe.source);
  const { violations } = await page.evaluate(() => axe.run(document, { resultTypes: ["violations"] }));
  const bad = violations.filter(({ impact }) => impact === "serious" || impact === "critical");
  const shown = bad.map(({ id, help, nodes }) => `${id}: ${help}: ${nodes.map((n) => n.html)}`);
  assert.deepEqual(shown, [], state);
  const wide = await page.evaluate(
    () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
  );
  assert.equal(wide, 0, `${state}: it scrolls sideways`);
}

// A picture for people to look at, of the whole page, in `target/browser`.
export async function picture(page, name) {
  await page.screenshot({ path: `${shots}/${name}.png`, fullPage: true });
}

// Each look of a state: wide and narrow, light and dark. Each must be accessible.
export async function looks(page, name) {
  for (const [look, width, colorScheme] of [
    ["light", 1280, "light"],
    ["dark", 1280, "dark"],
    ["narrow", 320, "light"],
    ["narrow-dark", 320, "dark"],
  ]) {
    await page.setViewportSize({ width, height: 800 });
    await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
    await accessible(page, `${name}, ${look}`);
    await picture(page, `${name}-${look}`);
  }
  await page.setViewportSize({ width: 1280, height: 800 });
  await page.emulateMedia({ colorScheme: "light" });
}
