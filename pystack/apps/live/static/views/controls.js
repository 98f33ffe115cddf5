// Links, power and time, for whoever has the token; for others, how it would be had.

import { h } from "../dom.js";

const SLIDERS = [
  // name, most, step, unit
  ["delay", 500, 1, "ms"], ["jitter", 100, 1, "ms"], ["loss", 50, 0.5, "%"], ["rate", 100, 0.5, "mbit"],
];

export class Controls {
  static key = "controls";
  static title = "Controls";

  constructor(context) {
    Object.assign(this, context);
    this.body = h("div", { class: "grid even" });
    this.notice = h("p", { class: "notice" });
    this.said = h("p", { class: "soft", role: "status" });
    this.root = h("section", {}, h("div", { class: "head" }, h("h2", { text: "Controls" }), this.said), this.notice, this.body);
    this.stamp = "";
  }

  show() {
    const { store, feed } = this;
    const why = feed.changes;
    this.notice.hidden = !why;
    this.notice.textContent = why;
    const links = store.links;
    const stamp = `${links.map(link => link.name).join()} ${store.hello?.network} ${store.hello?.hosts.length} ${why}`;
    if (stamp !== this.stamp) {
      this.stamp = stamp;
      this.cards = new Map();
      this.body.replaceChildren(...this.time(), ...links.map(link => this.link(link)), ...this.power(), ...(links.length ? [] : [h("div", { class: "card" }, h("h3", { text: "No emulated link" }), h("p", { class: "soft", text: "Frames go straight to the kernel, as fast as that can be. With --control there are sliders here, and the first that you move makes a link." }))]));
    }
    for (const link of links) this.refresh(link);
    const paused = store.ticks.at(-1)?.paused;
    if (this.pauseButton) this.pauseButton.textContent = paused ? "Resume the lab" : "Pause the lab";
    if (this.stepButton) this.stepButton.disabled = Boolean(why) || !paused;
  }

  async do(name, given) {
    try {
      const answer = await this.feed.call(name, given);
      this.said.textContent = `${name}: done`;
      return answer;
    } catch (error) {
      this.said.textContent = `${error.message}.`;
      return null;
    }
  }

  time() {
    if (!this.store.hello?.network) return [];
    const off = Boolean(this.feed.changes);
    this.pauseButton = h("button", { id: "lab-pause", disabled: off, text: "Pause the lab", onclick: () => this.do(this.store.ticks.at(-1)?.paused ? "resume" : "pause") });
    this.stepButton = h("button", { id: "lab-step", disabled: true, text: "Next event", onclick: () => this.step() });
    return [h("div", { class: "card" }, h("h3", { text: "Time" }), h("p", { class: "soft", text: "The lab stands still while it is paused, and each step lets one thing happen: a frame arrives, a timer runs out." }),
      h("div", { class: "buttons" }, this.pauseButton, this.stepButton))];
  }

  // One set of sliders for both directions, or one for each, where they differ or somebody wants it
  link(link) {
    const off = Boolean(this.feed.changes);
    const card = { apart: differs(link), ways: [], body: h("div"), link };
    this.cards.set(link.name, card);
    card.cut = h("button", { disabled: off, text: "Cut", id: `${link.name}-cut`, onclick: () => this.do(card.isDown ? "link up" : "link down", { link: link.name }) });
    card.split = h("button", { id: `${link.name}-split`, text: "Each direction", title: "Sliders for each direction, or for both at once", onclick: () => { card.apart = !card.apart; this.fill(card); this.refresh(card.link); } });
    this.fill(card);
    return h("div", { class: "card" }, h("h3", { text: `${link.a} — ${link.b}` }), card.body, h("div", { class: "buttons" }, card.cut, card.split));
  }

