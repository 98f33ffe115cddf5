// A connection as a ladder: who sent what to whom, downwards in time; an arrow opens to its frame.

import { dissected } from "../dissection.js";
import { duration, end, h, showDrawing } from "../dom.js";

const EACH_MS = 1000;
const NARROW = 600; // pixels: below, there is room for the two ends alone
const SCALES_S = [null, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5];

export class Ladder {
  static key = "ladder";
  static title = "Ladder";

  constructor(context) {
    Object.assign(this, context);
    this.picked = ""; // a connection's key; "": the newest
    this.hidden = null; // names of nodes; null: nobody has chosen yet
    this.drawnAt = 0;
    this.choice = h("select", { id: "which", "aria-label": "Which connection", onchange: () => this.open(this.choice.value) });
    this.scaleWords = h("output", { for: "scale" });
    this.scale = h("input", { id: "scale", type: "range", min: 0, max: SCALES_S.length - 1, value: 0, "aria-label": "Time of a line", oninput: () => this.draw(true) });
    this.chips = h("div", { class: "buttons chips", role: "group", "aria-label": "Nodes that are shown" });
    this.words = h("span", { class: "soft grow" });
    this.holder = h("div", { class: "ladder-holder", id: "ladder-drawing", onclick: event => this.openArrow(event.target) });
    this.fallback = h("p", { class: "empty", text: "Nothing to draw yet: open a connection, for example with curl." });
    this.detail = h("div", { class: "card boxes", id: "ladder-frame", hidden: true });
    this.panes = h("div", { class: "packets ladder" }, h("div", { class: "card" }, this.fallback, this.holder), this.detail);
    this.root = h("section", {},
      h("div", { class: "head" }, h("h2", { text: "Ladder" }), this.words, this.choice),
      h("div", { class: "head tools" }, this.chips, h("label", { class: "scale" }, "Time", this.scale, this.scaleWords)),
      this.panes);
  }

  open(key) {
    this.picked = key;
    this.hidden = null;
    this.close();
    this.draw(true);
  }

  // In a lab both ends tell of a connection: it is one all the same, of who has the higher port.
  connections() {
    const { store } = this;
    const found = new Map();
    for (const each of [...store.connections.values()].filter(each => each.firstAt <= store.now).sort((a, b) => b.firstAt - a.firstAt)) {
      const { row } = each;
      const ends = [[row.local_address, row.local_port], [row.remote_address, row.remote_port]].sort((a, b) => b[1] - a[1]);
      const id = ends.join();
      if (found.has(id)) found.get(id).keys.push(each.key);
      else found.set(id, { id, ends, keys: [each.key], isMine: store.isMine(row) });
    }
    return [...found.values()].slice(0, 40);
  }

  show(anew = false) {
    const { store } = this;
    const names = store.hello.network ? store.hello.names : {};
    const known = this.connections();
    const called = ([address, port]) => (names[address] ? `${names[address]}:${port}` : end(address, port));
    const options = [["", "the newest connection"], ...known.map(each => [each.keys[0], `${each.ends.map(called).join(" → ")}${each.isMine ? " (this page)" : ""}`])];
    const text = options.map(each => each.join()).join();
    if (text !== this.optionsText && document.activeElement !== this.choice) {
      this.optionsText = text;
      const chosen = known.find(each => each.keys.includes(this.picked))?.keys[0] ?? "";
      this.choice.replaceChildren(...options.map(([value, name]) => h("option", { value, text: name, selected: value === chosen })));
    }
    this.draw(anew);
  }

  async draw(anew) {
    const { store, feed } = this;
    const scale = SCALES_S[Number(this.scale.value)];
    this.scaleWords.textContent = scale === null ? "as long as it takes" : `${duration(scale)} a line`;
    const now = performance.now();
    if (this.busy || (!anew && now - this.drawnAt < EACH_MS)) { this.again ||= anew; return; }
    const known = this.connections();
    const chosen = known.find(each => each.keys.includes(this.picked)) ?? known.find(each => !each.isMine) ?? known[0];
    if (!chosen) return;
    this.drawnAt = now;
    this.busy = true;
    const width = this.root.clientWidth * (this.detail.hidden || this.root.clientWidth < 832 ? 1 : 0.6) - 44;
    const hidden = this.hidden ?? (this.root.clientWidth < NARROW ? this.between ?? [] : []);
    try {
      const found = await feed.ask({ ask: "ladder", ends: chosen.ends, scale, hidden, width: Math.round(Math.min(1100, Math.max(360, width))), ...(store.isLive ? {} : { until: store.now }) });
      this.fallback.hidden = Boolean(found.svg);
      this.words.textContent = found.svg ? `${found.words} Click an arrow to open its frame.` : found.words;
      if (found.svg && found.svg !== this.svg) showDrawing(this.holder, (this.svg = found.svg));
      this.showNodes(found.nodes ?? [], hidden, chosen);
    } catch (error) {
      this.fallback.textContent = `${error.message}.`;
    }
    this.busy = false;
    if (this.again) { this.again = false; this.draw(true); }
  }

  showNodes(nodes, hidden, chosen) {
    const { names } = this.store.hello;
    const ends = chosen.ends.map(([address]) => names[address]);
    const between = nodes.filter(name => !ends.includes(name));
    const isFirst = this.between?.join() !== between.join() && this.hidden === null && this.root.clientWidth < NARROW;
    this.between = between;
    if (isFirst) this.again = true; // now it is known which there are
    const stamp = `${nodes} ${hidden}`;
    if (stamp === this.stamp) return;
    this.stamp = stamp;
    const set = next => { this.hidden = next; this.draw(true); };
    this.chips.replaceChildren(...(between.length ? [
      h("button", { id: "end-to-end", "aria-pressed": String(between.every(name => hidden.includes(name))), text: "End to end", onclick: () => set(between.every(name => hidden.includes(name)) ? [] : between) }),
      ...between.map(name => h("button", { "aria-pressed": String(!hidden.includes(name)), text: name, title: `Show ${name}, or let packets pass by`, onclick: () => set(hidden.includes(name) ? hidden.filter(each => each !== name) : [...hidden, name]) })),
    ] : []));
  }

  async openArrow(target) {
    const number = Number(target.closest?.("[data-number]")?.dataset.number);
    if (!number) return;
    const wasHidden = this.detail.hidden;
    const parts = await dissected(this, number);
    this.detail.replaceChildren(h("div", { class: "buttons" }, h("button", { text: "Close", onclick: () => this.close() })), ...parts);
    this.detail.hidden = false;
    this.panes.classList.add("opened");
    if (wasHidden) this.draw(true);
  }

  close() {
    this.detail.hidden = true;
    this.panes.classList.remove("opened");
    this.draw(true);
  }
}
