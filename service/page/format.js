// Figures and bytes as texts.

const NUMBER = new Intl.NumberFormat("en");

/** Returns a whole number with its digits in groups of three. */
export function grouped(value) {
  return NUMBER.format(value);
}

/** Returns at most three significant digits, without trailing zeros. */
function short(value) {
  const size = Math.abs(value);
  return String(Number(value.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : 2)));
}

function scaled(value, units) {
  const fitting = units.find(([size]) => Math.abs(value) >= size * 0.9995);
  return fitting === undefined ? short(value) : `${short(value / fitting[0])}${fitting[1]}`;
}

export function compact(value) {
  return scaled(value, [[1e9, "G"], [1e6, "M"], [1e3, "k"]]);
}

export function perSecond(value) {
  return `${compact(value)}/s`;
}

export function micros(value) {
  return value === 0 ? "0" : scaled(value, [[1e6, " s"], [1e3, " ms"], [1, " µs"], [1e-3, " ns"]]);
}

export function bytes(value) {
  return value < 1024 ? `${short(value)} B` : scaled(value, [[2 ** 40, " TiB"], [2 ** 30, " GiB"], [2 ** 20, " MiB"], [2 ** 10, " KiB"]]);
}

/** Returns a time as its two largest units. */
export function duration(ms) {
  const seconds = Math.floor(ms / 1000);
  const parts = [[86_400, "d"], [3_600, "h"], [60, "min"], [1, "s"]];
  const first = parts.findIndex(([size]) => seconds >= size);
  if (first < 0) return "0 s";
  const [size, name] = parts[first];
  const whole = `${Math.floor(seconds / size)} ${name}`;
  const next = parts[first + 1];
  if (next === undefined) return whole;
  const rest = Math.floor((seconds % size) / next[0]);
  return rest === 0 ? whole : `${whole} ${rest} ${next[1]}`;
}

export function clock(unixMs) {
  return new Date(unixMs).toLocaleTimeString("en-GB");
}

export function date(unixMs) {
  return new Date(unixMs).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "short" });
}

/** Returns the first digits of a long hexadecimal text. */
export function shortHex(hex) {
  return hex.length > 20 ? `${hex.slice(0, 16)}…` : hex;
}

// Control characters, and marks that change the direction of reading: a value must not disguise what it is.
const HIDDEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\uffff]/gu;

/** Returns a text in which nothing is hidden. */
export function visible(text) {
  return text.replace(HIDDEN, (character) => `\\u{${character.codePointAt(0).toString(16)}}`);
}

/** Returns bytes as a text, or null if they are not UTF-8. */
export function textOf(bytes) {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return null;
  }
}
