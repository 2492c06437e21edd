// The verifier on the page: look a key up, and see what was shown and what was trusted.

import { byId, element, setText } from "./elements.js";
import { bytes as size, date, grouped, shortHex, textOf, visible } from "./format.js";
import { KINDS, loadPins, pinOf, readRoot, savePins } from "./pins.js";
import { AskError, continuation, fetchValue, lookUp, newestRoot, NotShownError, VALUE_BYTES_MAX } from "./proofs.js";
import { fromHex, toHex } from "./verifier.js";

const SHOWN_BYTES_MAX = 65_536;

/** The view. `status` returns what the service says of itself, `login` asks for a token. */
export class Verifier {
  #pins = loadPins();
  #chosen = null;
  #status;
  #login;

  constructor(node, { status, login }) {
    this.#status = status;
    this.#login = login;
    node.append(element("h1", { class: "hidden" }, "Verify"),
      element("div", { class: "columns" }, element("div", {}, lookUpCard(), element("div", { id: "result" }, steps())), element("div", {}, pinCard(), newPinCard())));
    byId("look-up-form").addEventListener("submit", (event) => this.#act(event, () => this.#lookUp()));
    byId("pin-form").addEventListener("submit", (event) => this.#pinPasted(event));
    byId("pin-newest").addEventListener("click", (event) => this.#act(event, () => this.#pinNewest()));
    this.#chosen = this.#pins[0]?.id ?? null;
    this.showPins();
  }

  // Runs what waits for the service, with the buttons off meanwhile.
  async #act(event, act) {
    event.preventDefault();
    const buttons = document.querySelectorAll("#verify-view button");
    const active = document.activeElement;
    buttons.forEach((button) => (button.disabled = true));
    byId("result").setAttribute("aria-busy", "true");
    try {
      await act();
    } catch (error) {
      if (error.code === "unauthenticated") this.#login();
      this.#showError(error);
    } finally {
      buttons.forEach((button) => (button.disabled = false));
      byId("result").removeAttribute("aria-busy");
      if (document.activeElement === document.body && active?.isConnected) active.focus();
    }
  }

  get #pin() {
    return this.#pins.find(({ id }) => id === this.#chosen) ?? null;
  }

  #keep(pins, chosen) {
    this.#pins = pins;
    this.#chosen = chosen;
    this.showPins();
    savePins(pins);
  }

