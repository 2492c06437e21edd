// The verifier on the page, in Chromium.

import { strict as assert } from "node:assert";
import { after, before, test } from "node:test";
import { join } from "node:path";
import { launch, open, PICTURES, Service, skip } from "./support.js";

let service;
let browser;

before(async () => {
  if (skip) return;
  [service, browser] = await Promise.all([Service.start(), launch()]);
  await service.submit([{ key: "alice", value: "10" }, { key: "bob", value_hex: "00ff80" }, { key: "long", value: "x".repeat(200_000) }]);
  for (let at = 0; at < 40; at += 1) await service.submit([{ key: `key-${at}`, value: `value ${at}` }]);
});

after(async () => {
  await browser?.close();
  await service?.end();
});

const heading = (page) => page.locator("#result h2");

async function shows(page, text) {
  await page.locator("#result h2", { hasText: text }).waitFor();
}

async function pin(page, root, { kind = "commit_id", tree = "", version = "", label = "mine" } = {}) {
  await page.fill("#pin-root", root);
  await page.selectOption("#pin-kind", kind);
  await page.fill("#pin-tree", tree);
  await page.fill("#pin-version", String(version));
  await page.fill("#pin-label", label);
  await page.locator("#pin-form button").click();
  await page.locator("#pins label", { hasText: label }).waitFor();
}

async function lookUp(page, key, form = "text") {
  await page.fill("#key", key);
  await page.locator(`#key-${form}`).check({ force: true });
  await page.locator("#look-up").click();
  await page.locator("#look-up:enabled").waitFor();
}

/** Changes the replies to `/v1/prove`. */
function change(page, edit) {
  return page.route("**/v1/prove", async (route) => {
    const response = await route.fetch();
    const reply = await response.json();
    edit(reply);
    await route.fulfill({ response, json: reply });
  });
}

function flipped(hex, at) {
  const digit = (Number.parseInt(hex[at], 16) ^ 1).toString(16);
  return hex.slice(0, at) + digit + hex.slice(at + 1);
}

test("a value, an absence and a value by its hash are shown against a pinned root", { skip }, async () => {
  const { page, watch, context } = await open(browser, service, { view: "verify" });
  await lookUp(page, "alice");
  await shows(page, "Nothing is pinned yet");
  const root = await service.root();
  await pin(page, root.commit_id);
  await lookUp(page, "alice");
  await shows(page, "Shown: the key has this value");
  assert.equal(await page.locator("#value").textContent(), "10");
  const text = await page.locator("#result").textContent();
  assert.match(text, new RegExp(`At version ${root.version} of tree ${root.tree_id.slice(0, 16)}`));
  assert.match(text, /You pasted it on/);
  assert.match(text, /came from this service/);
  await lookUp(page, "626f62", "hex");
  await shows(page, "Shown: the key has this value");
  assert.equal(await page.locator("#value").textContent(), "00ff80");
  await lookUp(page, "nobody");
  await shows(page, "Shown: the key has no value");
  await lookUp(page, "long");
  await shows(page, "Shown: the key has this value");
  assert.match(await page.locator("#value-hash").textContent(), /^[0-9a-f]{64}$/);
  await page.locator("#fetch-value").click();
  await page.getByText("has the hash that the proof shows").waitFor();

  // The pin is still there after the page is loaded again.
  await page.reload();
  await lookUp(page, "alice");
  await shows(page, "Shown: the key has this value");
  assert.deepEqual(watch.faults, []);
  await context.close();
});

test("state digests and KZG roots bind a state and no version", { skip }, async () => {
  const { page, watch, context } = await open(browser, service, { view: "verify" });
  const root = await service.root();
  await page.fill("#pin-root", root.kzg_root);
  await page.locator("#pin-form button").click();
  await page.locator("#pin-error", { hasText: "needs the tree id" }).waitFor();
  await pin(page, root.kzg_root, { tree: root.tree_id, label: "kzg" });
  await lookUp(page, "alice");
  await shows(page, "Shown: the key has this value");
  assert.match(await page.locator("#result").textContent(), /a KZG root names a state, and no version/);
  await pin(page, root.state_digest, { kind: "state_digest", tree: root.tree_id, label: "state" });
  await lookUp(page, "nobody");
  await shows(page, "Shown: the key has no value");
  // A root as JSON, as the service and the command print it.
  await pin(page, JSON.stringify({ root }), { label: "json" });
  await lookUp(page, "alice");
  await shows(page, "Shown: the key has this value");
  assert.deepEqual(watch.faults, []);
  await context.close();
});

