// The newest connections as ladders: who sent what to whom, downwards in time.

import { end, h, showDrawing } from "../dom.js";

const EACH_MS = 1000;

export class Ladder {
  static key = "ladder";
  static title = "Ladder";

  constructor(context) {
    Object.assign(this, context);
    this.picked = ""; // a connection's key; "": the newest
    this.drawnAt = 0;
    this.choice = h("select", { id: "which", "aria-label": "Which connection", onchange: () => { this.picked = this.choice.value; this.draw(true); } });
    this.scale = h("button", { "aria-pressed": "false", text: "To scale", onclick: () => {
      this.scale.setAttribute("aria-pressed", String(this.scale.getAttribute("aria-pressed") !== "true"));
      this.draw(true);
    } });
    this.words = h("span", { class: "soft grow" });
    this.holder = h("div", { class: "ladder-holder", id: "ladder-drawing" });
    this.fallback = h("p", { class: "empty", text: "Nothing to draw yet: open a connection, for example with curl." });
    this.root = h("section", {},
      h("div", { class: "head" }, h("h2", { text: "Ladder" }), this.words, this.choice, this.scale),
      h("div", { class: "card" }, this.fallback, this.holder));
  }

  open(key) {
    this.picked = key;
    this.draw(true);
  }

  connections() {
    const { store } = this;
    return [...store.connections.values()].filter(each => each.firstAt <= store.now).sort((a, b) => b.firstAt - a.firstAt).slice(0, 40);
  }

  show(anew = false) {
    const { store } = this;
    const known = this.connections();
    const options = [["", "the newest connection"], ...known.map(each => {
      const row = each.row;
      return [each.key, `${end(row.remote_address, row.remote_port)} → ${end(row.local_address, row.local_port)}${store.isMine(row) ? " (this page)" : ""}`];
    })];
    const text = options.map(each => each.join()).join();
    if (text !== this.optionsText && document.activeElement !== this.choice) {
      this.optionsText = text;
      this.choice.replaceChildren(...options.map(([value, name]) => h("option", { value, text: name, selected: value === this.picked })));
    }
    this.draw(anew);
  }

  async draw(anew) {
    const { store, feed } = this;
    const now = performance.now();
    if (this.busy || (!anew && now - this.drawnAt < EACH_MS)) { this.again ||= anew; return; }
    const known = this.connections();
    const chosen = known.find(each => each.key === this.picked) ?? known.find(each => !store.isMine(each.row)) ?? known[0];
    if (!chosen) return;
    this.drawnAt = now;
    this.busy = true;
    const row = chosen.row;
    try {
      const found = await feed.ask({
        ask: "ladder", ends: [[row.local_address, row.local_port], [row.remote_address, row.remote_port]],
        scale: this.scale.getAttribute("aria-pressed") === "true", width: Math.round(Math.min(1100, Math.max(360, this.root.clientWidth - 40))), ...(store.isLive ? {} : { until: store.now }),
      });
      this.fallback.hidden = Boolean(found.svg);
      this.words.textContent = found.words ?? "";
      if (found.svg && found.svg !== this.svg) showDrawing(this.holder, (this.svg = found.svg));
    } catch (error) {
      this.fallback.textContent = `${error.message}.`;
    }
    this.busy = false;
    if (this.again) { this.again = false; this.draw(true); }
  }
}
