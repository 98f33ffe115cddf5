// The last minutes at the foot of the page: how much went on, where something was lost, and a handle.

import { h, s, count } from "./dom.js";

const BARS = 240;

export class Timeline {
  constructor(root, store, feed, changed) {
    Object.assign(this, { root, store, feed, changed });
    this.drawing = s("svg", { viewBox: `0 0 ${BARS} 34`, preserveAspectRatio: "none", "aria-hidden": "true" });
    this.handle = h("input", {
      type: "range", min: 0, max: 1000, value: 1000, "aria-label": "Go back through the last minutes",
      oninput: () => this.scrub(Number(this.handle.value)),
    });
    this.pause = h("button", { id: "pause", onclick: () => this.toggle(), title: "Space" });
    this.label = h("span", { class: "label" });
    root.append(
      h("div", { class: "buttons" }, this.pause),
      h("div", { class: "bar" }, this.drawing, this.handle),
      this.label,
    );
    this.draw();
  }

  toggle() {
    this.store.at = this.store.isLive ? this.store.newest : null;
    this.changed();
  }

  live() {
    this.store.at = null;
    this.changed();
  }

  scrub(value) {
    const { oldest, newest } = this.store;
    this.store.at = value >= 1000 ? null : oldest + ((newest - oldest) * value) / 1000;
    this.changed();
  }

  // To the item before or after the one that is shown
  step(by) {
    const { store } = this;
    if (!store.items.length) return;
    const here = store.upTo(store.now) - 1;
    const item = store.items[Math.max(0, Math.min(store.items.length - 1, here + by))];
    store.at = item.at;
    this.changed(item);
  }

  draw() {
    const { store } = this;
    this.pause.textContent = store.isLive ? "Pause" : "Go live";
    this.pause.setAttribute("aria-pressed", String(!store.isLive));
    const { oldest, newest, ticks } = store;
    const span = Math.max(newest - oldest, 1e-9);
    const bars = Array.from({ length: BARS }, () => ({ frames: 0, lost: 0, left: 0 }));
    for (const tick of ticks) {
      const bar = bars[Math.min(BARS - 1, Math.floor(((tick.at - oldest) / span) * BARS))];
      bar.frames += tick.frames;
      bar.lost += tick.lost;
      bar.left += tick.leftOut;
    }
    const most = Math.max(1, ...bars.map(bar => bar.frames));
    const parts = [s("line", { class: "base", x1: 0, x2: BARS, y1: 33, y2: 33 })];
    bars.forEach((bar, x) => {
      if (bar.frames) {
        const height = 2 + 26 * Math.sqrt(bar.frames / most);
        parts.push(s("rect", { class: bar.left ? "act left" : "act", x, y: 33 - height, width: 0.8, height }));
      }
      if (bar.lost) parts.push(s("rect", { class: "drop", x, y: 0, width: 0.9, height: 4 }));
    });
    const x = ((store.now - oldest) / span) * BARS;
    if (ticks.length) parts.push(s("line", { class: "head", x1: x, x2: x, y1: 0, y2: 34 }));
    this.drawing.replaceChildren(...parts);
    if (document.activeElement !== this.handle || store.isLive) {
      this.handle.value = String(store.isLive ? 1000 : ((store.now - oldest) / span) * 1000);
    }
    this.handle.setAttribute("aria-valuetext", this.words());
    this.label.textContent = this.words();
  }

  words() {
    const { store } = this;
    if (!store.ticks.length) return "nothing yet";
    if (store.isLive) return `${store.clock(store.newest)} · live`;
    return `${store.clock(store.now)} · ${(store.newest - store.now).toFixed(1)} s back`;
  }
}

export function sampled(store) {
  const parts = [];
  const recent = store.ticks.slice(-20).reduce((sum, tick) => sum + tick.leftOut, 0);
  if (recent) parts.push(`sampled: ${count(recent)} frame${recent === 1 ? "" : "s"} counted, not shown`);
  if (store.skipped) parts.push(`${count(store.skipped)} tick${store.skipped === 1 ? "" : "s"} skipped`);
  return parts.join("; ");
}
