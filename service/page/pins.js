// Pinned roots: what the reader trusts. They are kept in this browser, and never come from a proof by themselves.

const STORAGE = "trunkline.pins.1";
const PINS_MAX = 100;

export const KINDS = { commit_id: "commit id", state_digest: "state digest", kzg_root: "KZG root" };
const HEX_DIGITS = { commit_id: 64, state_digest: 64, kzg_root: 96 };

function isHex(value, digits) {
  return typeof value === "string" && value.length === digits && /^[0-9a-f]*$/.test(value);
}

function isPin(pin) {
  return typeof pin === "object" && pin !== null && pin.kind in KINDS && isHex(pin.hex, HEX_DIGITS[pin.kind])
    && typeof pin.label === "string" && (pin.kind === "commit_id" || isHex(pin.tree_id, 64))
    && (pin.version === null || Number.isSafeInteger(pin.version));
}

/** Returns the pins, the newest first. Entries that are none are left out. */
export function loadPins() {
  try {
    const stored = JSON.parse(localStorage.getItem(STORAGE) ?? "[]");
    return Array.isArray(stored) ? stored.filter(isPin) : [];
  } catch {
    return [];
  }
}

/** Keeps the pins. Throws an `Error` that says what to do if the browser keeps nothing. */
export function savePins(pins) {
  try {
    localStorage.setItem(STORAGE, JSON.stringify(pins.slice(0, PINS_MAX)));
  } catch {
    throw new Error("This browser keeps no data for this page, so the pin is forgotten when the page is closed. Keep the root elsewhere.");
  }
}

/** Creates a pin. `origin` says where it comes from: "pasted", "service", or "moved". */
export function pinOf(fields) {
  return { id: crypto.getRandomValues(new Uint32Array(4)).join("-"), version: null, tree_id: null, record: null, from: null, pinned_unix_ms: Date.now(), ...fields };
}

/**
 * Reads what was pasted: a digest in hex, or a root as JSON, as the service and the command print it. Throws an `Error`
 * that says what is missing.
 */
export function readRoot({ text, kind, treeId, version }) {
  const pasted = text.trim();
  if (pasted === "") throw new Error("Paste a root.");
  const given = { tree_id: digits(treeId, 64, "The tree id"), version: number(version) };
  if (pasted.startsWith("{")) return ofJson(pasted, given);
  const hex = pasted.replace(/\s/g, "").replace(/^0x/i, "").toLowerCase();
  if (!/^[0-9a-f]+$/.test(hex) || ![64, 96].includes(hex.length)) {
    throw new Error(`A commit id or a state digest has 64 hexadecimal digits, a KZG root 96. This has ${hex.length} characters.`);
  }
  return withTree({ kind: hex.length === 96 ? "kzg_root" : kind === "kzg_root" ? "commit_id" : kind, hex, ...given });
}

function ofJson(text, given) {
  let root;
  try {
    const parsed = JSON.parse(text);
    root = parsed.root ?? parsed;
  } catch {
    throw new Error("This begins like JSON and is none. Paste all of it, or a digest in hex.");
  }
  const fields = { tree_id: given.tree_id ?? digits(root.tree_id ?? "", 64, "tree_id"), version: given.version ?? number(String(root.version ?? "")) };
  for (const kind of Object.keys(KINDS)) {
    if (typeof root[kind] === "string") return withTree({ kind, hex: digits(root[kind], HEX_DIGITS[kind], kind), ...fields });
  }
  throw new Error("The JSON has no commit_id, no state_digest and no kzg_root.");
}

function withTree(root) {
  if (root.kind !== "commit_id" && root.tree_id === null) {
    throw new Error(`A ${KINDS[root.kind]} needs the tree id too: who makes a proof could choose another tree in which the key is absent.`);
  }
  return root;
}

function digits(text, count, name) {
  const hex = text.trim().replace(/^0x/i, "").toLowerCase();
  if (hex === "") return null;
  if (!isHex(hex, count)) throw new Error(`${name} has ${count} hexadecimal digits.`);
  return hex;
}

function number(text) {
  const trimmed = text.trim();
  if (trimmed === "") return null;
  const value = Number(trimmed);
  if (!/^\d+$/.test(trimmed) || !Number.isSafeInteger(value)) throw new Error("A version is a whole number.");
  return value;
}
