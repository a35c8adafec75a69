// The customer's page in a real browser, with and without JavaScript.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { after, before, test } from "node:test";

import { breakProvider, browser, demo, looks } from "./harness.mjs";

let chromium, server, supercar, premium;

before(async () => {
  [chromium, server] = await Promise.all([browser(), demo()]);
  supercar = await server.hears(/SuperCar \(primary\) is simulated on (http:\S+),/);
  premium = await server.hears(/Premium \(fallback\) on (http:\S+)\.\s/);
});
after(async () => {
  await Promise.all([chromium?.close(), server?.stop()]);
});

// A page that fails the test if anything on it does, a violation of its policy among that.
async function open(path, options = {}) {
  const context = await chromium.newContext(options);
  const page = await context.newPage();
  const wrong = [];
  page.on("console", (message) => {
    // A refused form is an answer; the console calls each one an error.
    const expected = /status of (400|404|503)/.test(message.text());
    if (message.type() === "error" && !expected) wrong.push(message.text());
  });
  page.on("pageerror", (error) => wrong.push(error.message));
  page.on("request", (request) => {
    if (!request.url().startsWith(server.customer) && !request.url().startsWith("data:"))
      wrong.push(`it asks ${request.url()}`);
  });
  await page.goto(server.customer + path);
  const close = async () => {
    assert.deepEqual(wrong, []);
    await context.close();
  };
  return { page, close };
}

const fill = async (page, mark, mileage) => {
  await page.getByLabel("Registration mark").fill(mark);
  await page.getByLabel("Mileage").fill(mileage);
};
const press = (page, name = "Value my car") => page.getByRole("button", { name }).click();

for (const javaScriptEnabled of [true, false]) {
  const how = javaScriptEnabled ? "with JavaScript" : "without JavaScript";
  const pictures = async (page, name) => {
    // Axe is a script.
    if (javaScriptEnabled) await looks(page, `customer-${name}`);
  };

  test(`a car is valued ${how}`, async () => {
    const { page, close } = await open("/", { javaScriptEnabled });
    await pictures(page, "form");
    await fill(page, "ab12 cde", "42,000");
    await press(page);
    await page.getByText("Valued by SuperCar Valuations").waitFor();
    assert.match(await page.locator(".midpoint").textContent(), /^£\d{1,3}(,\d{3})*(\.\d\d)?$/);
    assert.match(await page.locator(".plate").textContent(), /AB12CDE$/);
    await pictures(page, "result");
    if (javaScriptEnabled) {
      assert.equal(new URL(page.url()).search, "?vrm=AB12CDE");
      assert.equal(await page.evaluate(() => document.activeElement.id), "result");
      await page.reload();
      await page.getByText("Valued by SuperCar Valuations").waitFor();
    }
    await page.getByRole("link", { name: "Value another car" }).click();
    await page.getByRole("button", { name: "Value my car" }).waitFor();
    await close();
  });

  test(`what is wrong stands beside its field ${how}`, async () => {
    const { page, close } = await open("/", { javaScriptEnabled });
    await fill(page, "far too long", "-1");
    await press(page);
    const mark = page.getByLabel("Registration mark");
    await page.getByText("vrm must be 7 characters or less").waitFor();
    assert.equal(await mark.getAttribute("aria-invalid"), "true");
    assert.equal(await mark.inputValue(), "FARTOOLONG");
    const error = await mark.getAttribute("aria-describedby");
    assert.match(await page.locator(`#${error}`).textContent(), /7 characters/);
    await page.getByText("mileage must be a positive number").waitFor();
    await pictures(page, "wrong");
    await fill(page, "ok 1", "10");
    await press(page);
    await page.getByText("Valued by").waitFor();
    await close();
  });

  test(`while no provider answers the page says when to try again ${how}`, async () => {
    await Promise.all([breakProvider(supercar, "500"), breakProvider(premium, "500")]);
    const { page, close } = await open("/", { javaScriptEnabled });
    await fill(page, javaScriptEnabled ? "no1" : "no2", "10");
    await press(page);
    await page.getByText("No valuation can be obtained at present").waitFor();
    await page.getByText(/try again in \d+ seconds/).waitFor();
    await pictures(page, "unavailable");
    await Promise.all([breakProvider(supercar, "ok"), breakProvider(premium, "ok")]);
    await press(page, "Try again");
    await page.getByText("Valued by").waitFor();
    await close();
  });
}

