// All connections as `ss -ti` tells of them, and one of them in depth.

import { bytes, count, duration, end, h, rate, s } from "../dom.js";
import { axes, figure, plot, PLOT } from "../plot.js";
import { stateDiagram } from "../states.js";

const NEVER = 2 ** 29; // a slow-start threshold that no loss has lowered
const SPAN_S = 30;
const LIMITS = { app: "its program", rwnd: "the peer's window", cwnd: "congestion control", pacing: "pacing" };
const SENDS = new Set(["ESTABLISHED", "CLOSE-WAIT", "FIN-WAIT-1", "LAST-ACK"]); // or may
// Name, what it is sorted by (numbers: the most first), whether it is a number
const COLUMNS = [
  ["", row => row.host], ["Local", row => row.local_address], ["Remote", row => row.remote_address], ["State", row => row.state],
  ["RTT", row => row.srtt_s, true], ["cwnd", row => row.cwnd_bytes, true], ["In flight", row => row.flight_size_bytes, true],
  ["Sent", row => row.bytes_acked, true], ["Received", row => row.bytes_received, true], ["Delivers", (row, each) => each.delivers, true],
  ["Again", row => row.retransmits, true], ["Limited by", row => LIMITS[row.limited_by] ?? ""],
];

export class Connections {
  static key = "connections";
  static title = "Connections";

  constructor(context) {
    Object.assign(this, context);
    this.picked = null;
    this.sort = null; // { column, up }; null: the newest first, and those that have ended last
    this.filter = h("input", { id: "connections-filter", type: "search", placeholder: "filter: 80, server, time-wait …", "aria-label": "Filter connections", size: 26, spellcheck: "false", oninput: () => this.show() });
    this.body = h("tbody");
    this.total = h("p", { class: "soft grow" });
    this.depth = h("div");
    this.root = h("section", {},
      h("div", { class: "head" }, h("h2", { text: "Connections" }), this.total, this.filter),
      h("div", { class: "card scroll short" }, h("table", { "aria-label": "TCP connections" },
        h("thead", {}, h("tr", {}, (this.heads = COLUMNS.map(([name, , isNumber], at) => h("th", { scope: "col", class: isNumber ? "num" : null }, h("button", { text: name || "Host", "aria-label": `Sort by ${name || "host"}`, onclick: () => this.sortBy(at) })))))),
        this.body)),
      this.depth);
  }

  rows() {
    const { store } = this;
    const words = this.filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    return [...store.connections.values()]
      .filter(each => each.firstAt <= store.now && words.every(word => this.matches(each, word)))
      .sort((a, b) => this.inOrder(a, b) || this.isGone(a) - this.isGone(b) || b.firstAt - a.firstAt || (a.key < b.key ? -1 : 1))
      .slice(0, 100);
  }

  matches(connection, word) {
    const row = this.store.rowAt(connection);
    const names = this.store.hello?.names ?? {};
    const ends = [row.local_port, row.remote_port].map(String);
    return /^\d+$/.test(word) ? ends.includes(word)
      : [row.host, row.local_address, row.remote_address, names[row.local_address], names[row.remote_address], row.state, row.congestion, LIMITS[row.limited_by]].some(each => String(each ?? "").toLowerCase().includes(word));
  }

  sortBy(column) {
    const up = this.sort?.column === column ? !this.sort.up : !COLUMNS[column][2];
    // The third click is as if there had been none.
    this.sort = this.sort?.column === column && this.sort.turned ? null : { column, up, turned: this.sort?.column === column };
    this.heads.forEach((head, at) => (at === this.sort?.column ? head.setAttribute("aria-sort", up ? "ascending" : "descending") : head.removeAttribute("aria-sort")));
    this.show();
  }

  inOrder(a, b) {
    if (!this.sort) return 0;
    const [, key, isNumber] = COLUMNS[this.sort.column];
    const [x, y] = [a, b].map(each => key(this.store.rowAt(each), each) ?? (isNumber ? -1 : ""));
    return (isNumber ? x - y : String(x).localeCompare(String(y), "en", { numeric: true })) * (this.sort.up ? 1 : -1);
  }

  isGone(connection) {
    const { store } = this;
    return Number(store.rowAt(connection).state === "CLOSED" || connection.lastAt < store.now - 4);
  }

  show() {
    const { store } = this;
    const rows = this.rows();
    const total = store.tickAt(store.now)?.total ?? 0;
    this.total.textContent = `${count(total)} open now${total > rows.length ? `; the ${rows.length} that moved last are here` : ""}. Choose one to see it in depth.`;
    // Until somebody chooses, the one that goes on; of those that have ended, one that had the time to show something
    if (!this.chosen || !rows.includes(this.picked)) {
      const others = rows.filter(each => !store.isMine(each.row));
      const still = this.picked && others.includes(this.picked) && this.picked.samples.length > 3 ? this.picked : null;
      this.picked = others.find(each => !this.isGone(each) && each.samples.length > 3) ?? still ?? others.find(each => !this.isGone(each)) ?? others.find(each => each.samples.length > 3) ?? rows[0] ?? null;
    }
    this.body.replaceChildren(...rows.map(each => this.line(each)));
    if (!rows.length) this.body.replaceChildren(h("tr", {}, h("td", { colspan: COLUMNS.length, class: "empty", text: this.filter.value ? "None is like that." : "No connection yet: open one, for example with curl." })));
    this.showDepth();
  }