  fill(card) {
    const { a, b, name } = card.link;
    const ways = card.apart ? [["a_to_b", `${a} → ${b}`], ["b_to_a", `${b} → ${a}`]] : [["", ""]];
    card.split.setAttribute("aria-pressed", String(card.apart));
    card.ways = ways.map(([direction, title]) => ({ direction, title, sliders: {}, id: direction ? `${name}-${direction}` : name }));
    card.body.replaceChildren(...card.ways.map(way => h("div", {}, way.title ? h("p", { class: "eyebrow way", text: way.title }) : null,
      SLIDERS.map(slider => this.slider(card, way, ...slider)))));
  }

  slider(card, way, name, most, step, unit) {
    const output = h("output", { text: "–" });
    const input = h("input", { type: "range", min: 0, max: most, step, value: 0, disabled: Boolean(this.feed.changes), "aria-label": `${name} of ${way.title || card.link.name}`, id: `${way.id}-${name}` });
    const hold = () => { card.busyUntil = performance.now() + 800; };
    input.addEventListener("input", () => { output.textContent = said(name, Number(input.value), unit); hold(); });
    input.addEventListener("change", () => {
      const words = wordsOf(name, Number(input.value), unit, way.sliders);
      hold();
      this.do("link set", { link: card.link.name, words, ...(way.direction ? { direction: way.direction } : {}) });
    });
    way.sliders[name] = { input, output, unit, most };
    return h("div", { class: "slider" }, h("label", { for: input.id, text: name }), input, output);
  }

  refresh(link) {
    const card = this.cards.get(link.name);
    if (!card) return;
    card.link = link;
    card.isDown = link.a_to_b.down || link.b_to_a.down;
    card.cut.textContent = card.isDown ? "Mend" : "Cut";
    card.cut.setAttribute("aria-pressed", String(card.isDown));
    if (performance.now() < (card.busyUntil ?? 0)) return;
    card.split.disabled = differs(link); // one slider could not show both
    if (differs(link) && !card.apart) { card.apart = true; this.fill(card); }
    for (const way of card.ways) {
      for (const [name, { input, output, unit, most }] of Object.entries(way.sliders)) {
        if (document.activeElement === input && input.matches(":active")) continue;
        const value = read(link[way.direction || "a_to_b"].words[name], unit);
        if (value > most) input.max = String(value);
        input.value = String(value);
        output.textContent = said(name, value, unit);
      }
    }
  }

  power() {
    const { store } = this;
    if (!store.hello?.network) return [];
    const off = Boolean(this.feed.changes);
    return [h("div", { class: "card" }, h("h3", { text: "Power" }), h("div", { class: "power" }, store.hello.hosts.map(host => [
      h("span", { text: host.name }),
      h("button", { disabled: off, text: "Off", "aria-label": `Cut the power of ${host.name}`, onclick: () => this.do("power off", { node: host.name }) }),
      h("button", { disabled: off, text: "On", "aria-label": `Restore the power of ${host.name}`, onclick: () => this.do("power on", { node: host.name }) })])))];
  }
}

const differs = link => SLIDERS.some(([name]) => link.a_to_b.words[name] !== link.b_to_a.words[name]);

const said = (name, value, unit) => (name === "rate" && !value ? "no limit" : `${value} ${unit === "mbit" ? "Mbit/s" : unit}`);

function wordsOf(name, value, unit, sliders) {
  if (name === "jitter" && value) {
    // Jitter is around a delay.
    const delay = Math.max(Number(sliders.delay.input.value), value);
    return { delay: `${delay}ms`, jitter: `${value}ms` };
  }
  if (!value && name !== "delay") return { [name]: "none" };
  return { [name]: `${value}${unit}` };
}

// "50ms", "0.05s", "1%", "10mbit" in the slider's unit
function read(text, unit) {
  const match = String(text ?? "").match(/^([\d.]+)\s*([a-z%]*)/i);
  if (!match) return 0;
  const number = Number(match[1]);
  const scale = { us: 0.001, ms: 1, s: 1000, "%": 1, kbit: 0.001, mbit: 1, gbit: 1000, bit: 1e-6, "": unit === "ms" ? 1000 : 1 }[match[2].toLowerCase()] ?? 1;
  return Math.round(number * scale * 100) / 100;
}