test("a record of the older service, without a provider, names none", async () => {
  const database = await server.hears(/The database is (\S+),/);
  const row = "INSERT INTO vehicle_valuation VALUES ('OLD1', 8100, 8550.5, NULL)";
  const script = "import sqlite3, sys; d = sqlite3.connect(sys.argv[1]); d.execute(sys.argv[2]); d.commit()";
  execFileSync("python3", ["-c", script, database, row]);
  const { page, close } = await open("/?vrm=old1");
  await page.getByText("£8,325.25").waitFor();
  assert.doesNotMatch(await page.content(), /Valued by|null/);
  await looks(page, "customer-old");
  await close();
});

test("the mark is normalised where the customer sees it", async () => {
  const { page, close } = await open("/");
  const mark = page.getByLabel("Registration mark");
  await mark.fill(" xy34 zab ");
  await page.getByLabel("Mileage").focus();
  assert.equal(await mark.inputValue(), "XY34ZAB");
  await close();
});

test("a slow answer shows that it is under way, and a second press does nothing", async () => {
  await breakProvider(supercar, "slow");
  const { page, close } = await open("/");
  let posts = 0;
  page.on("request", (request) => (posts += request.method() === "POST" ? 1 : 0));
  // Holds the request back until the busy state was looked at.
  let release;
  const held = new Promise((resolve) => (release = resolve));
  await page.route("**/", async (route) => {
    await held;
    await route.continue();
  });
  await fill(page, "slow1", "10");
  await press(page);
  const button = page.getByRole("button", { name: "Value my car" });
  await page.getByText("Asking for a valuation…").waitFor();
  assert.equal(await button.getAttribute("aria-disabled"), "true");
  await looks(page, "customer-busy");
  await button.click({ force: true });
  await page.keyboard.press("Enter");
  release();
  await page.getByText("Valued by").waitFor();
  assert.equal(posts, 1);
  await breakProvider(supercar, "ok");
  await close();
});

test("the keyboard alone is enough", async () => {
  const { page, close } = await open("/");
  await page.keyboard.press("Tab");
  await page.keyboard.type("key 1");
  await page.keyboard.press("Tab");
  await page.keyboard.type("10000");
  await page.keyboard.press("Enter");
  await page.getByText("Valued by").waitFor();
  await close();
});

test("a server that is gone loses nothing that was entered", async () => {
  const { page, close } = await open("/");
  await fill(page, "gone1", "10");
  await page.route("**/", (route) => route.abort());
  await press(page);
  await page.getByText("can't be reached").waitFor();
  assert.equal(await page.getByLabel("Registration mark").inputValue(), "GONE1");
  await page.unroute("**/");
  await press(page);
  await page.getByText("Valued by").waitFor();
  await close().catch((error) => assert.match(error.message, /ERR_FAILED/));
});

test("an answer that is not the page loses nothing that was entered", async () => {
  const { page, close } = await open("/");
  await fill(page, "odd1", "10");
  await page.route("**/", (route) => route.fulfill({ status: 503, json: { error: "of a proxy" } }));
  await press(page);
  await page.getByText("The server gave no usable answer (status 503).").waitFor();
  assert.equal(await page.getByLabel("Registration mark").inputValue(), "ODD1");
  await page.unroute("**/");
  await press(page);
  await page.getByText("Valued by").waitFor();
  await close();
});

test("the description of the API can be read", async () => {
  for (const [address, name] of [[server.customer, "public"], [server.operators, "operators"]]) {
    const context = await chromium.newContext();
    const page = await context.newPage();
    await page.goto(`${address}/openapi`);
    await page.getByRole("heading", { level: 1 }).waitFor();
    await looks(page, `openapi-${name}`);
    await context.close();
  }
});

test("back leads from a result to the form", async () => {
  const { page, close } = await open("/");
  await fill(page, "back1", "10");
  await press(page);
  await page.getByText("Valued by").waitFor();
  await page.goBack();
  await page.getByRole("button", { name: "Value my car" }).waitFor();
  await close();
});
