// uPlot is the copy that npm has.

import { strict as assert } from "node:assert";
import { readFileSync } from "node:fs";
import { test } from "node:test";

test("the copy of uPlot is unchanged", () => {
  for (const [copy, original] of [["uPlot.iife.min.js", "dist/uPlot.iife.min.js"], ["uPlot.min.css", "dist/uPlot.min.css"], ["uPlot.LICENSE", "LICENSE"]]) {
    const read = (path) => readFileSync(new URL(path, import.meta.url), "utf8");
    assert.equal(read(`../${copy}`), read(`./node_modules/uplot/${original}`), copy);
  }
});
