// Every frame that is kept, and what happened beside it; one of them down to its bits.

import { bytes, end, h } from "../dom.js";
import { isTrouble } from "../store.js";

const ROW = 26;
const LAYERS = { application: "http", transport: "tcp", network: "net", "data link": "link", physical: "link" };

export class Packets {
  static key = "packets";
  static title = "Packets";

  constructor(context) {
    Object.assign(this, context);
    this.shown = [];
    this.picked = null;
    this.filter = h("input", {
      id: "filter", type: "search", placeholder: "filter: tcp, 10.77.0.1, 443, syn, lost, drop …", "aria-label": "Filter", size: 34,
      oninput: () => this.show(true), spellcheck: "false",
    });
    this.own = h("input", { type: "checkbox", id: "own", onchange: () => this.show(true) });
    this.list = h("ol", { role: "listbox", "aria-label": "Frames and events", tabindex: 0 });
    this.frame = h("div", { class: "card list", onscroll: () => this.rows() }, this.list);
    this.detail = h("div", { class: "card boxes" }, h("p", { class: "empty", text: "Choose a frame to open it, layer by layer." }));
    this.words = h("span", { class: "soft grow" });
    this.list.addEventListener("click", event => {
      const row = event.target.closest(".row");
      if (row) this.pick(Number(row.dataset.n));
    });
    this.root = h("section", {},
      h("div", { class: "head" }, h("h2", { text: "Packets" }), this.words, this.filter,
        h("label", {}, this.own, " with this page's own"),
        h("a", { class: "button", href: "/live/capture.pcapng", download: "live.pcapng", text: "pcapng" })),
      h("div", { class: "packets" }, this.frame, this.detail));
  }

  show(anew = false) {
    const { store } = this;
    const words = this.filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    const until = store.upTo(store.now);
    const atEnd = this.frame.scrollTop + this.frame.clientHeight >= this.list.clientHeight - 3 * ROW;
    this.shown = [];
    for (let at = 0; at < until; at++) {
      const item = store.items[at];
      if (!this.own.checked && (store.isMyFrame(item) || isMyEvent(item, store.hello?.you))) continue;
      if (words.every(word => matches(item, word))) this.shown.push(item);
    }
    this.words.textContent = `${this.shown.length} of ${until} kept`;
    this.list.style.height = `${this.shown.length * ROW}px`;
    if (atEnd || anew) this.frame.scrollTop = this.list.clientHeight;
    this.rows();
  }

  // Those alone that can be seen are in the page
  rows() {
    const first = Math.max(0, Math.floor(this.frame.scrollTop / ROW) - 4);
    const last = Math.min(this.shown.length, first + Math.ceil(this.frame.clientHeight / ROW) + 8);
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
    const place = !isEvent && item.from && item.to ? `${item.from} → ${item.to}  ` : "";
    const fate = item.lost ? `  ✕ lost: ${item.lost}` : item.refused ? `  ✕ refused: ${item.refused}` : item.changes ? `  ± ${item.changes.join(", ")}` : "";
    const row = h("li", {
      class: kinds.join(" "), role: "option", "aria-selected": String(item.n === this.picked), "data-n": item.n, title: item.line,
    },
      h("span", { class: "at", text: store.clock(item.at) }),
      h("span", {}, h("span", { class: `tag ${isEvent ? (isTrouble(item) ? "bad" : "") : item.protocol}`, text: protocol })),
      h("span", { class: "text mono", text: place + brief(item) + fate }),
      h("span", { class: "size", text: isEvent ? "" : bytes(item.bytes) }));
    row.style.top = `${at * ROW}px`;
    return row;
  }

  move(by) {
    if (!this.shown.length) return;
    const here = this.shown.findIndex(item => item.n === this.picked);
    const at = here < 0 ? this.shown.length - 1 : Math.max(0, Math.min(this.shown.length - 1, here + by));
    const top = at * ROW;
    if (top < this.frame.scrollTop) this.frame.scrollTop = top;
    if (top + ROW > this.frame.scrollTop + this.frame.clientHeight) this.frame.scrollTop = top + ROW - this.frame.clientHeight;
    this.pick(this.shown[at].n);
  }

  async pick(number) {
    this.picked = number;
    this.rows();
    const item = this.store.byNumber.get(number);
    if (!item) return;
    if (item.event !== undefined) {
      this.detail.replaceChildren(h("p", { class: "eyebrow", text: item.event }), h("p", { text: item.line }), ...(await this.sentence(item)));
      return;
    }
    try {
      const found = await this.feed.ask({ ask: "frame", number });
      if (this.picked === number) this.detail.replaceChildren(...this.opened(item, found));
    } catch (error) {
      this.detail.replaceChildren(h("p", { text: item.line }), h("p", { class: "soft", text: `${error.message}.` }));
    }
  }

