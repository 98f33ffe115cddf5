// The page: views behind tabs, one feed, one store, one handle on time.

import { h } from "./dom.js";
import { Feed } from "./feed.js";
import { Stage } from "./stage.js";
import { Store } from "./store.js";
import { sampled, Timeline } from "./timeline.js";
import { Connections } from "./views/connections.js";
import { Controls } from "./views/controls.js";
import { Host } from "./views/host.js";
import { Ladder } from "./views/ladder.js";
import { MapView } from "./views/map.js";
import { Packets } from "./views/packets.js";

const VIEWS = [Ladder, Connections, Packets, MapView, Host, Controls];
const KEYS = [
  ["1 … 6", "the views"], ["Space", "pause what is shown, or go live again"], ["← →", "one item back or on"],
  ["Shift ← →", "one second back or on"], ["↑ ↓", "the row above or below"], ["/", "filter packets"], ["n", "the next event of a paused lab"],
  ["p", "pause or resume the lab"], ["d", "download the last minutes as pcapng"], ["t", "dark or light"], ["?", "this help"], ["Esc", "go live, close"],
];

const $ = id => document.getElementById(id);
const store = new Store();
let explained = null;
const context = {
  store,
  feed: null,
  // What each counter means is asked for once
  counters() {
    explained ??= context.feed.ask({ ask: "counters" }).catch(() => { explained = null; return {}; });
    return explained;
  },
  openLadder(connection) { go("ladder"); views.ladder.open(connection.key); },
};
context.feed = new Feed(store);
const feed = context.feed;
context.stage = new Stage(context);
context.step = () => { go("map"); context.stage.step(); };
const views = Object.fromEntries(VIEWS.map(View => [View.key, new View(context)]));
let current = null;

const timeline = new Timeline($("timeline"), store, feed, () => render(true));

function theme(next) {
  const dark = next ?? localStorage.getItem("theme") ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
  document.documentElement.dataset.theme = dark;
  if (next) localStorage.setItem("theme", next);
}
const flip = () => theme(document.documentElement.dataset.theme === "dark" ? "light" : "dark");
theme();
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { if (!localStorage.getItem("theme")) theme(); });

function go(key) {
  location.hash = `#/${key}`;
  route(); // at once, not when the browser says so: a field of the view may be wanted
}

function route() {
  const key = location.hash.replace("#/", "");
  const next = views[key] ?? views.ladder;
  if (next === current) return;
  current = next;
  $("view").replaceChildren(current.root);
  for (const tab of $("tabs").children) {
    if (tab.dataset.key === next.constructor.key) tab.setAttribute("aria-current", "page");
    else tab.removeAttribute("aria-current");
  }
  render(true);
}

const STATES = { live: "live", gone: "no connection: trying again", stale: "nothing heard for seconds: what you see is old" };
let rendering = false;

function render(anew = false) {
  if (!store.hello) return;
  timeline.draw();
  current?.show(anew);
  showState();
}

function showState() {
  const paused = !store.isLive;
  const labPaused = store.ticks.at(-1)?.paused;
  const kind = feed.state !== "live" ? "gone" : labPaused ? "paused" : paused ? "back" : "live";
  const words = feed.state !== "live" ? STATES[feed.state] : labPaused ? "the lab is paused" : paused ? "paused: showing the past" : `live${store.ticks.at(-1)?.viewers > 1 ? `, ${store.ticks.at(-1).viewers} look` : ""}`;
  const tooMuch = sampled(store);
  const text = tooMuch ? `${words} · ${tooMuch}` : words;
  if ($("state").dataset.text === text) return;
  $("state").dataset.text = text;
  $("state").dataset.state = kind;
  $("state").title = tooMuch ? "More happens than can be shown: of the last 2 s so many frames are counted, and not kept. A browser that is too slow skips." : "";
  $("state").replaceChildren(h("span", { class: "dot" }), text);
}

feed.listeners.add(what => {
  if (what === "hello") {
    $("title").textContent = store.hello.title === "pystack" ? "live" : store.hello.title;
    document.title = `${store.hello.title} · live`;
    explained = null;
    render(true);
  }
  showState();
  if (what !== "tick" || rendering) return;
  if (!store.isLive && current !== views.controls) { timeline.draw(); return; }
  rendering = true;
  requestAnimationFrame(() => { rendering = false; render(); });
});

function animate() {
  requestAnimationFrame(animate);
  if (current === views.map) views.map.animate();
}
requestAnimationFrame(animate);
setInterval(showState, 500);

$("tabs").append(...VIEWS.map((View, number) => h("a", { href: `#/${View.key}`, "data-key": View.key, title: `key ${number + 1}`, text: View.title })));
const help = $("help");
help.append(h("h2", { id: "help-title", text: "Keys" }), h("dl", {}, KEYS.map(([key, what]) => [h("dt", {}, h("kbd", { text: key })), h("dd", { text: what })])), h("button", { text: "Close", onclick: () => help.close() }));
$("tools").append(
  h("button", { "aria-label": "Dark or light", title: "t", text: "◐", onclick: flip }),
  h("button", { "aria-label": "Keys", title: "?", text: "?", onclick: () => help.showModal() }));

const inField = target => target.matches("input:not([type=range]):not([type=checkbox]), select, textarea");

addEventListener("keydown", event => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Escape") { if (inField(event.target)) event.target.blur(); else timeline.live(); return; }
  if (inField(event.target) || help.open) return;
  const isRange = event.target.matches("input[type=range]");
  const number = Number(event.key);
  if (number >= 1 && number <= VIEWS.length) go(VIEWS[number - 1].key);
  else if (event.key === " " && !event.target.matches("button, summary, a")) timeline.toggle();
  else if (event.key === "?") help.showModal();
  else if (event.key === "t") flip();
  else if (event.key === "/") { go("packets"); views.packets.filter.focus(); }
  else if (event.key === "d") location.href = "/live/capture.pcapng";
  else if ((event.key === "n" || event.key === "s") && store.hello?.network) context.step();
  else if (event.key === "p" && store.hello?.network) context.stage.toggle();
  else if (!isRange && (event.key === "ArrowLeft" || event.key === "ArrowRight")) {
    const by = event.key === "ArrowLeft" ? -1 : 1;
    if (event.shiftKey) { store.at = Math.max(store.oldest, store.now + by); if (store.at >= store.newest) store.at = null; render(true); }
    else timeline.step(by);
  } else if (!isRange && (event.key === "ArrowDown" || event.key === "ArrowUp") && current.move) current.move(event.key === "ArrowDown" ? 1 : -1);
  else return;
  event.preventDefault();
});

addEventListener("hashchange", route);
route();
// For tests, and for whoever looks into it
globalThis.live = { store, feed, views, context };
