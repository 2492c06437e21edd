// A service with its data in a temporary directory, and a browser that looks at its page.

import { strict as assert } from "node:assert";
import { execFileSync, spawn } from "node:child_process";
import { closeSync, existsSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";
import { toHex, valueHash } from "../verifier.js";

const path = (relative) => fileURLToPath(new URL(relative, import.meta.url));
const TARGET = process.env.CARGO_TARGET_DIR ?? path("../../../target");
const TRUNKLINE = process.env.TRUNKLINE ?? join(TARGET, "debug/trunkline");
/** Where pictures of the page are kept. */
export const PICTURES = join(TARGET, "page-pictures");
mkdirSync(PICTURES, { recursive: true });

/** The browser, or the reason why there is none. */
export function browserPath() {
  for (const name of [process.env.CHROMIUM, "/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"]) {
    if (name !== undefined && existsSync(name)) return name;
  }
  assert.notEqual(process.env.REQUIRE_CHROMIUM, "1", "there is no Chromium");
  return null;
}

export const skip = browserPath() === null ? "there is no Chromium" : false;

const ARGUMENTS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--disable-dev-shm-usage",
];

export function launch() {
  return chromium.launch({ executablePath: browserPath(), args: ARGUMENTS });
}

async function freePort() {
  const probe = createServer();
  await new Promise((resolve) => probe.listen(0, "127.0.0.1", resolve));
  const { port } = probe.address();
  await new Promise((resolve) => probe.close(resolve));
  return port;
}

/** A service that can be killed and started again at the same address. */
export class Service {
  #directory = mkdtempSync(join(tmpdir(), "trunkline-page-"));
  #process = null;
  #load = null;
  #tokens = [];
  #headers = {};

  /** Starts one. With a token, everything needs it, and the page a login. */
  static async start({ token } = {}) {
    assert.ok(existsSync(TRUNKLINE), `${TRUNKLINE} is missing: cargo build -p trunkline-cli`);
    const service = new Service();
    if (token !== undefined) service.#takeOnly(token);
    service.port = await freePort();
    service.origin = `http://127.0.0.1:${service.port}`;
    await service.begin();
    return service;
  }

  #takeOnly(token) {
    const hash = toHex(valueHash(new TextEncoder().encode(token))); // Tokens are stored as their BLAKE3 hash.
    this.#tokens = [`${this.#directory}.toml`];
    writeFileSync(this.#tokens[0], `[[token]]\nname = "page"\nhash = "${hash}"\nscopes = ["read", "write"]\n`, { mode: 0o600 });
    this.#headers = { authorization: `Bearer ${token}` };
  }

  async begin() {
    const settings = [`server.listen=127.0.0.1:${this.port}`, ...this.#tokens.map((path) => `server.tokens_path=${path}`)];
    const log = openSync(join(PICTURES, "service.log"), "a");
    this.#process = spawn(TRUNKLINE, ["serve", "--dir", this.#directory, ...settings.flatMap((setting) => ["--set", setting])], { stdio: ["ignore", log, log] });
    closeSync(log);
    // Callers that connect before it is ready wait, or are refused.
    while (!(await this.#isReady())) {
      assert.equal(this.#process.exitCode, null, `the service ended; ${join(PICTURES, "service.log")} says why`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  async #isReady() {
    return fetch(`${this.origin}/ready`).then(({ ok }) => ok, () => false);
  }

  async kill() {
    await this.stopLoad();
    const ended = new Promise((resolve) => this.#process.once("exit", resolve));
    this.#process.kill("SIGKILL");
    await ended;
  }

  async end() {
    await this.kill();
    for (const each of [this.#directory, ...this.#tokens]) rmSync(each, { recursive: true, force: true });
  }

  async submit(operations) {
    const headers = { "content-type": "application/json", ...this.#headers };
    const response = await fetch(`${this.origin}/v1/submit`, { method: "POST", headers, body: JSON.stringify({ operations }) });
    assert.equal(response.status, 200);
    return response.json();
  }

  async root() {
    return (await (await fetch(`${this.origin}/v1/root?with_kzg_root=true`)).json()).root;
  }

  /** Submits until `stopLoad`. */
  load() {
    const isOver = { value: false };
    const client = async (which) => {
      for (let round = 0; !isOver.value; round += 1) {
        const operations = Array.from({ length: 50 }, (_, at) => ({ key: `load-${which}-${(round * 50 + at) % 4000}`, value: `value ${round} ${"x".repeat(60)}` }));
        await this.submit(operations);
        await fetch(`${this.origin}/v1/prove`, { method: "POST", body: JSON.stringify({ keys: [{ key: `load-${which}-1` }], top: "hash" }) }).then((reply) => reply.arrayBuffer());
      }
    };
    this.#load = { isOver, clients: Promise.all([0, 1, 2].map(client)) };
  }

  async stopLoad() {
    if (this.#load === null) return;
    this.#load.isOver.value = true;
    await this.#load.clients;
    this.#load = null;
  }
}

/** What went wrong in a page: errors of its console, violations of its policy, requests to others. */
export class Watch {
  faults = [];

  constructor(context, origin) {
    context.on("request", (request) => {
      if (!request.url().startsWith(`${origin}/`)) this.faults.push(`a request to ${request.url()}`);
    });
    context.on("console", (message) => {
      if (message.type() === "error") this.faults.push(message.text());
    });
    context.on("weberror", (error) => this.faults.push(String(error.error())));
  }

  /** Forgets and returns the faults that match. */
  take(pattern) {
    const taken = this.faults.filter((fault) => pattern.test(fault));
    this.faults = this.faults.filter((fault) => !pattern.test(fault));
    return taken;
  }
}

/** Opens the page in a fresh profile. With PAGE_FROM_DISK=1 its files are those of this folder: for work on the page. */
export async function open(browser, service, { view = "live", ...options } = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  const watch = new Watch(context, service.origin);
  if (process.env.PAGE_FROM_DISK === "1") await context.route(/\/(page\/.*)?$/, fromDisk);
  const page = await context.newPage();
  page.setDefaultTimeout(20_000);
  await page.goto(`${service.origin}/#${view}`);
  return { page, watch, context };
}

async function fromDisk(route) {
  const name = new URL(route.request().url()).pathname.replace(/^\/(page\/)?/, "") || "index.html";
  const file = { "uPlot.js": "uPlot.iife.min.js", "uPlot.css": "uPlot.min.css" }[name] ?? name;
  const response = await route.fetch();
  const contentType = { html: "text/html", css: "text/css", js: "text/javascript", svg: "image/svg+xml" }[file.split(".").at(-1)];
  await route.fulfill({ response, status: 200, contentType, body: readFileSync(path(`../${file}`)) });
}

export function chromiumVersion() {
  return execFileSync(browserPath(), ["--version"], { stdio: ["ignore", "pipe", "ignore"] }).toString().trim();
}
