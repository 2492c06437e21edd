// Logging in to a service that asks for a token.

import { strict as assert } from "node:assert";
import { after, before, test } from "node:test";
import { launch, open, Service, skip } from "./support.js";

const TOKEN = "trunkline_test-of-the-page";
let service;
let browser;

before(async () => {
  if (skip) return;
  [service, browser] = await Promise.all([Service.start({ token: TOKEN }), launch()]);
  await service.submit([{ key: "alice", value: "10" }]);
});

after(async () => {
  await browser?.close();
  await service?.end();
});

test("a token is asked for, taken once, and stands for the stream and the proofs", { skip }, async () => {
  const { page, watch, context } = await open(browser, service);
  const token = page.getByLabel("Token");
  await token.waitFor();
  assert.equal(await page.locator("#live-view").isVisible(), false);
  assert.equal(await page.evaluate(() => document.activeElement.id), "token");
  await token.fill("wrong");
  await page.keyboard.press("Enter");
  await page.locator("#login-error", { hasText: "unknown or has expired" }).waitFor();
  await token.fill(TOKEN);
  await page.keyboard.press("Enter");
  await page.getByText("Connected", { exact: true }).waitFor();
  await page.locator("#tiles dt", { hasText: "Version" }).waitFor();
  assert.equal(await token.isVisible(), false);

  // Scripts cannot read what stands for the token, and nothing of the page kept it.
  const kept = await page.evaluate(() => JSON.stringify([document.cookie, { ...localStorage }, { ...sessionStorage }, document.body.innerHTML]));
  assert.ok(!kept.includes(TOKEN));
  assert.equal(await page.evaluate(() => document.cookie), "");
  const [cookie] = await context.cookies();
  assert.deepEqual([cookie.httpOnly, cookie.sameSite], [true, "Strict"]);

  await page.reload();
  await page.getByText("Connected", { exact: true }).waitFor();
  await page.getByRole("link", { name: "Verify" }).click();
  await page.locator("#pin-newest").click();
  await page.locator("#pin-anyway").click();
  await page.fill("#key", "alice");
  await page.locator("#look-up").click();
  await page.locator("#result h2", { hasText: "Shown: the key has this value" }).waitFor();

  await page.getByRole("button", { name: "Log out" }).click();
  await token.waitFor();
  assert.deepEqual(await context.cookies(), []);
  watch.take(/401/);
  assert.deepEqual(watch.faults, []);
  await context.close();
});

test("a restart ends the session, and the page asks again", { skip }, async () => {
  const { page, context } = await open(browser, service);
  const token = page.getByLabel("Token");
  await token.fill(TOKEN);
  await page.keyboard.press("Enter");
  await page.getByText("Connected", { exact: true }).waitFor();
  await service.kill();
  await page.getByText("Not connected").waitFor();
  await service.begin();
  await token.waitFor();
  await token.fill(TOKEN);
  await page.keyboard.press("Enter");
  await page.getByText("Connected", { exact: true }).waitFor();
  await context.close();
});
