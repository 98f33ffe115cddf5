// Links, power and time, for whoever has the token; for others, how it would be had.

import { h } from "../dom.js";

const SLIDERS = [
  // name, least, most, step, unit, from the words of a link to the slider and back
  ["delay", 0, 500, 1, "ms"], ["jitter", 0, 100, 1, "ms"], ["loss", 0, 50, 0.5, "%"], ["rate", 0, 1000, 1, "mbit"],
];

export class Controls {
  static key = "controls";
  static title = "Controls";

  constructor(context) {
    Object.assign(this, context);
    this.body = h("div", { class: "grid" });
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
      this.body.replaceChildren(...this.time(), ...links.map(link => this.link(link)), ...this.power(), ...(links.length ? [] : [h("div", { class: "card" }, h("h3", { text: "No emulated link" }), h("p", { class: "soft", text: "Frames go straight to the kernel, as fast as that can be. Start with --control and a word such as --delay 1ms, and there is a link to change." }))]));
    }
    for (const link of links) this.refresh(link);
    const paused = store.ticks.at(-1)?.paused;
    if (this.pauseButton) this.pauseButton.textContent = paused ? "Resume the lab" : "Pause the lab";
    if (this.stepButton) this.stepButton.disabled = Boolean(why) || !paused;
  }

  async do(name, given) {
    try {
      const answer = await this.feed.call(name, given);
      this.said.textContent = name === "step" ? stepWords(answer) : `${name}: done`;
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
    this.stepButton = h("button", { id: "lab-step", disabled: true, text: "Single step", onclick: () => this.step() });
    this.stepped = h("div", { class: "mono soft", id: "stepped" });
    return [h("div", { class: "card" }, h("h3", { text: "Time" }), h("p", { class: "soft", text: "The lab stands still while it is paused, and each step lets one thing happen: a frame arrives, a timer runs out." }),
      h("div", { class: "buttons" }, this.pauseButton, this.stepButton), this.stepped)];
  }

  async step() {
    if (!this.stepButton || this.stepButton.disabled) return;
    const answer = await this.do("step");
    if (answer) this.stepped.replaceChildren(h("p", { text: stepWords(answer) }), ...(answer.happened ?? []).map(text => h("div", { text })));
  }

  link(link) {
    const off = Boolean(this.feed.changes);
    const card = { sliders: {} };
    const rows = SLIDERS.map(([name, least, most, step, unit]) => {
      const output = h("output", { text: "–" });
      const input = h("input", { type: "range", min: least, max: most, step, value: 0, disabled: off, "aria-label": `${name} of ${link.name}`, id: `${link.name}-${name}` });
      input.addEventListener("input", () => { output.textContent = said(name, Number(input.value), unit); card.busyUntil = performance.now() + 800; });
      input.addEventListener("change", () => this.do("link set", { link: link.name, words: wordsOf(name, Number(input.value), unit, card.sliders) }));
      card.sliders[name] = { input, output, unit };
      return h("div", { class: "slider" }, h("label", { for: `${link.name}-${name}`, text: name }), input, output);
    });
    card.cut = h("button", { disabled: off, text: "Cut", id: `${link.name}-cut`, onclick: () => this.do(card.isDown ? "link up" : "link down", { link: link.name }) });
    this.cards.set(link.name, card);
    card.differs = h("p", { class: "soft", hidden: true, text: "The two directions differ; a slider sets both." });
    return h("div", { class: "card" }, h("h3", { text: `${link.a} — ${link.b}` }), rows, card.differs, h("div", { class: "buttons" }, card.cut));
  }

  refresh(link) {
    const card = this.cards.get(link.name);
    if (!card) return;
    card.isDown = link.a_to_b.down || link.b_to_a.down;
    card.cut.textContent = card.isDown ? "Mend" : "Cut";
    card.cut.setAttribute("aria-pressed", String(card.isDown));
    card.differs.hidden = JSON.stringify(link.a_to_b.words) === JSON.stringify(link.b_to_a.words);
    if (performance.now() < (card.busyUntil ?? 0)) return;
    for (const [name, { input, output, unit }] of Object.entries(card.sliders)) {
      if (document.activeElement === input && input.matches(":active")) continue;
      const value = read(link.a_to_b.words[name], unit);
      input.value = String(value);
      output.textContent = said(name, value, unit);
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

function stepWords(answer) {
  if (!answer) return "";
  return `${answer.kind}: ${answer.what || "nothing was to happen"}`;
}

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
