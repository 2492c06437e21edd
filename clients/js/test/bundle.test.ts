import { strict as assert } from "node:assert";
import { readFileSync } from "node:fs";
import { test } from "node:test";

const { bundle, BUNDLES } = (await import(String(new URL("../../scripts/bundle.mjs", import.meta.url)))) as {
  bundle(): Promise<string>;
  BUNDLES: string[];
};

test("the committed modules are what is built", async () => {
  const module = await bundle();
  for (const file of BUNDLES) {
    assert.ok(readFileSync(file, "utf8") === module, `${file} is out of date: npm run build`);
  }
});

test("the module makes no code of text and asks nobody", () => {
  const module = readFileSync(BUNDLES[0]!, "utf8");
  const code = module.slice(module.indexOf("*/"));
  assert.ok(code.length > 50_000);
  for (const name of ["eval", "Function", "fetch", "XMLHttpRequest", "WebSocket", "EventSource", "require", "import"]) {
    assert.doesNotMatch(code, new RegExp(`(?<![\\w.$"'])${name}\\s*\\(`), name);
  }
  assert.doesNotMatch(code, /https?:/);
});
