// The operators' page in a real browser.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { breakProvider, browser, demo, looks, run } from "./harness.mjs";

let chromium;
before(async () => {
  chromium = await browser();
});
after(() => chromium?.close());

// A page that fails the test if a script on it does, its policy is violated, it is reloaded, or it
// asks another server.
async function open(address, options = {}) {
  const context = await chromium.newContext(options);
  const page = await context.newPage();
  page.setDefaultTimeout(20_000);
  const wrong = [];
  page.on("console", (message) => {
    // A refused order is an answer; the console calls each one an error.
    const expected = /status of (400|401|502)|ERR_CONNECTION_REFUSED/.test(message.text());
    if (message.type() === "error" && !expected) wrong.push(message.text());
  });
  page.on("pageerror", (error) => wrong.push(error.message));
  page.on("request", (request) => {
    if (!request.url().startsWith(address) && !request.url().startsWith("data:"))
      wrong.push(`it asks ${request.url()}`);
  });
  await page.goto(`${address}/`);
  const close = async () => {
    assert.deepEqual(wrong, []);
    await context.close();
  };
  return { page, close };
}

const sentence = (page, text) => page.locator(".sentence", { hasText: text }).first().waitFor();
const event = (page, text) => page.locator("table td", { hasText: text }).first().waitFor();

// Presses a button that opens the confirmation, reads it, and confirms.
async function confirmed(page, button, says, yes) {
  await page.getByRole("button", { name: button }).click();
  const dialog = page.getByRole("dialog");
  for (const text of says) await dialog.getByText(text).first().waitFor();
  await dialog.getByRole("button", { name: yes }).click();
  await dialog.waitFor({ state: "hidden" });
}

async function put(address, mark) {
  const answer = await fetch(`${address}/valuations/${mark}`, {
    method: "PUT",
    headers: { "content-type": "application/json" },
    body: '{"mileage":10000}',
  });
  await answer.arrayBuffer();
  return answer.status;
}

test("a whole outage is seen without a reload: a trip, its reason in numbers, and the revert", async () => {
  const server = await demo("--scenario", "outage", "--quick");
  const { page, close } = await open(server.operators);
  await page.evaluate(() => (window.sameDocument = true));
  await sentence(page, /SuperCar is asked/);
  await sentence(page, /Premium is asked because \d+ of the last \d+ calls to SuperCar failed \(limit: more than 1\/2 of at least 10\); back in/);
  await event(page, /Premium is asked instead of SuperCar/);
  await looks(page, "operator-outage");
  await sentence(page, /SuperCar is asked/);
  await event(page, /revert: SuperCar is asked first/);
  await looks(page, "operator-after");
  assert.equal(await page.evaluate(() => window.sameDocument), true);
  await server.ended;
  await page.locator("#connection", { hasText: /not connected, figures of \d\d:\d\d:\d\d UTC/ }).waitFor();
  await looks(page, "operator-not-connected");
  await close();
});

