// A frame opened layer by layer: what befell it, its fields, its bytes, its bits.

import { bytes, duration, h } from "./dom.js";

const LAYERS = { application: "http", transport: "tcp", network: "net", "data link": "link", physical: "link" };
const TOUCH = "Touch a layer or a field: here are its bits, below its bytes.";
const SLOW_S = 0.0005; // a wait in a queue that is worth a word

// What became of it, in a word, and how bad that is: for a column
export function fateOf(item) {
  if (item.event !== undefined) return null;
  if (item.lost) return { text: `✕ ${item.lost.replaceAll("_", " ")}`, kind: "bad" };
  if (item.refused) return { text: `✕ ${item.refused.replaceAll("_", " ")}`, kind: "bad" };
  if (item.changes) return { text: `± ${item.changes[0].split(" ")[0]}`, kind: "warn" };
  if (item.begins - item.at > SLOW_S) return { text: `queue ${duration(item.begins - item.at)}`, kind: "warn" };
  if (item.arrives > item.at) return { text: duration(item.arrives - item.at), kind: "soft" };
  return null;
}

// Elements that show an item of the tape; `openAll`: all of its layers, not the last two
export async function dissected(context, number, openAll = false) {
  const item = context.store.byNumber.get(number);
  if (!item) return [h("p", { class: "soft", text: "It is not kept any more." })];
  if (item.event !== undefined) {
    return [h("p", { class: "eyebrow", text: item.event }), h("p", { text: item.line }), ...(await sentence(context, item.reason))];
  }
  let found = null, trouble = "";
  try {
    found = await context.feed.ask({ ask: "frame", number });
  } catch (error) {
    trouble = `${error.message}.`;
  }
  return [
    h("p", { class: "eyebrow", text: `frame ${item.n} · ${bytes(item.bytes)} · ${item.from && item.to ? `${item.from} → ${item.to}` : item.place}` }),
    h("p", { class: "mono line", text: item.line }),
    ...(await befell(context, item)),
    ...(found ? layers(found, openAll) : [h("p", { class: "soft", text: trouble })]),
  ];
}

async function sentence(context, name) {
  const found = name && (await context.counters())[name];
  return found ? [h("p", { class: "soft", text: found })] : [];
}

async function befell(context, item) {
  const { at, begins, sent, arrives } = item;
  const parts = [["put on the link", context.store.clock(at)]];
  const known = (from, to) => from !== undefined && to !== undefined;
  if (known(at, begins) && begins > at) parts.push(["waited in the queue", duration(begins - at)]);
  if (known(begins, sent) && sent > begins) parts.push(["its bits went out in", duration(sent - begins)]);
  if (known(sent, arrives) && arrives > sent) parts.push(["was on the way", duration(arrives - sent)]);
  if (known(at, arrives) && parts.length !== 2) parts.push(["arrives", arrives > at ? `after ${duration(arrives - at)}` : "at the same instant"]);
  const bad = item.lost ? `Lost: ${item.lost}.` : item.refused ? `Arrived, and refused: ${item.refused}.` : "";
  return [
    h("dl", { class: "facts fate" }, parts.map(([name, value]) => h("div", {}, h("dt", { text: name }), h("dd", { text: value })))),
    bad ? h("p", { class: "bad", text: bad }) : null, ...(await sentence(context, item.lost ?? item.refused)),
    item.changes ? h("p", { class: "warn", text: `Changed on the way: ${item.changes.join(", ")}.` }) : null,
  ].filter(Boolean);
}

function layers(found, openAll) {
  const data = found.data.match(/../g) ?? [];
  const cells = data.map((text, at) => h("td", { class: at % 16 === 8 ? "gap" : null, text }));
  const letters = data.map((text, at) => { const code = parseInt(text, 16); return h("td", { class: "char", text: code >= 32 && code < 127 ? String.fromCharCode(code) : "·" }); });
  const lines = [];
  for (let at = 0; at < data.length; at += 16) {
    const missing = Math.max(0, at + 16 - data.length);
    lines.push(h("tr", {}, h("td", { class: "off", text: at.toString(16).padStart(4, "0") }), cells.slice(at, at + 16), missing ? h("td", { colspan: missing }) : null, h("td", { class: "gap" }), letters.slice(at, at + 16)));
  }
  const bits = h("p", { class: "bits mono", "aria-live": "polite" }, h("span", { class: "soft", text: TOUCH }));
  const light = field => {
    const from = field ? field.start >> 3 : -1, to = field ? (field.start + field.bits - 1) >> 3 : -2;
    cells.forEach((cell, at) => { const on = at >= from && at <= to; cell.classList.toggle("lit", on); letters[at].classList.toggle("lit", on); });
    bits.replaceChildren(...(field && field.bits && to - from < 8 ? bitsOf(data, field, from, to) : [h("span", { class: "soft", text: TOUCH })]));
    // The bytes alone scroll: the field stays under the pointer.
    if (cells[from]) hex.scrollTop = cells[from].offsetTop - hex.clientHeight / 2;
  };
  const hex = h("div", { class: "hex mono", role: "img", "aria-label": "The frame's bytes" }, h("table", { role: "presentation" }, h("tbody", {}, lines)));
  for (const box of found.boxes ?? []) {
    for (const field of box.headers) {
      for (let at = field.start >> 3; at << 3 < field.start + field.bits; at++) {
        for (const cell of [cells[at], letters[at]]) cell?.classList.add(layerOf(box));
      }
    }
  }
  return [
    found.data.length / 2 < found.bytes ? h("p", { class: "soft", text: `The first ${found.data.length / 2} of its ${found.bytes} bytes are kept.` }) : null,
    ...(found.boxes ?? []).map((box, number, all) => h("details", { class: layerOf(box), open: openAll || number >= all.length - 2 },
      h("summary", { ...touched(() => light(extent(box))) }, box.title, " ", h("small", { text: `${box.layer5} · ${box.header_bytes} B${box.payload_bytes ? ` + ${box.payload_bytes} B inside` : ""}` })),
      h("ul", {}, box.headers.map(field => h("li", { tabindex: 0, ...touched(event => { light(field); mark(event); }) },
        h("span", { class: "name", text: field.name }), h("span", { class: "value mono", text: field.value }), field.meaning ? h("span", { class: "meaning", text: field.meaning }) : null))))),
    h("div", { class: "bytes" }, bits, hex),
  ].filter(Boolean);
}

const layerOf = box => `layer-${LAYERS[box.layer5] ?? "link"}`;

const touched = what => ({ onmouseenter: what, onfocus: what });

function extent(box) {
  const start = Math.min(...box.headers.map(field => field.start));
  return { start, bits: Math.max(...box.headers.map(field => field.start + field.bits)) - start };
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
