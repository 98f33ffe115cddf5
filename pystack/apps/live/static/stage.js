// Single steps of a paused lab: what happened, what came of it, and the frame of it opened.

import { dissected } from "./dissection.js";
import { duration, h } from "./dom.js";

const MOST_STEPS = 200;
const CLOCK = /^\d\d:\d\d:\d\d\.\d+ /; // all lines of a step have its instant

export class Stage {
  constructor(context) {
    Object.assign(this, context);
    this.steps = [];
    this.picked = 0; // a frame's number; 0: none
    this.mark = 0; // items up to this number were there before the last step
    this.pause = h("button", { id: "stage-pause", onclick: () => this.toggle() });
    this.next = h("button", { id: "stage-step", class: "main", onclick: () => this.step() }, "Next event ", h("kbd", { text: "n" }));
    this.words = h("span", { class: "soft", role: "status" });
    this.list = h("ol", { class: "steps", "aria-label": "Events, the newest first" });
    this.frames = h("div", { class: "buttons frames" });
    this.detail = h("div", { class: "boxes" });
    this.bar = h("div", { class: "buttons stage-bar" }, this.pause, this.next, this.words);
    this.root = h("div", { class: "stage", id: "stage" }, h("div", { class: "card" }, this.list), h("div", { class: "card" }, this.frames, this.detail));
  }

  get isPaused() {
    return Boolean(this.store.ticks.at(-1)?.paused);
  }

  show() {
    const { store, feed } = this;
    this.bar.hidden = !store.hello?.network;
    this.root.hidden = this.bar.hidden || !this.isPaused || !this.steps.length;
    this.pause.textContent = this.isPaused ? "Resume the lab" : "Pause the lab";
    this.pause.disabled = Boolean(feed.changes);
    this.next.disabled = this.pause.disabled || !this.isPaused;
    const newest = this.steps[0];
    if (feed.changes) this.say(feed.changes);
    else if (!this.isPaused) this.say("Pause, and go on event by event.");
    else if (!newest) this.say(`It stands still at ${store.clock(store.newest)}.`);
    // What a step led to comes with the ticks after it.
    if (newest && this.isPaused) this.gather(newest);
  }

  say(text) {
    if (this.words.textContent !== text) this.words.textContent = text;
  }

  toggle() {
    this.call(this.isPaused ? "resume" : "pause");
  }

  async call(name) {
    try {
      return await this.feed.call(name);
    } catch (error) {
      this.trouble = error.message;
      this.say(`${error.message}.`);
      return null;
    }
  }

  async step() {
    const { store } = this;
    if (this.busy || !this.isPaused || this.feed.changes) return;
    this.busy = true;
    store.at = null;
    this.mark = store.items.at(-1)?.n ?? 0;
    this.serial = store.serial;
    const before = store.newest;
    const answer = await this.call("step");
    this.busy = false;
    if (!answer) return;
    const step = { ...answer, nth: (this.steps[0]?.nth ?? 0) + 1, since: answer.at - before, frames: [] };
    this.steps.unshift(step);
    this.steps.length = Math.min(this.steps.length, MOST_STEPS);
    this.chosen = step;
    this.picked = 0;
    const wait = answer.next_at === null ? "nothing is to happen after it" : `the next one ${answer.next_at > answer.at ? `in ${duration(answer.next_at - answer.at)}` : "at the same instant"}`;
    this.say(`Event ${step.nth} · ${step.since > 0 ? `${duration(step.since)} later` : "at the same instant"} · ${wait}`);
    this.list.replaceChildren(...this.steps.map(each => this.line(each)));
    this.root.hidden = false;
  }

  line(step) {
    return h("li", { tabindex: 0, "aria-selected": String(step === this.chosen), onclick: () => this.choose(step), onkeydown: event => { if (event.key === "Enter") this.choose(step); } },
      h("b", { text: `${step.nth}. ${step.kind}` }), h("span", { class: "soft at", text: this.store.clock(step.at) }),
      h("div", { class: "mono", text: step.what }),
      step.happened.length && step === this.chosen ? h("ul", {}, step.happened.map(text => h("li", { class: "mono soft", text: text.replace(CLOCK, "") }))) : null);
  }

  choose(step) {
    this.chosen = step;
    this.picked = 0;
    this.list.replaceChildren(...this.steps.map(each => this.line(each)));
    this.drawFrames(step);
  }

  // First what ended its way, then what was put on a link because of it
  gather(step) {
    const { store } = this;
    const ended = store.ticks.filter(tick => tick.serial > this.serial).flatMap(tick => tick.ended);
    const began = [];
    for (let at = store.items.length - 1; at >= 0 && store.items[at].n > this.mark; at--) if (store.items[at].event === undefined) began.unshift(store.items[at].n);
    const found = [...new Set([...ended, ...began])].filter(number => store.byNumber.has(number));
    if (found.join() === step.frames.join()) return;
    step.frames = found;
    if (step === this.chosen) this.drawFrames(step);
  }

  drawFrames(step) {
    const { store } = this;
    if (!step.frames.includes(this.picked)) this.picked = 0;
    if (!this.picked && step.frames.length) this.open(step.frames[0], step);
    if (!step.frames.length) this.detail.replaceChildren(h("p", { class: "soft", text: "No frame moved: this was inside of a node." }));
    this.frames.replaceChildren(...step.frames.map(number => {
      const item = store.byNumber.get(number);
      if (!item) return null;
      const fate = item.lost ? "is lost" : item.ended !== undefined && item.ended <= step.at ? "has arrived" : "sets out";
      return h("button", { "aria-pressed": String(number === this.picked), text: `${item.from} → ${item.to}: ${fate}`, onclick: () => this.open(number, step) });
    }).filter(Boolean));
  }

  async open(number, step) {
    this.picked = number;
    this.drawFrames(step);
    const parts = await dissected(this, number, true);
    if (this.picked === number) this.detail.replaceChildren(...parts);
  }

  // Numbers of the frames that the newest step moved: those that the map points at
  get moved() {
    return new Set(this.isPaused ? this.steps[0]?.frames : []);
  }
}