  async sentence(item) {
    if (item.event !== "dropped") return [];
    const sentence = (await this.counters())[item.reason];
    return sentence ? [h("p", { text: sentence })] : [];
  }

  opened(item, found) {
    const data = found.data.match(/../g) ?? [];
    const cells = data.map((text, at) => h("td", { class: at % 16 === 8 ? "gap" : null, text }));
    const letters = data.map((text, at) => { const code = parseInt(text, 16); return h("td", { class: "char", text: code >= 32 && code < 127 ? String.fromCharCode(code) : "·" }); });
    const lines = [];
    for (let at = 0; at < data.length; at += 16) {
      const missing = Math.max(0, at + 16 - data.length);
      lines.push(h("tr", {}, h("td", { class: "off", text: at.toString(16).padStart(4, "0") }), cells.slice(at, at + 16), missing ? h("td", { colspan: missing }) : null, h("td", { class: "gap" }), letters.slice(at, at + 16)));
    }
    const bits = h("p", { class: "bits mono", "aria-live": "polite" });
    const light = field => {
      const from = field ? field.start >> 3 : -1, to = field ? (field.start + field.bits - 1) >> 3 : -2;
      cells.forEach((cell, at) => { const on = at >= from && at <= to; cell.classList.toggle("lit", on); letters[at].classList.toggle("lit", on); });
      bits.replaceChildren(...(field && field.bits && to - from < 8 ? bitsOf(data, field, from, to) : []));
      if (field && cells[from]) cells[from].scrollIntoView({ block: "nearest" });
    };
    const way = [["entered", item.at], ["begins to be sent", item.begins], ["all is sent", item.sent], ["arrives", item.arrives]].filter(each => each[1] !== undefined);
    return [
      h("p", { class: "eyebrow", text: `frame ${item.n} · ${bytes(item.bytes)} · ${item.place}` }),
      h("p", { class: "mono", text: item.line }),
      way.length > 1 ? h("p", { class: "soft", text: way.map(([name, at]) => (at === item.at ? `${name} ${this.store.clock(at)}` : `${name} +${((at - item.at) * 1e3).toFixed(3)} ms`)).join(" · ") }) : null,
      item.lost ? h("p", { class: "bad", text: `It was lost: ${item.lost}.` }) : null,
      found.data.length / 2 < found.bytes ? h("p", { class: "soft", text: `The first ${found.data.length / 2} of its ${found.bytes} bytes are kept.` }) : null,
      ...(found.boxes ?? []).map((box, number, all) => h("details", { class: `layer-${LAYERS[box.layer5] ?? "link"}`, open: number >= all.length - 2 },
        h("summary", {}, box.title, " ", h("small", { text: `${box.layer5} · ${box.header_bytes} B${box.payload_bytes ? ` + ${box.payload_bytes} B inside` : ""}` })),
        h("ul", {}, box.headers.map(field => h("li", { tabindex: 0, onmouseenter: event => { light(field); mark(event); }, onfocus: event => { light(field); mark(event); } },
          h("span", { class: "name", text: field.name }), h("span", { class: "value mono", text: field.value }), field.meaning ? h("span", { class: "meaning", text: field.meaning }) : null))))),
      bits,
      h("div", { class: "hex mono", role: "img", "aria-label": "The frame's bytes" }, h("table", { role: "presentation" }, h("tbody", {}, lines))),
    ].filter(Boolean);
  }
}

function mark(event) {
  event.currentTarget.closest(".boxes").querySelectorAll("li.lit").forEach(each => each.classList.remove("lit"));
  event.currentTarget.classList.add("lit");
}

function bitsOf(data, field, from, to) {
  const all = data.slice(from, to + 1).map(text => parseInt(text, 16).toString(2).padStart(8, "0")).join("");
  const start = field.start - from * 8;
  return [all.slice(0, start), h("b", { text: all.slice(start, start + field.bits) }), all.slice(start + field.bits)];
}

const FLAGS = [["syn", 2], ["ack", 16], ["fin", 1], ["rst", 4], ["psh", 8], ["urg", 32], ["ece", 64], ["cwr", 128]];

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

function isMyEvent(item, you) {
  return Boolean(you && item.remote && item.remote[0] === you[1][0] && item.remote[1] === you[1][1]);
}

// Of a segment what tells it from others; of anything else its line
function brief(item) {
  if (!item.tcp) return item.line.replace(/^IP6? /, "");
  const [seq, , flags, , text] = item.tcp;
  const [a, p, b, q] = item.ends;
  const names = FLAGS.filter(each => flags & each[1]).map(each => each[0].toUpperCase()).join(" ");
  const payload = item.line.match(/: HTTP: (.*)$/)?.[1];
  return `${end(a, p)} > ${end(b, q)}  ${names}${text ? `  seq ${seq}, ${text} bytes` : ""}${payload ? `  ${payload}` : ""}`;
}
