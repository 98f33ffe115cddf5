// Every frame that is kept, and what happened beside it; one of them down to its bits.

import { dissected, fateOf } from "../dissection.js";
import { brief, bytes, FLAGS, h } from "../dom.js";
import { isTrouble } from "../store.js";

const ONCE = " once"; // no name of a link
const NARROW = 560, NARROW_WITH_WAY = 860; // pixels: below, a row has two lines

export class Packets {
  static key = "packets";
  static title = "Packets";

  constructor(context) {
    Object.assign(this, context);
    this.shown = [];
    this.picked = null;
    this.height = 26; // of a row, in pixels
    this.filter = h("input", {
      id: "filter", type: "search", placeholder: "filter: tcp, 443, syn, lost, drop …", "aria-label": "Filter", size: 34,
      oninput: () => this.show(true), spellcheck: "false",
    });
    this.own = h("input", { type: "checkbox", id: "own", onchange: () => this.show(true) });
    this.place = h("select", { id: "place", "aria-label": "Which links", onchange: () => this.show(true) });
    this.list = h("ol", { role: "listbox", "aria-label": "Frames and events", tabindex: 0 });
    this.frame = h("div", { class: "card list", onscroll: () => this.rows() }, this.list);
    this.detail = h("div", { class: "card boxes" });
    this.words = h("span", { class: "soft grow" });
    this.list.addEventListener("click", event => {
      const row = event.target.closest(".row");
      if (row) this.pick(Number(row.dataset.n));
    });
    this.root = h("section", {},
      h("div", { class: "head" }, h("h2", { text: "Packets" }), this.words, this.filter,
        this.place, h("label", {}, this.own, " with this page's own"),
        h("a", { class: "button", href: "/live/capture.pcapng", download: "live.pcapng", text: "pcapng" })),
      (this.panes = h("div", { class: "packets" }, this.frame, this.detail)));
  }

  show(anew = false) {
    const { store } = this;
    const words = this.filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    const until = store.upTo(store.now);
    const high = (this.height = this.frame.clientWidth < (store.links.length > 1 ? NARROW_WITH_WAY : NARROW) ? 46 : 26);
    this.list.classList.toggle("tall", high > 26);
    const atEnd = this.frame.scrollTop + this.frame.clientHeight >= this.list.clientHeight - 3 * high;
    this.choosePlace();
    const place = this.place.value;
    this.shown = [];
    for (let at = 0; at < until; at++) {
      const item = store.items[at];
      if (!this.own.checked && (store.isMyFrame(item) || isMyEvent(item, store.hello?.you))) continue;
      if (place && item.event === undefined && (place === ONCE ? !isFirst(item, store.hello.names) : item.place !== place)) continue;
      if (words.every(word => matches(item, word))) this.shown.push(item);
    }
    this.words.textContent = `${this.shown.length} of ${until} kept`;
    this.list.style.height = `${this.shown.length * high}px`;
    if (atEnd || anew) this.frame.scrollTop = this.list.clientHeight;
    this.rows();
  }

  // In a lab a packet is seen on each link that it crosses: on all, where it enters, or on one
  choosePlace() {
    const { store, place } = this;
    const names = store.links.map(link => link.name);
    const stamp = names.join();
    place.hidden = names.length < 2;
    if (stamp === this.stamp || document.activeElement === place) return;
    this.stamp = stamp;
    const kept = place.value;
    place.replaceChildren(...[["", "on every link"], [ONCE, "each packet once"], ...names.map(name => [name, `on ${name}`])].map(([value, text]) => h("option", { value, text })));
    place.value = kept;
  }

  // Those alone that can be seen are in the page
  rows() {
    const high = this.height;
    const first = Math.max(0, Math.floor(this.frame.scrollTop / high) - 4);
    const last = Math.min(this.shown.length, first + Math.ceil(this.frame.clientHeight / high) + 8);
    const rows = [];
    for (let at = first; at < last; at++) rows.push(this.row(this.shown[at], at));
    this.list.replaceChildren(...rows);
  }

  row(item, at) {
    const { store } = this;
    const isEvent = item.event !== undefined;
    const protocol = isEvent ? "event" : item.protocol;
    const kinds = ["row"];
    if (isEvent) kinds.push("event");
    else if (item.from && !item.to) kinds.push("sent");
    else if (item.to && !item.from) kinds.push("came");
    if (isTrouble(item)) kinds.push("lost");
    const fate = fateOf(item);
    const row = h("li", {
      class: kinds.join(" "), role: "option", "aria-selected": String(item.n === this.picked), "data-n": item.n, title: item.line,
    },
      h("span", { class: "at", text: store.clock(item.at) }),
      h("span", { class: "kind" }, h("span", { class: `tag ${isEvent ? (isTrouble(item) ? "bad" : "") : item.protocol}`, text: protocol })),
      store.links.length > 1 ? h("span", { class: "way", text: isEvent ? item.host : `${item.from} → ${item.to}` }) : null,
      h("span", { class: "text mono", text: brief(item, store.hello) }),
      h("span", { class: `fate ${fate?.kind ?? ""}`, text: fate?.text ?? "" }),
      h("span", { class: "size", text: isEvent ? "" : bytes(item.bytes) }));
    row.style.top = `${at * this.height}px`;
    return row;
  }

  move(by) {
    if (!this.shown.length) return;
    const here = this.shown.findIndex(item => item.n === this.picked);
    const at = here < 0 ? this.shown.length - 1 : Math.max(0, Math.min(this.shown.length - 1, here + by));
    this.pick(this.shown[at].n);
    this.scrollTo(at);
  }

  scrollTo(at) {
    if (at < 0) return;
    const high = this.height;
    const top = at * high;
    if (top < this.frame.scrollTop) this.frame.scrollTop = top;
    if (top + high > this.frame.scrollTop + this.frame.clientHeight) this.frame.scrollTop = top + high - this.frame.clientHeight;
    this.rows();
  }

  async pick(number) {
    this.picked = number;
    if (this.panes.classList.contains("opened")) this.rows();
    else {
      this.panes.classList.add("opened"); // and the list has another width
      this.show();
      this.scrollTo(this.shown.findIndex(item => item.n === number));
    }
    const parts = await dissected(this, number);
    if (this.picked === number) this.detail.replaceChildren(...parts);
  }
}

function matches(item, word) {
  const not = word.startsWith("!");
  const wanted = not ? word.slice(1) : word;
  const flag = FLAGS.find(each => each[0] === wanted);
  const found = flag && item.tcp ? Boolean(item.tcp[2] & flag[1])
    : item.protocol === wanted || item.end === wanted || item.event === wanted || (wanted === "event" && item.event !== undefined)
      || (wanted === "drop" && item.event === "dropped")
      || /^\d+$/.test(wanted) && item.ends !== undefined && (item.ends[1] === Number(wanted) || item.ends[3] === Number(wanted))
      || item.line.toLowerCase().includes(wanted) || (item.place ?? item.host ?? "").toLowerCase().includes(wanted) || (item.lost ?? "").includes(wanted);
  return found !== not;
}

// Whether it comes from whom it is from, and is not passed on
const isFirst = (item, names) => !item.ends || !(item.ends[0] in names) || names[item.ends[0]] === item.from;

function isMyEvent(item, you) {
  return Boolean(you && item.remote && item.remote[0] === you[1][0] && item.remote[1] === you[1][1]);
}