test("a changed answer is refused, whichever part was changed", { skip }, async () => {
  const { page, watch, context } = await open(browser, service, { view: "verify" });
  await pin(page, (await service.root()).commit_id);
  for (const part of [0.05, 0.3, 0.6, 0.95]) {
    await change(page, (reply) => (reply.proof = flipped(reply.proof, Math.floor(reply.proof.length * part))));
    await lookUp(page, "alice");
    await shows(page, "Not shown");
    assert.equal(await page.locator("#value").count(), 0);
    await page.unroute("**/v1/prove");
  }
  // The value alone: "10" becomes "11", and the rest stays.
  await change(page, (reply) => {
    const changed = reply.proof.replace("023130", "023131"); // Two bytes, "10".
    assert.notEqual(changed, reply.proof);
    reply.proof = changed;
  });
  await lookUp(page, "alice");
  await shows(page, "Not shown");
  await page.unroute("**/v1/prove");
  // A proof of another key.
  await page.route("**/v1/prove", async (route) => {
    const asked = route.request().postDataJSON();
    asked.keys = [{ key: "bob" }];
    await route.fulfill({ response: await route.fetch({ postData: asked }) });
  });
  await lookUp(page, "alice");
  await shows(page, "Not shown");
  assert.match(await page.locator("#result").textContent(), /about other keys/);
  await page.unroute("**/v1/prove");
  await lookUp(page, "alice");
  await shows(page, "Shown: the key has this value");
  assert.deepEqual(watch.faults, []);
  await context.close();
});

test("a proof is refused against another pinned root", { skip }, async () => {
  const { page, watch, context } = await open(browser, service, { view: "verify" });
  const root = await service.root();
  await pin(page, flipped(root.commit_id, 5), { label: "another" });
  await lookUp(page, "alice");
  await shows(page, "Not shown");
  assert.match(await page.locator("#result").textContent(), /add the version to the pin/);
  await pin(page, flipped(root.commit_id, 5), { label: "another, with its version", version: root.version });
  await lookUp(page, "alice");
  await shows(page, "Not shown");
  assert.match(await page.locator("#result").textContent(), /Do not pin its present root/);
  // The service shows that the pinned version is not in its history.
  await page.screenshot({ path: join(PICTURES, "verify-refused.png"), fullPage: true });
  await pin(page, root.state_digest, { kind: "state_digest", tree: flipped(root.tree_id, 3), label: "another tree" });
  await page.getByText("The service has another tree now.").waitFor();
  await lookUp(page, "alice");
  await shows(page, "Not shown");
  assert.deepEqual(watch.faults, []);
  await context.close();
});

test("a root of the service is pinned with a warning, and moved on by a proof of the history", { skip }, async () => {
  const { page, watch, context } = await open(browser, service, { view: "verify" });
  await page.locator("#pin-newest").click();
  await page.getByText("the server agrees with itself").waitFor();
  await page.locator("#pin-anyway").click();
  await shows(page, "Pinned: version");
  await lookUp(page, "alice");
  await shows(page, "Shown: the key has this value");
  assert.match(await page.locator("#result").textContent(), /only that the service agrees with itself/);

  await service.submit([{ key: "alice", value: "11" }]);
  await lookUp(page, "alice");
  await shows(page, "Shown: the key has this value");
  assert.equal(await page.locator("#value").textContent(), "10");
  await page.locator("#move-on").click();
  await shows(page, "continues the pinned history");
  await page.locator("#pin-moved").click();
  await shows(page, "Pinned: version");
  await lookUp(page, "alice");
  await shows(page, "Shown: the key has this value");
  assert.equal(await page.locator("#value").textContent(), "11");
  assert.match(await page.locator("#result").textContent(), /its history continues that of/);
  await page.locator("#move-on").click();
  await shows(page, "The pinned root is the newest");
  assert.deepEqual(watch.faults, []);
  await context.close();
});

test("a history that was changed is refused", { skip }, async () => {
  const { page, context } = await open(browser, service, { view: "verify" });
  const root = await service.root();
  await pin(page, root.commit_id, { version: root.version });
  await lookUp(page, "alice");
  await service.submit([{ key: "carol", value: "1" }]);
  await page.route("**/v1/history/consistency*", async (route) => {
    const response = await route.fetch();
    const reply = await response.json();
    reply.proof = flipped(reply.proof, reply.proof.length - 9);
    await route.fulfill({ response, json: reply });
  });
  await page.locator("#move-on").click();
  await shows(page, "Not shown");
  assert.equal(await page.locator("#pin-moved").count(), 0);
  await context.close();
});