  line(connection) {
    const { store } = this;
    const row = store.rowAt(connection);
    const isGone = this.isGone(connection);
    const mine = store.isMine(row);
    const line = h("tr", {
      class: `pick${isGone ? " gone" : ""}`, "aria-selected": String(connection === this.picked), tabindex: 0,
      onclick: () => this.pick(connection),
      onkeydown: event => { if (event.key === "Enter") this.pick(connection); },
    },
      h("td", {}, mine ? h("span", { class: "tag you", text: "this page" }) : store.hello.network ? row.host : ""),
      h("td", { class: "mono", text: end(row.local_address, row.local_port) }),
      h("td", { class: "mono", text: end(row.remote_address, row.remote_port) }),
      // All that are open are told of, up to so many: what is not among them has ended.
      h("td", { text: isGone && row.state !== "CLOSED" && store.tickAt(store.now)?.tellsAll ? "ended" : row.state }),
      h("td", { class: "num", text: duration(row.srtt_s) }),
      h("td", { class: "num", text: bytes(row.cwnd_bytes) }),
      h("td", { class: "num", text: bytes(row.flight_size_bytes) }),
      h("td", { class: "num", text: bytes(row.bytes_acked) }),
      h("td", { class: "num", text: bytes(row.bytes_received) }),
      h("td", { class: "num", text: rate(connection.delivers) }),
      h("td", { class: `num${row.retransmits ? " bad" : ""}`, text: row.retransmits ?? "–", title: row.bytes_retransmitted ? `${bytes(row.bytes_retransmitted)} sent again` : null }),
      h("td", { text: !isGone && SENDS.has(row.state) ? LIMITS[row.limited_by] ?? "" : "" }));
    return line;
  }

  pick(connection) {
    this.picked = connection;
    this.chosen = true;
    this.show();
  }

  move(by) {
    const rows = this.rows();
    const at = rows.indexOf(this.picked);
    if (rows.length) this.pick(rows[Math.max(0, Math.min(rows.length - 1, at + by))]);
  }

  showDepth() {
    const connection = this.picked;
    if (!connection) {
      this.depth.replaceChildren();
      return;
    }
    const { store } = this;
    const row = store.rowAt(connection);
    const ended = this.isGone(connection);
    const to = ended ? Math.min(store.now, Math.max(connection.lastAt, connection.firstAt + 0.05)) : store.now;
    const from = Math.max(to - SPAN_S, Math.min(connection.firstAt, to - (ended ? 0.001 : 0.5)));
    const samples = connection.samples.filter(each => each.at >= from && each.at <= to);
    const points = name => samples.filter(each => each.row[name] !== null && each.row[name] !== undefined).map(each => [each.at, each.row[name]]);
    const common = { from, to, last: ended ? "its end" : "now" };
    this.depth.replaceChildren(
      h("div", { class: "head depth-head" }, h("h2", { class: "mono-title", text: `${end(row.local_address, row.local_port)} ⇄ ${end(row.remote_address, row.remote_port)}` }),
        h("span", { class: "soft grow", text: `on ${row.host}, ${row.congestion ?? ""}${row.loss_state && row.loss_state !== "open" ? `, in ${row.loss_state}` : ""}` }),
        h("button", { onclick: () => this.openLadder(connection), text: "Its ladder" })),
      h("div", { class: "grid" },
        h("div", { class: "card" }, this.sequences(connection, row, from, to, common.last)),
        h("div", { class: "card" }, plot({ ...common, title: "Windows", unit: bytes, curves: [
          { name: "cwnd", points: points("cwnd_bytes"), step: true },
          { name: "ssthresh", points: points("ssthresh_bytes").filter(point => point[1] < NEVER), step: true },
          { name: "in flight", points: points("flight_size_bytes"), step: true },
          { name: "peer's window", points: clipped(points("snd_wnd_bytes"), points("cwnd_bytes")), step: true },
        ] })),
        h("div", { class: "card" }, plot({ ...common, title: "Round trip", unit: duration, curves: [
          { name: "smoothed", points: points("srtt_s") },
          { name: "least", points: points("min_rtt_s"), step: true },
          { name: "time-out (RTO)", points: clipped(points("rto_s"), points("srtt_s"), 6), step: true },
        ] })),
        h("div", { class: "card" }, plot({ ...common, title: "Throughput", unit: rate, curves: [
          { name: "sent and acknowledged", points: slope(points("bytes_acked")), step: true },
          { name: "received", points: slope(points("bytes_received")), step: true },
        ] })),
        h("div", { class: "card" }, h("h3", { text: "States, and the way taken" }), stateDiagram(connection.states.filter(each => each.at <= to))),
        h("div", { class: "card" }, h("h3", { text: "Variables" }), h("dl", { class: "facts" }, FACTS.map(([name, field, as]) =>
          h("div", {}, h("dt", { text: name }), h("dd", { text: row[field] === null || row[field] === undefined ? "–" : as(row[field]) })))))));
  }

