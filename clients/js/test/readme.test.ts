// The examples of README.md run as they stand: in Node, and in Chromium under a strict policy.

import { strict as assert } from "node:assert";
import { execFile } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { fromHex, toHex } from "../src/index.js";
import { text, vectors } from "./vectors.js";

const run = promisify(execFile);

const [NODE_EXAMPLE, BROWSER_EXAMPLE] = [...text("clients/js/README.md").matchAll(/```js\n([^]*?)```/g)].map(
  ([, code]) => code!,
);

interface Example {
  proof: string;
  commitId: string;
  key: string;
  claim: string;
  version: string;
}

/** A proof of one key against a commit id. */
function example(): Example {
  interface ProofVector {
    proof: string;
    trusted: { kind: string; commit_id: string }[];
    claims: { version: string; entries: { key: string; claim: "absent" | object }[] }[];
  }
  const all = vectors<ProofVector[]>("proofs.json");
  const { proof, trusted, claims } = all.find((each) => each.trusted[0]!.kind === "commit_id")!;
  const [entry] = claims[0]!.entries;
  const claim = typeof entry!.claim === "string" ? entry!.claim : Object.keys(entry!.claim)[0]!;
  return { proof, commitId: trusted[0]!.commit_id, key: entry!.key, claim, version: claims[0]!.version };
}

/** Changes the last bit of the commit id that is trusted. */
function another(commitId: string): string {
  const bytes = fromHex(commitId);
  bytes[31]! ^= 1;
  return toHex(bytes);
}

test("the example for Node verifies, and refuses against another commit id", async () => {
  const file = fileURLToPath(new URL("readme.mjs", import.meta.url));
  writeFileSync(file, NODE_EXAMPLE!);
  const { proof, commitId, key, claim, version } = example();
  const print = async (trusted: string) => {
    const env = { ...process.env, PROOF: proof, COMMIT_ID: trusted, KEY: key };
    return (await run(process.execPath, [file], { env })).stdout;
  };
  assert.equal(await print(commitId), `version ${version}: ${claim}\n`);
  assert.match(await print(another(commitId)), /^nothing is proven: refused \(ExpectedCommit\)/);
});

async function chromium(): Promise<string | null> {
  for (const name of [process.env["CHROMIUM"], "chromium", "chromium-browser", "google-chrome"]) {
    if (name === undefined) continue;
    const found = await run(name, ["--version"]).catch(() => null);
    if (found !== null) return name;
  }
  return null;
}

/** Serves the page of the example, and nothing that its policy does not allow. */
async function serve({ proof, commitId, key }: Example): Promise<Server> {
  const page = `<!doctype html><script type="module" src="./page.js"></script>
    <p id="commit-id">${commitId}</p><p id="key">${key}</p><p id="result"></p>`;
  const files = new Map<string, [string, string | Uint8Array]>([
    ["/", ["text/html", page]],
    ["/page.js", ["text/javascript", BROWSER_EXAMPLE!]],
    ["/verifier.min.js", ["text/javascript", readFileSync(new URL("../../dist/verifier.min.js", import.meta.url))]],
    ["/proof", ["application/octet-stream", fromHex(proof)]],
  ]);
  const server = createServer((request, response) => {
    const file = files.get(request.url ?? "");
    response.setHeader("Content-Security-Policy", "default-src 'none'; script-src 'self'; connect-src 'self'");
    response.statusCode = file === undefined ? 404 : 200;
    if (file !== undefined) response.setHeader("Content-Type", file[0]);
    response.end(file?.[1]);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return server;
}

/** Returns what the example shows in a browser. */
async function shown(browser: string, given: Example): Promise<string> {
  const server = await serve(given);
  const profile = fileURLToPath(new URL("chromium", import.meta.url));
  mkdirSync(profile, { recursive: true });
  const options = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    `--user-data-dir=${profile}`,
  ];
  const { port } = server.address() as AddressInfo;
  try {
    // In virtual time: Chromium prints the page when nothing is left to do.
    const address = `http://127.0.0.1:${port}/`;
    const { stdout } = await run(browser, [...options, "--virtual-time-budget=60000", "--dump-dom", address]);
    return /<p id="result">(.*?)<\/p>/.exec(stdout)?.[1] ?? stdout;
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

test("the example for browsers verifies in Chromium, and refuses against another commit id", async (context) => {
  const browser = await chromium();
  if (browser === null && process.env["REQUIRE_CHROMIUM"] !== "1") return context.skip("there is no Chromium");
  const given = example();
  assert.equal(await shown(browser!, given), given.claim);
  const refused = await shown(browser!, { ...given, commitId: another(given.commitId) });
  assert.match(refused, /^nothing is proven: refused \(ExpectedCommit\)/);
});
