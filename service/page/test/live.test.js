// The live view in Chromium.

import { strict as assert } from "node:assert";
import { after, before, test } from "node:test";
import { join } from "node:path";
import { chromiumVersion, launch, open, PICTURES, Service, skip } from "./support.js";

let service;
let browser;

before(async () => {
  if (skip) return;
  [service, browser] = await Promise.all([Service.start(), launch()]);
  console.log(`${chromiumVersion()}; pictures: ${PICTURES}`);
});

after(async () => {
  await browser?.close();
  await service?.end();
});

/** Waits until a function in the page returns something that is true. */
function until(page, condition, argument) {
  return page.waitForFunction(condition, argument, { polling: 100 });
}

const tile = (page, name) => page.locator(`#tiles > div:has(dt:text-is("${name}")) dd`).first();

test("the page shows a load as it runs", { skip }, async () => {
  const { page, watch, context } = await open(browser, service);
  await page.getByText("Connected", { exact: true }).waitFor();
  service.load();
  await until(page, () => !["–", "0/s"].includes(document.querySelector("#throughput .legend b").textContent));
  const version = async () => Number((await tile(page, "Version").textContent()).replaceAll(",", ""));
  const first = await version();
  await until(page, (first) => {
    const tiles = [...document.querySelectorAll("#tiles > div")];
    const tile = tiles.find((tile) => tile.firstChild.textContent === "Version");
    return Number(tile.children[1].textContent.replaceAll(",", "")) > first;
  }, first);

  // Each plot is drawn, and has its figures in a table.
  for (const id of ["throughput", "latency", "groups", "workers", "memory"]) {
    const plot = page.locator(`#${id}`);
    await plot.locator("canvas").waitFor();
    await plot.locator("summary").click();
    await plot.locator("tbody tr").nth(1).waitFor();
    assert.doesNotMatch(await plot.locator("tbody tr").first().textContent(), /NaN|undefined|Infinity/);
    await plot.locator("summary").click();
  }
  await until(page, () => document.querySelectorAll("#pipeline .span").length >= 20);
  assert.deepEqual(await page.locator("#pipeline .lane").allTextContents(), ["ingest", "tree", "hash", "kzg", "persist"]);
  await page.locator("#stages tbody tr").nth(4).waitFor();
  assert.match(await tile(page, "Memory").textContent(), /MiB|GiB/);

  // A pause keeps the view still, and no figure is lost by it.
  await page.getByRole("button", { name: "Pause" }).click();
  const still = await page.locator("#tiles").innerHTML();
  const paused = await service.root();
  await until(page, async (version) => (await (await fetch("/v1/status")).json()).durable_version > version + 20, paused.version);
  assert.equal(await page.locator("#tiles").innerHTML(), still);
  await page.getByRole("button", { name: "Paused" }).click();
  await until(page, (still) => document.querySelector("#tiles").innerHTML !== still, still);

  await service.stopLoad();
  assert.deepEqual(watch.faults, []);
  await context.close();
});

test("decisions are listed with their reasons and marked in the plots", { skip }, async () => {
  const { page, watch, context } = await open(browser, service);
  service.load();
  const row = page.locator("#decisions tbody tr").first();
  await row.waitFor({ timeout: 60_000 });
  const cells = await row.locator("th, td").allTextContents();
  assert.match(cells[0], /^\d+$/);
  assert.match(cells[2], /(→|hot prefixes|reload).{10}/);
  await service.stopLoad();
  assert.deepEqual(watch.faults, []);
  await context.close();
});

test("the page survives a restart of the service", { skip }, async () => {
  const { page, watch, context } = await open(browser, service);
  await page.getByText("Connected", { exact: true }).waitFor();
  service.load();
  await until(page, () => document.querySelectorAll("#pipeline .span").length >= 20);
  await service.kill();
  await page.getByText("Not connected").waitFor();
  assert.match(await page.locator("#connection-text").textContent(), /what it had last/);
  await page.locator("#throughput canvas").waitFor();
  await until(page, () => /trying again in \d+ s/.test(document.querySelector("#countdown").textContent));
  const pauses = await page.evaluate(() => performance.getEntriesByType("resource").filter(({ name }) => name.includes("/v1/live")).length);

  await service.begin();
  await page.getByText("Connected", { exact: true }).waitFor();
  await page.getByText("The service was restarted.").waitFor();
  service.load();
  // Figures of before and after stand in the same plot.
  await page.locator("#throughput summary").click();
  const rows = () => page.locator("#throughput tbody tr").count();
  const before = await rows();
  await until(page, (before) => document.querySelectorAll("#throughput tbody tr").length > Math.min(before, 25) + 3, before);
  await page.getByRole("button", { name: "Dismiss" }).click();
  await service.stopLoad();
  assert.ok(pauses >= 1);
  // A service that is gone is an error of the network, and no other.
  watch.take(/ERR_CONNECTION_REFUSED|ERR_INCOMPLETE_CHUNKED_ENCODING|ERR_CONNECTION_RESET|ERR_EMPTY_RESPONSE/);
  assert.deepEqual(watch.faults, []);
  await context.close();
});

for (const colorScheme of ["light", "dark"]) {
  test(`pictures, and no scrolling sideways on a phone: ${colorScheme}`, { skip }, async () => {
    service.load();
    for (const [name, viewport] of [["desktop", { width: 1280, height: 900 }], ["phone", { width: 320, height: 640 }]]) {
      const { page, watch, context } = await open(browser, service, { colorScheme, viewport });
      await until(page, () => document.querySelectorAll("#pipeline .span").length >= 20);
      await until(page, () => document.querySelector("#memory .legend b").textContent !== "–");
      await page.locator("#throughput summary").click();
      const width = await page.evaluate(() => document.documentElement.scrollWidth);
      assert.ok(width <= viewport.width, `${width} pixels wide`);
      await page.locator("#throughput summary").click();
      await page.screenshot({ path: join(PICTURES, `live-${colorScheme}-${name}.png`), fullPage: true });
      assert.deepEqual(watch.faults, []);
      await context.close();
    }
    await service.stopLoad();
  });
}

test("the policy of the page forbids code in texts and other origins", { skip }, async () => {
  const { page, watch, context } = await open(browser, service);
  const ran = await page.evaluate(async () => {
    const script = document.createElement("script");
    const tried = { inline: false, eval: false, markup: false, fetched: false };
    try {
      script.text = "globalThis.wasRun = true";
      document.body.append(script);
    } catch { /* Trusted types. */ }
    tried.inline = globalThis.wasRun === true;
    try {
      document.body.innerHTML += "<p>markup</p>";
      tried.markup = true;
    } catch { /* Trusted types. */ }
    tried.fetched = await fetch("http://127.0.0.2:1/", { mode: "no-cors" }).then(() => true, () => false);
    return tried;
  });
  assert.deepEqual(ran, { inline: false, eval: false, markup: false, fetched: false });
  assert.ok(watch.take(/Content Security Policy|TrustedScript|TrustedHTML/i).length >= 2);
  await context.close();
});