test("a version that is no longer kept is moved on from", { skip }, async () => {
  const { page, watch, context } = await open(browser, service, { view: "verify" });
  const root = await service.root();
  await pin(page, root.commit_id, { label: "old" });
  await lookUp(page, "alice");
  await shows(page, "Shown: the key has this value");
  await service.submit([{ key: "alice", value: "12" }]);
  await service.kill(); // Only the last version is there after a start.
  await lookUp(page, "alice");
  await shows(page, "No answer to verify");
  assert.match(await page.locator("#result").textContent(), /does not answer/);
  await service.begin();
  await service.submit([{ key: "dora", value: "1" }]);
  await lookUp(page, "alice");
  await shows(page, "No answer to verify");
  assert.match(await page.locator("#result").textContent(), /no longer kept/);
  await page.locator("#move-on").click();
  await shows(page, "continues the pinned history");
  await page.locator("#pin-moved").click();
  await lookUp(page, "alice");
  await shows(page, "Shown: the key has this value");
  assert.equal(await page.locator("#value").textContent(), "12");
  watch.take(/Failed to load resource|ERR_/);
  assert.deepEqual(watch.faults, []);
  await context.close();
});

test("everything works by keyboard, and the focus is always seen", { skip }, async () => {
  const { page, watch, context } = await open(browser, service);
  await page.getByText("Connected", { exact: true }).waitFor();
  const focus = () => page.evaluate(() => {
    const node = document.activeElement;
    const seen = [node, node.nextElementSibling].some((each) => each !== null && getComputedStyle(each).outlineStyle !== "none");
    const box = node.getBoundingClientRect();
    const name = node.getAttribute("aria-label") ?? (node.labels?.[0] ?? node).textContent.trim();
    return { tag: node.localName, id: node.id, name, seen: seen && box.width > 0 && box.x > -1 };
  });
  const walk = async (isThere) => {
    for (let steps = 0; steps < 60; steps += 1) {
      await page.keyboard.press("Tab");
      const at = await focus();
      assert.ok(at.tag === "body" || (at.seen && at.name !== ""), JSON.stringify(at));
      if (isThere(at)) return at;
    }
    assert.fail("it is not reached");
  };
  await walk(({ name }) => name === "Skip to the content");
  await walk(({ name }) => name === "Verify");
  await page.keyboard.press("Enter");
  await page.locator("#pin-newest").waitFor();
  await walk(({ id }) => id === "pin-newest");
  await page.keyboard.press("Enter");
  await shows(page, "Pin what this service shows?");
  assert.equal(await page.evaluate(() => document.activeElement.textContent), "Pin what this service shows?");
  await walk(({ id }) => id === "pin-anyway");
  await page.keyboard.press("Enter");
  await shows(page, "Pinned: version");
  // Back to the beginning, and past the header.
  await page.locator("body").evaluate((body) => body.ownerDocument.activeElement.blur());
  await page.locator(".skip").focus();
  await page.keyboard.press("Enter");
  await walk(({ id }) => id === "key");
  await page.keyboard.type("bob");
  await page.keyboard.press("Enter");
  await shows(page, "Shown: the key has this value");
  assert.equal(await page.evaluate(() => document.activeElement.localName), "h2");
  await walk(({ tag }) => tag === "summary");
  assert.deepEqual(watch.faults, []);
  await context.close();
});

for (const colorScheme of ["light", "dark"]) {
  test(`pictures, and no scrolling sideways on a phone: ${colorScheme}`, { skip }, async () => {
    for (const [name, viewport] of [["desktop", { width: 1280, height: 900 }], ["phone", { width: 320, height: 640 }]]) {
      const { page, watch, context } = await open(browser, service, { view: "verify", colorScheme, viewport });
      await pin(page, JSON.stringify(await service.root()), { label: "The auditors' root, by mail" });
      await lookUp(page, "alice");
      await shows(page, "Shown: the key has this value");
      await page.locator("#result summary").click();
      const width = await page.evaluate(() => document.documentElement.scrollWidth);
      assert.ok(width <= viewport.width, `${width} pixels wide`);
      await page.locator("#result summary").click();
      await page.screenshot({ path: join(PICTURES, `verify-${colorScheme}-${name}.png`), fullPage: true });
      assert.equal(await heading(page).textContent(), "Shown: the key has this value");
      assert.deepEqual(watch.faults, []);
      await context.close();
    }
  });
}
