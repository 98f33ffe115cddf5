// The states of a connection (RFC 9293 section 3.3.2), with the way that one has taken.

import { s } from "./dom.js";

const WIDTH = 84, HEIGHT = 22;
const AT = {
  CLOSED: [250, 16], LISTEN: [110, 62], "SYN-SENT": [390, 62], "SYN-RECEIVED": [110, 108], ESTABLISHED: [250, 140],
  "FIN-WAIT-1": [110, 186], "FIN-WAIT-2": [110, 232], CLOSING: [250, 210], "CLOSE-WAIT": [390, 186], "LAST-ACK": [390, 232], "TIME-WAIT": [250, 262],
};
const NAMES = { "SYN_RECEIVED": "SYN-RECEIVED" };
const WAYS = [
  ["CLOSED", "LISTEN"], ["CLOSED", "SYN-SENT"], ["LISTEN", "SYN-RECEIVED"], ["SYN-SENT", "SYN-RECEIVED"], ["SYN-SENT", "ESTABLISHED"],
  ["SYN-RECEIVED", "ESTABLISHED"], ["SYN-RECEIVED", "FIN-WAIT-1"], ["ESTABLISHED", "FIN-WAIT-1"], ["ESTABLISHED", "CLOSE-WAIT"],
  ["FIN-WAIT-1", "FIN-WAIT-2"], ["FIN-WAIT-1", "CLOSING"], ["FIN-WAIT-1", "TIME-WAIT"], ["FIN-WAIT-2", "TIME-WAIT"], ["CLOSING", "TIME-WAIT"],
  ["CLOSE-WAIT", "LAST-ACK"], ["LAST-ACK", "CLOSED"], ["TIME-WAIT", "CLOSED"],
];

const named = state => NAMES[state] ?? state.replaceAll("_", "-");

export function stateDiagram(states) {
  const way = states.map(each => named(each.state));
  const pairs = new Set(way.slice(1).map((state, at) => `${way[at]}>${state}`));
  const parts = WAYS.map(([from, to]) => s("path", { class: pairs.has(`${from}>${to}`) ? "taken" : null, d: line(from, to) }));
  for (const [name, [x, y]] of Object.entries(AT)) {
    const kind = name === way.at(-1) ? "now" : way.includes(name) ? "taken" : null;
    parts.push(s("g", { class: kind },
      s("rect", { x: x - WIDTH / 2, y: y - HEIGHT / 2, width: WIDTH, height: HEIGHT, rx: 6 }),
      s("text", { x, y: y + 4, text: name })));
  }
  return s("svg", { class: "states", viewBox: "0 0 500 280", role: "img", "aria-label": `States: ${way.join(", then ")}` }, parts);
}

// From border to border; ways back to CLOSED go round the side
function line(from, to) {
  const [x1, y1] = AT[from], [x2, y2] = AT[to];
  if (to === "CLOSED") {
    const side = from === "TIME-WAIT" ? 40 : 460;
    return `M${x1 + (side < x1 ? -WIDTH / 2 : WIDTH / 2)} ${y1}H${side}V${y2}H${side < x2 ? x2 - WIDTH / 2 : x2 + WIDTH / 2}`;
  }
  const dx = x2 - x1, dy = y2 - y1;
  const share = Math.min(WIDTH / 2 / Math.max(Math.abs(dx), 0.1), HEIGHT / 2 / Math.max(Math.abs(dy), 0.1));
  return `M${x1 + dx * share} ${y1 + dy * share}L${x2 - dx * share} ${y2 - dy * share}`;
}
