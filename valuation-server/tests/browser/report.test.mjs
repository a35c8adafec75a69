// The report on the operators' side, in a real browser.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { after, before, test } from "node:test";

import { accessible, browser, demo, looks } from "./harness.mjs";

let chromium;
before(async () => {
  chromium = await browser();
});
after(() => chromium?.close());

async function put(address, mark) {
  const answer = await fetch(`${address}/valuations/${mark}`, {
    method: "PUT",
    headers: { "content-type": "application/json" },
    body: '{"mileage":10000}',
  });
  await answer.arrayBuffer();
  assert.equal(answer.status, 200);
}

// A page that fails the test if its policy is violated. It has no script.
async function open(address, path, options = {}) {
  const context = await chromium.newContext({ ...options, bypassCSP: false });
  const page = await context.newPage();
  page.setDefaultTimeout(20_000);
  const wrong = [];
  page.on("console", (message) => {
    if (message.type() === "error" && !/status of 400/.test(message.text())) wrong.push(message.text());
  });
  await page.goto(`${address}${path}`);
  const close = async () => {
    assert.deepEqual(wrong, []);
    await context.close();
  };
  return { page, close };
}

test("a report is asked for from the operators' page, corrected, read and saved as a file", async () => {
  const server = await demo();
  for (let car = 0; car < 5; car += 1) await put(server.customer, `RPT${car}`);
  const { page, close } = await open(server.operators, "/");
  await page.getByRole("link", { name: "Service level report" }).click();
  await page.getByRole("heading", { name: "Service level report" }).waitFor();
  await looks(page, "report-form");

  await page.getByLabel("Target").fill("101%");
  await page.getByLabel("Not counted").fill("yesterday");
  await page.getByRole("button", { name: "Show the report" }).click();
  await page.getByText("not a percentage from 0% to 100%").waitFor();
  await page.getByText("yesterday: write FROM/TO=NAME").waitFor();
  assert.equal(await page.getByLabel("Target").inputValue(), "101%");
  await looks(page, "report-wrong");

  await page.getByLabel("Target").fill("99.9%");
  await page.getByLabel("Not counted").fill("2026-05-03/2026-05-04=maintenance\n2026-06-07/2026-06-08=more");
  await page.getByRole("combobox", { name: "By" }).selectOption("day");
  await page.getByRole("button", { name: "Show the report" }).click();
  await page.getByText("SuperCar Valuations met the target of 99.9%").waitFor();
  await page.getByRole("img", { name: /^Availability per day/ }).waitFor();
  await page.getByText("more: from 2026-06-07").waitFor();
  await looks(page, "report");

  const [file] = await Promise.all([
    page.waitForEvent("download"),
    page.getByRole("link", { name: "HTML to send or print" }).click(),
  ]);
  assert.equal(file.suggestedFilename(), "service-level-report.html");
  const html = await readFile(await file.path(), "utf8");
  // The file is made a moment later than the page.
  const article = async (page) =>
    (await page.locator("article").textContent()).replace(/made at [0-9T:-]+Z/, "made at");
  const saved = await chromium.newPage();
  await saved.setContent(html);
  assert.equal(await article(saved), await article(page));
  await saved.close();
  await close();
  await server.stop();
});

test("a report of three years by day fits its charts at every width", async () => {
  const server = await demo();
  await put(server.customer, "RPT1");
  const { page, close } = await open(
    server.operators,
    "/report?from=2024-01&to=2027-01&by=day&time-zone=Europe%2FLondon&target=99.9%25&slow=2s",
  );
  await page.getByText("2024-03-31 has 23 hours").first().waitFor();
  for (const width of [1280, 320]) {
    await page.setViewportSize({ width, height: 800 });
    await accessible(page, `three years, ${width}`);
    const labels = page.locator("svg.chart").first().locator("> text");
    const boxes = [];
    for (const label of await labels.all()) boxes.push(await label.boundingBox());
    for (let i = 1; i < boxes.length; i += 1)
      assert.ok(boxes[i - 1].x + boxes[i - 1].width <= boxes[i].x, `labels overlap at ${width}`);
  }
  await close();
  await server.stop();
});