  // Text and acknowledgements of the direction in which more goes
  sequences(connection, row, from, to, last) {
    const { store } = this;
    const ours = [], theirs = [];
    for (let at = store.upTo(to) - 1; at >= 0 && store.items[at].at >= from && ours.length + theirs.length < 3000; at--) {
      const item = store.items[at];
      if (!item.tcp) continue;
      const [a, p, b, q] = item.ends;
      if (store.hello.network && item.place !== this.placeOf(connection, item)) continue;
      if (a === row.local_address && p === row.local_port && b === row.remote_address && q === row.remote_port) ours.push(item);
      else if (b === row.local_address && q === row.local_port && a === row.remote_address && p === row.remote_port) theirs.push(item);
    }
    const text = items => items.reduce((sum, item) => sum + item.tcp[4], 0);
    const [data, acks, whose] = text(ours) >= text(theirs) ? [ours, theirs, "sent"] : [theirs, ours, "received"];
    return sequencePlot(data.reverse(), acks.reverse(), from, to, whose, last);
  }

  // Of a frame that crosses several links only the first is shown
  placeOf(connection, item) {
    connection.places ??= new Set();
    if (item.from === connection.row.host || item.to === connection.row.host) connection.places.add(item.place);
    return connection.places.has(item.place) ? item.place : null;
  }
}

const FACTS = [
  ["State", "state", String], ["RTT", "srtt_s", duration], ["Its variance", "rttvar_s", duration], ["RTO", "rto_s", duration],
  ["cwnd", "cwnd_bytes", bytes], ["ssthresh", "ssthresh_bytes", value => (value >= NEVER ? "no loss yet" : bytes(value))],
  ["In flight", "flight_size_bytes", bytes], ["Peer's window", "snd_wnd_bytes", bytes], ["Our window", "rcv_wnd_bytes", bytes],
  ["MSS", "snd_mss_bytes", bytes], ["Segments sent", "segments_sent", count], ["… received", "segments_received", count],
  ["Sent again", "retransmits", count], ["Waits to be sent", "send_q_bytes", bytes], ["Waits to be read", "recv_q_bytes", bytes],
  ["Delivery rate", "delivery_rate_bps", rate], ["Pacing", "pacing_bps", rate],
];

// A curve that would flatten all others is cut off where it leaves them
function clipped(points, others, times = 4) {
  if (!others.length) return points;
  const most = Math.max(...others.map(point => point[1])) * times;
  return points.every(point => point[1] > most) ? [] : points.map(([at, value]) => [at, Math.min(value, most)]);
}

function slope(points) {
  const found = [];
  let before = 0;
  for (let at = 1; at < points.length; at++) {
    if (points[at][0] - points[before][0] < 0.25) continue;
    found.push([points[at][0], Math.max(0, ((points[at][1] - points[before][1]) * 8) / (points[at][0] - points[before][0]))]);
    before = at;
  }
  return found;
}

function sequencePlot(data, acks, from, to, whose, last) {
  const width = 400, height = 150;
  const base = data.length ? data[0].tcp[0] : 0;
  const relative = number => { const off = (number - base) >>> 0; return off > 2 ** 31 ? off - 2 ** 32 : off; };
  const segments = data.filter(item => item.tcp[4]).map(item => ({ at: item.at, low: relative(item.tcp[0]), high: relative(item.tcp[0]) + item.tcp[4] }));
  const answers = acks.filter(item => item.tcp[2] & 16).map(item => [item.at, relative(item.tcp[1])]);
  const highest = Math.max(1, ...segments.map(each => each.high), ...answers.map(each => each[1]));
  const lowest = Math.min(0, ...segments.map(each => each.low));
  const x = at => PLOT.LEFT + ((at - from) / Math.max(to - from, 1e-9)) * (width - PLOT.LEFT - PLOT.RIGHT);
  const y = value => height - PLOT.BOTTOM - ((value - lowest) / (highest - lowest)) * (height - PLOT.TOP - PLOT.BOTTOM);
  const parts = axes({ width, height, from, to, last, x, y, marks: [lowest, (lowest + highest) / 2, highest], unit: bytes });
  let seen = lowest;
  for (const each of segments) {
    const again = each.high <= seen;
    seen = Math.max(seen, each.high);
    parts.push(s("line", { class: again ? "mark-again" : "mark-data", x1: x(each.at), x2: x(each.at), y1: y(each.low) + 0.8, y2: y(each.high) - 0.8 }));
  }
  if (answers.length) {
    const path = answers.map(([at, value], number) => (number ? `H${x(at).toFixed(1)}V${y(value).toFixed(1)}` : `M${x(at).toFixed(1)} ${y(value).toFixed(1)}`)).join("");
    parts.push(s("path", { class: "mark-ack", d: path }));
  }
  return figure(`Sequence numbers, ${whose}`, [["text", "line0"], ["again", "line2"], ["acknowledged", "line3"]], parts, width, height);
}