  #change(pin, fields) {
    this.#keep(this.#pins.map((other) => (other.id === pin.id ? { ...other, ...fields } : other)), this.#chosen);
  }

  async #lookUp() {
    const pin = this.#pin;
    if (pin === null) return this.#show(noPin());
    const key = readKey();
    if (key instanceof Error) return this.#show(failure("Not asked", key.message));
    const shown = await lookUp(pin, key);
    const version = shown.version === null ? null : Number(shown.version);
    if (pin.kind === "commit_id" && pin.record === null) this.#change(pin, { version, record: shown.record, tree_id: shown.treeId });
    const result = this.#resultOf(key, this.#pins.find(({ id }) => id === pin.id), { ...shown, version });
    this.#show(result);
  }

  #resultOf(key, pin, shown) {
    const { claim, version } = shown;
    const isPresent = claim.kind !== "absent";
    const heading = isPresent ? "Shown: the key has this value" : "Shown: the key has no value";
    const value = claim.kind === "value" ? valueNode(claim.value) : claim.kind === "value_hash" ? this.#byHash(key, version, claim.valueHash) : null;
    return card("good", heading, value,
      element("h3", {}, "What was shown"), element("ul", {}, listed(whatWasShown(key, pin, shown))),
      element("h3", {}, "What was trusted"), element("ul", {}, listed(this.#whatWasTrusted(pin))),
      element("h3", {}, "What this does not show"), element("ul", {}, listed(this.#whatIsOpen(pin, version))),
      this.#mayMove(pin) ? this.#moveButton(pin) : null, proofDetails(shown.sent));
  }

  #byHash(key, version, hash) {
    const place = element("div");
    const fetchIt = async () => {
      const value = await fetchValue(key, version, hash);
      place.replaceChildren(element("p", {}, `This value of ${size(value.length)} has the hash that the proof shows.`), valueNode(value));
    };
    place.append(element("p", {}, `The value has more than ${size(VALUE_BYTES_MAX)}, so the proof shows its BLAKE3 hash:`),
      element("p", { class: "mono", id: "value-hash" }, toHex(hash)),
      element("div", { class: "row" }, element("button", { type: "button", id: "fetch-value", click: (event) => this.#act(event, fetchIt) }, "Fetch the value and check its hash")));
    return place;
  }

  #whatWasTrusted(pin) {
    const from = {
      pasted: `You pasted it on ${date(pin.pinned_unix_ms)}. It is worth what its source is worth.`,
      service: `It was taken from this service on ${date(pin.pinned_unix_ms)}. So this shows only that the service agrees with itself since then. Compare the root with one from another source.`,
      moved: `It was taken from this service on ${date(pin.pinned_unix_ms)}, with a proof that its history continues that of “${pin.from}”. What was written since then is what the service says.`,
    };
    return [
      `The pinned root “${pin.label}” (${KINDS[pin.kind]} ${shortHex(pin.hex)}). ${from[pin.origin] ?? ""}`,
      "This page and its verifier, which came from this service. One that lies could send a page that lies: trunkline verify, or the packages for JavaScript and Python, check the same proof without it.",
    ];
  }

  #whatIsOpen(pin, version) {
    const newest = this.#status()?.durable_version;
    const open = [];
    if (version === null) open.push(`Which version it is: a ${KINDS[pin.kind]} names a state, and no version.`);
    if (version !== null && newest > version) open.push(`What is true now. The service says that it has version ${grouped(newest)}; the pinned root is that of version ${grouped(version)}.`);
    else open.push("That nothing was written since then.");
    return open;
  }

  #mayMove(pin) {
    return pin.kind === "commit_id" && pin.version !== null;
  }

  #moveButton(pin) {
    return element("div", { class: "row" }, element("button", { type: "button", id: "move-on", click: (event) => this.#act(event, () => this.#moveOn(pin)) }, "Move on to the newest version"),
      element("span", { class: "note" }, "asks for a proof that the history continues the pinned one"));
  }

  async #moveOn(pin) {
    const newest = await continuation(pin);
    if (newest === null) return this.#show(card("", "The pinned root is the newest", element("p", {}, `The service has no version after ${grouped(pin.version)}.`)));
    const keep = (event) => this.#act(event, async () => {
      const moved = pinOf({ ...newest, label: `${pin.label}, at ${newest.version}`, origin: "moved", from: pin.label });
      this.#keep([moved, ...this.#pins], moved.id);
      this.#show(card("good", `Pinned: version ${grouped(newest.version)}`, element("p", {}, "Look the key up again. The older pin is still there.")));
    });
    this.#show(card("good", `Shown: version ${grouped(newest.version)} continues the pinned history`,
      element("p", {}, `The proof shows that the history of version ${grouped(newest.version)} begins with that of version ${grouped(pin.version)}, which you pinned: nothing of it was changed or left out.`),
      facts([["commit id", newest.hex], ["tree", newest.tree_id]]),
      element("h3", {}, "What this does not show"),
      element("ul", {}, listed(["That what was written since then should have been written. Whoever can write to the tree can continue its history.", "That others see the same continuation. Compare the commit id with theirs."])),
      element("div", { class: "row" }, element("button", { type: "button", id: "pin-moved", class: "primary", click: keep }, `Pin version ${grouped(newest.version)}`))));
  }

  async #pinNewest() {
    const root = await newestRoot();
    const others = this.#pins.filter(({ tree_id: tree }) => tree !== null && tree !== root.tree_id);
    const keep = (event) => this.#act(event, async () => {
      const pin = pinOf({ ...root, label: `this service, version ${root.version}`, origin: "service" });
      this.#keep([pin, ...this.#pins], pin.id);
      this.#show(card("", `Pinned: version ${grouped(root.version)} as this service shows it`, element("p", {}, "Compare the commit id with one from another source as soon as you can.")));
    });
    this.#show(card("warn", "Pin what this service shows?",
      element("p", {}, "A root from the server that also makes the proofs shows one thing alone: that the server agrees with itself from now on. It does not show that the server was honest until now. A root that you got elsewhere shows more."),
      facts([["version", grouped(root.version)], ["commit id", root.hex], ["tree", root.tree_id]]),
      others.length > 0 ? element("p", { class: "notice bad" }, `Your pin “${others[0].label}” is of another tree (${shortHex(others[0].tree_id)}). This is another tree than the one you pinned, or another service.`) : null,
      element("div", { class: "row" }, element("button", { type: "button", id: "pin-anyway", class: "primary", click: keep }, "Pin this root"))));
  }

  #pinPasted(event) {
    event.preventDefault();
    const read = (id) => byId(id).value;
    try {
      const root = readRoot({ text: read("pin-root"), kind: read("pin-kind"), treeId: read("pin-tree"), version: read("pin-version") });
      const label = read("pin-label").trim().slice(0, 80) || `${KINDS[root.kind]} ${root.hex.slice(0, 8)}`;
      const pin = pinOf({ ...root, label, origin: "pasted" });
      this.#keep([pin, ...this.#pins], pin.id);
      byId("pin-form").reset();
      setText(byId("pin-error"), "");
      byId(`pin-${pin.id}`).focus();
    } catch (error) {
      setText(byId("pin-error"), error.message);
      byId("pin-root").focus();
    }
  }

  /** Shows the pins. Those of another tree than the service has say so. */
  showPins() {
    const tree = this.#status()?.tree_id ?? null;
    const entries = this.#pins.map((pin) => this.#pinEntry(pin, tree));
    byId("pins").replaceChildren(...entries);
    byId("no-pins").hidden = entries.length > 0;
  }

  #pinEntry(pin, tree) {
    const choose = () => {
      this.#chosen = pin.id;
      document.querySelectorAll("#pins li").forEach((item) => item.classList.toggle("chosen", item.contains(radio)));
    };
    const radio = element("input", { type: "radio", name: "pin", id: `pin-${pin.id}`, change: choose, checked: pin.id === this.#chosen });
    const version = pin.version === null ? "" : `, version ${grouped(pin.version)}`;
    const origin = { pasted: "pasted by you", service: "taken from this service", moved: `continues “${pin.from}”` }[pin.origin] ?? "";
    const isOther = tree !== null && pin.tree_id !== null && pin.tree_id !== tree;
    const text = element("span", {}, visible(pin.label), element("span", { class: "note" }, `${KINDS[pin.kind]}${version}, ${origin}`), element("span", { class: "mono soft" }, shortHex(pin.hex)),
      isOther ? element("span", { class: "error note" }, "The service has another tree now.") : null);
    return element("li", { class: pin.id === this.#chosen ? "chosen" : null }, element("label", {}, radio, text),
      element("div", { class: "row" }, removeButton(pin.label, () => this.#remove(pin))));
  }

  #remove(pin) {
    const pins = this.#pins.filter(({ id }) => id !== pin.id);
    this.#keep(pins, this.#chosen === pin.id ? (pins[0]?.id ?? null) : this.#chosen);
    (byId("pins").querySelector("input:checked") ?? byId("pin-root")).focus();
  }

  #show(result) {
    byId("result").replaceChildren(result);
    result.querySelector("h2").focus();
  }

  #showError(error) {
    const pin = this.#pin;
    const canMove = pin !== null && this.#mayMove(pin) && error.code === "version_expired";
    const result = error instanceof NotShownError
      ? card("bad", "Not shown", element("p", {}, `What the service sent does not hold: ${error.message}.`), element("p", {}, whatToDo(error.code, pin)), proofDetails(error.sent))
      : failure("No answer to verify", error instanceof AskError ? explained(error, pin) : error.message);
    if (canMove) result.append(this.#moveButton(pin));
    this.#show(result);
  }
}

function whatToDo(code, pin) {
  if (["ExpectedCommit", "ExpectedState", "ExpectedKzgRoot"].includes(code)) {
    return pin?.version === null
      ? "The service proved its newest version, and that is not the pinned one. If the tree was written since, add the version to the pin: pin the root again with it."
      : "The service shows another state for the pinned version. Either its data are not those that you pinned, or the pin is of another tree. Do not pin its present root. Keep the proof below, and ask another replica.";
  }
  const known = {
    ExpectedTree: "The service has another tree than the pinned one. Check that this is the service that you mean.",
    Fork: "The service, or who wrote your pin, shows another history. Do not pin its present root. Keep both commit ids, and ask the other replicas.",
    Behind: "It may be a replica that is behind, or was restored from an older copy. Ask again later, or ask another one.",
    NeedsOlder: "The service no longer has the record of the pinned version, and this browser has not seen it. Pin a newer root from a source that you trust.",
    OtherValue: "The value is not the proven one, or it was written in between. Look the key up again.",
  };
  return known[code] ?? "The answer was changed on its way, or the service is at fault. Nothing follows from it, neither for nor against. Look the key up again; if it stays so, keep the proof below.";
}

function explained({ code, message }, pin) {
  const more = {
    version_expired: pin?.kind === "commit_id"
      ? "The pinned version is no longer kept, so nothing can be proven of it. A proof can still show that the newest version continues its history."
      : `The pinned version is no longer kept. A ${pin === null ? "root" : KINDS[pin.kind]} names no history, so it cannot be moved on: pin a commit id from a source that you trust.`,
    version_not_reached: "The service does not have the pinned version yet. It may be a replica that is behind, or was restored from an older copy.",
    unauthenticated: "Log in first.",
  }[code];
  return more === undefined ? message : `${more} (The service says: ${message}.)`;
}

function whatWasShown(key, pin, { version, treeId, claim, bytes }) {
  const name = textOf(key) === null ? `0x${shortHex(toHex(key))}` : `“${visible(textOf(key))}”`;
  const at = version === null ? `In the pinned state of tree ${shortHex(treeId)}` : `At version ${grouped(version)} of tree ${shortHex(treeId)}`;
  const what = { value: "has the value above", value_hash: "has a value with the hash above", absent: "has no value" }[claim.kind];
  return [`${at}, the key ${name} ${what}.`, `The proof has ${size(bytes)}. This page computed the ${KINDS[pin.kind]} from it, and it is the pinned one. The service was not asked whether it is.`];
}

function readKey() {
  const text = byId("key").value;
  if (byId("key-text").checked) return new TextEncoder().encode(text);
  try {
    return fromHex(text.trim().replace(/^0x/i, ""));
  } catch {
    return new Error("A key in hex has an even number of hexadecimal digits.");
  }
}

function valueNode(value) {
  const text = textOf(value);
  const isCut = value.length > SHOWN_BYTES_MAX;
  const shown = text === null ? toHex(value.subarray(0, SHOWN_BYTES_MAX)) : visible(text.slice(0, SHOWN_BYTES_MAX));
  const note = `${size(value.length)}${text === null ? ", not a text; in hex" : ""}${isCut ? "; only its beginning is shown" : ""}`;
  return element("div", {}, element("pre", { class: "value", id: "value", tabindex: "0", "aria-label": "Value" }, shown), element("p", { class: "note" }, note));
}

function listed(texts) {
  return texts.map((text) => element("li", {}, visible(text)));
}

function facts(entries) {
  return element("dl", { class: "facts" }, entries.flatMap(([name, value]) => [element("dt", {}, name), element("dd", { class: "mono" }, value)]));
}

function card(look, heading, ...children) {
  return element("section", { class: `card result ${look}` }, element("h2", { tabindex: "-1" }, heading), ...children);
}

function failure(heading, message) {
  return card("bad", heading, element("p", {}, visible(message)));
}

function noPin() {
  return failure("Nothing is pinned yet", "Without a root that you trust, a proof shows nothing. Pin one first: paste it, or take the one of this service.");
}

function proofDetails(sent) {
  return sent === "" ? null : element("details", { class: "data" }, element("summary", {}, "Proof, hex"), element("textarea", { class: "mono", readonly: true, rows: 5, "aria-label": "Proof, hex" }, sent));
}

// A pin is removed by a second press.
function removeButton(label, remove) {
  const button = element("button", { type: "button", class: "small", "aria-label": `Remove the pin ${label}` }, "Remove");
  let isSure = false;
  button.addEventListener("click", () => {
    if (isSure) return remove();
    isSure = true;
    setText(button, "Remove for good?");
    button.setAttribute("aria-label", `Remove the pin ${label} for good?`);
  });
  button.addEventListener("blur", () => {
    isSure = false;
    setText(button, "Remove");
    button.setAttribute("aria-label", `Remove the pin ${label}`);
  });
  return button;
}

function field(id, label, control, note) {
  const described = note === undefined ? null : `${id}-note`;
  if (described !== null) control.setAttribute("aria-describedby", described);
  return element("div", { class: "field" }, element("label", { for: id }, label), control, note === undefined ? null : element("p", { class: "note", id: described }, note));
}

function choice(id, name, label, isChecked) {
  return element("label", {}, element("input", { type: "radio", id, name, checked: isChecked }), element("span", {}, label));
}

function lookUpCard() {
  return element("section", { class: "card", "aria-labelledby": "look-up-heading" },
    element("h2", { id: "look-up-heading" }, "Look a key up"),
    element("p", { class: "note" }, "The service makes a proof. JavaScript on this page checks it against the root that you pinned."),
    element("form", { id: "look-up-form" },
      field("key", "Key", element("input", { id: "key", class: "mono", autocomplete: "off", autocapitalize: "off", spellcheck: "false" })),
      element("div", { class: "row" },
        element("fieldset", { class: "choice" }, element("legend", {}, "The key is"), choice("key-text", "key-form", "text", true), choice("key-hex", "key-form", "hex", false)),
        element("span", { class: "grow" }),
        element("button", { class: "primary", id: "look-up" }, "Look up and verify"))));
}

function steps() {
  return element("section", { class: "card", "aria-labelledby": "steps-heading" },
    element("h2", { id: "steps-heading" }, "How it works"),
    element("ol", { class: "steps" },
      element("li", {}, "Pin a root that you trust: from an auditor, a colleague, another replica, a backup. Or take the one that this service shows, which proves less."),
      element("li", {}, "Look a key up. The service sends a proof of its value, or that it has none."),
      element("li", {}, "This page computes the root from the proof, and compares it with yours. It says what was shown, and what that rests on.")));
}

function pinCard() {
  return element("section", { class: "card", "aria-labelledby": "pins-heading" },
    element("h2", { id: "pins-heading" }, "Pinned roots"),
    element("p", { class: "note" }, "What you trust. They stay in this browser."),
    element("p", { id: "no-pins", class: "empty" }, "None yet."),
    element("ul", { id: "pins", class: "pins", "aria-labelledby": "pins-heading" }),
    element("div", { class: "row" }, element("button", { type: "button", id: "pin-newest" }, "Take the root of this service…")));
}

function newPinCard() {
  const option = (value) => element("option", { value }, KINDS[value]);
  return element("section", { class: "card", "aria-labelledby": "pin-heading" },
    element("h2", { id: "pin-heading" }, "Pin a root"),
    element("form", { id: "pin-form" },
      field("pin-root", "Root", element("textarea", { id: "pin-root", rows: 3, spellcheck: "false", autocomplete: "off" }), "A commit id, state digest or KZG root in hex, or a root as JSON, from a source other than this service."),
      field("pin-kind", "It is a", element("select", { id: "pin-kind" }, option("commit_id"), option("state_digest"), option("kzg_root"))),
      field("pin-tree", "Tree id", element("input", { id: "pin-tree", class: "mono", spellcheck: "false", autocomplete: "off" }), "Needed with a state digest or a KZG root."),
      element("div", { class: "pair" },
        field("pin-version", "Version", element("input", { id: "pin-version", inputmode: "numeric", autocomplete: "off" }), "If you know it. It is not trusted: it says what to ask for."),
        field("pin-label", "Label", element("input", { id: "pin-label", maxlength: "80", autocomplete: "off" }), "For you: where the root is from.")),
      element("p", { id: "pin-error", class: "error", role: "alert" }),
      element("div", { class: "row" }, element("button", {}, "Pin"))));
}