test("every order is confirmed in words, carried out and recorded, and a wrong one says why", async () => {
  const server = await demo();
  const { page, close } = await open(server.operators);
  await sentence(page, /SuperCar is asked, and there was no call/);
  await looks(page, "operator-cold");

  // An end and a reason are to be chosen.
  const force = page.getByRole("button", { name: "Force the route…" });
  await force.click();
  await page.getByText("Choose the provider that is asked.").waitFor();
  await page.getByLabel("Premium", { exact: true }).check();
  await force.click();
  await page.getByText("Choose an end, or explicitly").waitFor();
  await page.getByLabel("For how long").selectOption("2 hours");
  await force.click();
  await page.getByText("Say why").waitFor();
  await page.getByLabel("Reason").fill("SuperCar's maintenance");
  await looks(page, "operator-order");

  // Cancelled, nothing happens.
  await force.click();
  await page.getByRole("dialog").getByText("It ends by itself after 2 hours.").waitFor();
  await page.getByRole("dialog").getByRole("button", { name: "Cancel" }).click();
  await page.getByRole("dialog").waitFor({ state: "hidden" });
  assert.match(await page.locator(".sentence").textContent(), /^SuperCar is asked/);

  await confirmed(page, "Force the route…", ["All calls go to Premium", "SuperCar's maintenance"], "Force Premium");
  await sentence(page, /Premium is asked because .+ forced it .+until .+: “SuperCar's maintenance”/);
  await event(page, /SuperCar's maintenance/);
  assert.equal(await put(server.customer, "FORCED1"), 200);
  await looks(page, "operator-forced");

  await confirmed(page, "Release the forced route…", ["the policy decides again"], "Release it");
  await sentence(page, /SuperCar is asked/);

  await page.getByLabel("SuperCar", { exact: true }).check();
  await page.getByLabel("For how long").selectOption("until I release it");
  await page.getByLabel("Reason").fill("a test");
  await confirmed(page, "Force the route…", ["a failed one is still rescued by Premium", "It does not end by itself"], "Force SuperCar");
  await sentence(page, /SuperCar is asked because .+ forced it .+until it is released/);
  await confirmed(page, "Reset to SuperCar…", ["counts start from zero"], "Reset it");
  await sentence(page, /SuperCar is asked, and there was no call/);

  // The policy: a wrong value, a preview, a change.
  await page.getByLabel("failure-rate").fill("2");
  await page.getByRole("button", { name: "Preview the change…" }).click();
  await page.getByText(/"2" is not a share/).waitFor();
  await page.getByLabel("failure-rate").fill("1/3");
  await page.getByText("The other settings").click();
  await page.getByLabel("slow-call").fill("never");
  await page.getByText("The other settings").click();
  await page.getByRole("button", { name: "Preview the change…" }).click();
  await page.getByText(/"never" is not off, or a duration/).waitFor();
  await page.getByLabel("slow-call").fill("off");
  await confirmed(page, "Preview the change…", ["failure-rate: from 1/2 to 1/3"], "Change it");
  await sentence(page, /limit: more than 1\/3/);
  assert.equal(await page.getByLabel("failure-rate").inputValue(), "1/3");
  await close();
  assert.equal(await server.stop(), 0);
});

test("a policy that another operator changed is shown, and named before it is changed again", async () => {
  const server = await demo();
  const { page, close } = await open(server.operators);
  const policy = async (settings) => {
    const answer = await fetch(`${server.operators}/admin/failovers/valuations/policy`, {
      method: "PUT",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(settings),
    });
    assert.equal(answer.status, 200);
    await answer.arrayBuffer();
  };
  const calls = page.getByLabel("min-calls");
  await calls.fill("12");
  await policy({ "min-calls": "25", "failure-rate": "1/4" });
  // An untouched field follows; what is typed stays.
  await page.waitForFunction(() => document.querySelector("[name=failure-rate]").value === "1/4");
  assert.equal(await calls.inputValue(), "12");
  await page.getByRole("button", { name: "Preview the change…" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByText("min-calls: from 25 to 12").waitFor();
  assert.equal(await dialog.getByText("failure-rate").count(), 0);
  await dialog.getByRole("button", { name: "Cancel" }).click();

  // A proxy's error page is no lost connection.
  await page.route("**/admin/failovers/valuations", (route) =>
    route.fulfill({ status: 502, contentType: "text/html", body: "<h1>Bad gateway</h1>" }));
  await page.getByRole("button", { name: "Release the forced route…" }).click();
  await dialog.getByText("Otherwise nothing changes.").waitFor();
  await dialog.getByRole("button", { name: "Release it" }).click();
  await dialog.getByText("The answer could not be understood (status 502)").waitFor();
  await close();
  assert.equal(await server.stop(), 0);
});

test("a restart keeps the last hour", async () => {
  const providers = await demo();
  const folder = mkdtempSync(join(tmpdir(), "operators-page-"));
  try {
    const supercar = await providers.hears(/SuperCar \(primary\) is simulated on (http:\S+),/);
    const premium = await providers.hears(/Premium \(fallback\) on (http:\S+)\.\s/);
    const serve = () =>
      run([
        ...["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"],
        ...["--database", join(folder, "v.sqlite")],
        ...["--supercar-url", supercar, "--premium-url", premium],
      ]);
    const addresses = async (server) => [
      await server.hears(/operators: (http:\S+)/),
      await server.hears(/listening on (http:[^;]+);/),
    ];

    let server = await serve();
    let [operators, customer] = await addresses(server);
    await breakProvider(supercar, "500");
    for (let car = 0; car < 15; car++) assert.equal(await put(customer, `CAR${car}`), 200);
    const first = await open(operators);
    await sentence(first.page, /Premium is asked/);
    const failed = first.page.locator("table", { hasText: "Last failed or refused calls" });
    await failed.getByText("STATUS").first().waitFor();
    await first.close();
    assert.equal(await server.stop(), 0);

    server = await serve();
    [operators, customer] = await addresses(server);
    const { page, close } = await open(operators);
    await sentence(page, /Premium is asked because \d+ of the last \d+ calls to SuperCar failed/);
    await page.getByRole("row", { name: /^Premium 15 0/ }).waitFor();
    // The line has whole ten seconds.
    await page.getByText(/highest 100.% at .+; on the fallback for .+\(hatched\)/).waitFor();
    await looks(page, "operator-restarted");
    await close();
    assert.equal(await server.stop(), 0);
  } finally {
    await providers.stop();
    rmSync(folder, { recursive: true });
  }
});

test("a refused configuration and one that can't be read are shown, however long their reasons are", async () => {
  const folder = mkdtempSync(join(tmpdir(), "operators-page-"));
  const config = join(folder, "c.toml");
  try {
    writeFileSync(config, "min-calls = 12\n");
    const server = await run([
      ...["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"],
      ...["--database", join(folder, "v.sqlite"), "--config", config],
      ...["--supercar-url", "http://127.0.0.1:1", "--premium-url", "http://127.0.0.1:1"],
    ]);
    const { page, close } = await open(await server.hears(/operators: (http:\S+)/));
    writeFileSync(config, `label = "${"x".repeat(3_000)}"\n`);
    await page.locator(".warnings", { hasText: "is refused" }).waitFor();
    await page.getByText("Settings, and where their values come from").click();
    await page.getByText("A newer version is refused since").waitFor();
    writeFileSync(config, "");
    await page.locator(".warnings", { hasText: "it is empty now" }).waitFor();
    await looks(page, "operator-configuration");
    writeFileSync(config, "min-calls = 13\n");
    await page.locator(".warnings").waitFor({ state: "detached" });
    await page.getByRole("row", { name: /^min-calls 13 file/ }).waitFor();
    await close();
    assert.equal(await server.stop(), 0);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("with a token the page is behind a login", async () => {
  const token = "a-token-for-a-test-0123456789";
  const server = await demo("--admin-token", token);
  const { page, close } = await open(server.operators);
  const field = page.getByLabel("Admin token");
  await field.waitFor();
  await looks(page, "operator-login");
  await field.fill("wrong-token-0123456789");
  await page.getByRole("button", { name: "Log in" }).click();
  await page.getByText("This is not the admin token").waitFor();
  await looks(page, "operator-login-failed");
  await page.getByLabel("Admin token").fill(token);
  await page.getByRole("button", { name: "Log in" }).click();
  await sentence(page, /SuperCar is asked/);
  const [cookie] = await page.context().cookies();
  assert.deepEqual([cookie.httpOnly, cookie.sameSite], [true, "Strict"]);
  await page.reload();
  await sentence(page, /SuperCar is asked/);
  await page.getByRole("button", { name: "Log out" }).click();
  await page.getByLabel("Admin token").waitFor();
  const { status } = await fetch(`${server.operators}/metrics`, { headers: { authorization: `Bearer ${token}` } });
  assert.equal(status, 200);
  await close();
  assert.equal(await server.stop(), 0);
});

test("a hidden tab asks for nothing, and asks at once when it is seen again", async () => {
  const server = await demo();
  const { page, close } = await open(server.operators);
  let polls = 0;
  page.on("request", (request) => (polls += request.url().includes("/page/now") ? 1 : 0));
  const polled = () => page.waitForResponse((answer) => answer.url().endsWith("/page/now"));
  await polled();
  const hide = (hidden) =>
    page.evaluate((hidden) => {
      Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
      document.dispatchEvent(new Event("visibilitychange"));
    }, hidden);
  await hide(true);
  // Longer than two polls, by the page's own clock.
  await page.evaluate(() => new Promise((resolve) => setTimeout(resolve, 100)));
  const before = polls;
  await page.evaluate(() => new Promise((resolve) => setTimeout(resolve, 2500)));
  assert.equal(polls, before);
  await Promise.all([polled(), hide(false)]);
  await close();
  assert.equal(await server.stop(), 0);
});

test("each node's page shows the fleet, and an order for all of them is confirmed as such", async () => {
  const fleet = await run(["demo", "--nodes", "3", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]);
  const supercar = await fleet.hears(/SuperCar \(primary\) is simulated on (http:\S+),/);
  const every = (pattern) => [...fleet.said().matchAll(pattern)].map(([, address]) => address);
  const operators = every(/(http:\S+)\/ +what the failover does/g);
  const customers = every(/(http:\S+)\/ +what a car is worth/g);
  assert.equal(operators.length, 3);

  const { page, close } = await open(operators[0]);
  const nodes = page.locator("table.nodes");
  const rows = nodes.locator("tbody tr");
  await rows.nth(2).waitFor();
  assert.equal(await nodes.getByText("this node").count(), 1);
  for (const zone of ["zone=a", "zone=b", "zone=c"]) await nodes.getByText(zone).waitFor();
  await page.getByText(/✓ The bus is connected/).waitFor();
  await looks(page, "operator-fleet");

  // Its scope has to be chosen, and is said.
  await page.getByLabel("Premium", { exact: true }).check();
  await page.getByLabel("For how long").selectOption("15 minutes");
  await page.getByLabel("Reason").fill("a test");
  const force = page.getByRole("button", { name: "Force the route…" });
  await force.click();
  await page.getByText("Choose this node alone or the whole fleet.").waitFor();
  await looks(page, "operator-fleet-order");
  await page.getByLabel("the whole fleet").first().check();
  await confirmed(page, "Force the route…", ["On all nodes of the fleet."], "Force Premium");
  for (const address of operators) {
    const other = await open(address);
    await sentence(other.page, /Premium is asked because .+ forced it/);
    await other.page.locator("table", { hasText: "Orders for the whole fleet" }).getByText("a test").waitFor();
    await other.page.locator("table.nodes").getByText("⇢ Premium").nth(2).waitFor();
    await other.close();
  }
  await page.getByLabel("the whole fleet").first().check();
  await confirmed(page, "Release the forced route…", ["On all nodes of the fleet."], "Release it");
  await nodes.getByText("→ SuperCar").nth(2).waitFor();
  await page.getByLabel("failure-rate").fill("1/3");
  await page.getByLabel("the whole fleet").nth(1).check();
  await confirmed(page, "Preview the change…", ["failure-rate: from 1/2 to 1/3", "On all nodes of the fleet."], "Change it");
  await page.getByText("policy: failure-rate = 1/3").waitFor();

  // All of them go over, and the page without JavaScript shows it as well.
  await breakProvider(supercar, "500");
  await Promise.all(Array.from({ length: 60 }, (_, car) => put(customers[car % 3], `CAR${car}`)));
  await nodes.getByText("⇢ Premium").nth(2).waitFor();
  await looks(page, "operator-fleet-outage");
  const plain = await open(operators[2], { javaScriptEnabled: false });
  await plain.page.locator("table.nodes").getByText("⇢ Premium").nth(2).waitFor();
  await plain.close();
  await close();
  assert.equal(await fleet.stop(), 0);
});

test("without JavaScript the page shows the same", async () => {
  const server = await demo();
  const { page, close } = await open(server.operators, { javaScriptEnabled: false });
  await sentence(page, /SuperCar is asked/);
  await close();
  assert.equal(await server.stop(), 0);
});
