// Ties the parts of the page together.

import { Connection } from "./connection.js";
import { byId, element, setText } from "./elements.js";
import { grouped, micros, visible } from "./format.js";
import { History } from "./history.js";
import { logOut, setUpLogin } from "./login.js";
import { createPlots } from "./plots.js";
import { decisionTable, memberTable, stageTable, tiles } from "./tables.js";
import { drawTimeline, lastVersions, overlap, timelineTable } from "./timeline.js";
import { Verifier } from "./verify.js";

const LOGGED_IN = "trunkline.logged-in";
const VIEWS = ["live", "verify"];

const history = new History();
const plots = createPlots(byId("plots"), history);
const verifier = new Verifier(byId("verify-view"), { status: () => history.status, login: () => showState("login") });
let lastView = VIEWS[0];
let isPaused = false;
let isWaitingToDraw = false;
let isAskedForLogin = false;

const connection = new Connection({
  hello(about) {
    const isOther = history.hello(about);
    // An engine without a name of its own is called like the program.
    const title = about.title === "trunkline" ? "" : visible(about.title);
    setText(byId("title"), title);
    document.title = title === "" ? "trunkline" : `${title} · trunkline`;
    document.querySelector('[data-for="verify"]').hidden = !about.has_proofs;
    if (isOther) alerts.restart = "The service was restarted. What came before is still shown.";
  },
  step(step) {
    const before = history.status?.tree_id;
    history.add(step);
    const { tree_id: tree, failure, is_draining: isDraining } = step.status;
    if (before !== tree) verifier.showPins();
    if (before !== undefined && before !== tree) alerts.tree = "The service has another tree than before. Pinned roots of the other tree do not fit it.";
    alerts.failure = failure === null ? null : `The engine has stopped: ${failure}. Reads may work; open it again.`;
    alerts.draining = isDraining ? "The service is stopping." : null;
    draw();
  },
  state: showState,
});

/** Sentences above the content, by cause. */
const alerts = { failure: null, draining: null, tree: null, restart: null };

function showAlerts() {
  const shown = Object.entries(alerts).filter(([, text]) => text !== null);
  const key = JSON.stringify(shown);
  if (byId("alerts").dataset.shown === key) return;
  byId("alerts").dataset.shown = key;
  const notice = ([cause, text]) => {
    const dismiss = () => {
      alerts[cause] = null;
      showAlerts();
    };
    const canDismiss = cause === "restart" || cause === "tree";
    return element("div", { class: cause === "failure" || cause === "tree" ? "notice bad" : "notice", role: "alert" }, visible(text), " ",
      canDismiss ? element("button", { type: "button", class: "small", click: dismiss }, "Dismiss") : null);
  };
  byId("alerts").replaceChildren(...shown.map(notice));
}

const STATES = { connecting: "Connecting", connected: "Connected", lost: "Not connected", login: "Logged out" };

function showState(state, message = "") {
  byId("connection").dataset.state = state;
  const keeps = state === "lost" && history.points.length > 0 ? ". What is shown is what it had last" : "";
  // While it tries again and again, only the first change is told.
  if (!(state === "connecting" && history.about !== null)) setText(byId("connection-text"), STATES[state] + keeps);
  byId("reconnect").hidden = state !== "lost";
  showLogin(state === "login", message);
  if (state === "connected") byId("logout").hidden = localStorage.getItem(LOGGED_IN) === null;
  countDown();
}

function countDown() {
  const left = connection.retryAt - Date.now();
  setText(byId("countdown"), left > 0 ? `trying again in ${Math.ceil(left / 1000)} s` : "");
}

function showLogin(isShown, message) {
  if (isShown) setText(byId("login-error"), message);
  if (isShown === isAskedForLogin) return;
  isAskedForLogin = isShown;
  byId("login").hidden = !isShown;
  showView();
  if (isShown) byId("token").focus();
}

/** Returns the view that the address names. Another part of the address, such as that of "skip", changes no view. */
function view() {
  const named = location.hash.slice(1);
  if (VIEWS.includes(named)) lastView = named;
  return lastView;
}

function showView() {
  const shown = view();
  for (const node of document.querySelectorAll("[data-view]")) node.hidden = isAskedForLogin || node.dataset.view !== shown;
  for (const link of document.querySelectorAll("[data-for]")) {
    if (link.dataset.for === shown) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  draw();
}

/** Draws at the next frame, unless it is paused. */
function draw() {
  if (isWaitingToDraw) return;
  isWaitingToDraw = true;
  requestAnimationFrame(() => {
    isWaitingToDraw = false;
    showAlerts();
    showRole();
    if (!isPaused && !isAskedForLogin && history.status !== null && view() === "live") drawLive();
  });
}

function showRole() {
  const role = history.status?.role ?? null;
  byId("role").hidden = role === null;
  setText(byId("role"), role ?? "");
}

function drawLive() {
  byId("tiles").replaceChildren(...tiles(history));
  const span = Number(document.querySelector('input[name="span"]:checked').value);
  plots.forEach((plot) => plot.update(span));
  drawPipeline();
  const window = history.lastWindow;
  replaceTable("stages", window && stageTable(window), "No window has ended yet.");
  replaceTable("members", history.members.length > 0 && memberTable(history.members), "Nobody follows this engine.");
  replaceTable("decisions", history.decisions.length > 0 && decisionTable(history.decisions), "None yet.");
}

function replaceTable(id, table, otherwise) {
  byId(id).replaceChildren(table || element("p", { class: "empty" }, otherwise));
}

function drawPipeline() {
  const shown = lastVersions(history.spans);
  const width = byId("pipeline").clientWidth;
  if (shown === null || width === 0) return replaceTable("pipeline", null, "No version was written yet.");
  byId("pipeline").replaceChildren(drawTimeline(shown, width));
  const versions = new Set(shown.spans.map(({ version }) => version)).size;
  const share = Math.round(100 * overlap(shown));
  setText(byId("pipeline-note"), `${grouped(versions)} versions in ${micros(shown.end - shown.begin)}; two stages or more worked in ${share} % of the time.`);
  if (byId("pipeline-data").open) byId("pipeline-data").lastElementChild.replaceChildren(timelineTable(shown));
}

byId("pause").addEventListener("click", () => {
  isPaused = !isPaused;
  byId("pause").setAttribute("aria-pressed", String(isPaused));
  setText(byId("pause"), isPaused ? "Paused" : "Pause");
  draw();
});
byId("reconnect").addEventListener("click", () => connection.retry());
byId("logout").addEventListener("click", async () => {
  await logOut();
  localStorage.removeItem(LOGGED_IN);
  connection.open();
});
byId("spans").addEventListener("change", draw);
byId("pipeline-data").addEventListener("toggle", draw);
addEventListener("resize", draw);
addEventListener("hashchange", showView);
setInterval(countDown, 1_000);

setUpLogin(() => {
  localStorage.setItem(LOGGED_IN, "1");
  connection.open();
});
showView();
connection.open();
