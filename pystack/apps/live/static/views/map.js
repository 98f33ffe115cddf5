// A lab as a map, with frames moving along its links; of a single host, the host and its peer.

import { count, h, s, whatItSays } from "../dom.js";

const MOST_DOTS = 120;
const GLIDE_MS = 600; // from one step to the next
const SLOWED_S = 0.4; // a frame that is faster is seen for so long all the same
const KINDS = { tcp: "tcp", udp: "net", icmp: "net", icmp6: "net", igmp: "net", ip: "net" };

export class MapView {
  static key = "map";
  static title = "Map";

  constructor(context) {
    Object.assign(this, context);
    this.still = matchMedia("(prefers-reduced-motion: reduce)");
    this.words = h("p", { class: "soft grow" });
    this.holder = h("div", { class: "card map", id: "map" });
    this.table = h("tbody");
    this.links = h("div", { class: "card scroll links" }, h("table", { "aria-label": "Links" },
      h("thead", {}, h("tr", {}, ["Link", "Behaves", "Frames/s", "Waiting", "Lost or changed, and why"].map((text, at) => h("th", { scope: "col", class: at === 2 || at === 3 ? "num" : null, text })))), this.table));
    this.root = h("section", {},
      h("div", { class: "head" }, h("h2", { text: "Map" }), this.words),
      this.stage.bar, this.holder,
      h("p", { class: "legend" }, [["tcp", "TCP"], ["net", "IP: UDP, ICMP"], ["link", "ARP, others"], ["lost", "lost"]].map(([kind, name]) => h("span", {}, h("i", { class: kind }), name))),
      this.stage.root, this.links);
    this.stamp = "";
    this.glide = null; // how time is drawn from one step to the next; null: there was no step
  }

  async show() {
    const { store, feed } = this;
    const stamp = `${store.hello?.title} ${store.hello?.hosts.length} ${store.links.length}`;
    if (this.stamp !== stamp && !this.asking) {
      this.asking = true;
      try {
        this.map = await feed.ask({ ask: "map" });
        this.stamp = stamp;
        this.draw();
      } catch (error) {
        this.words.textContent = `${error.message}.`;
      }
      this.asking = false;
    }
    this.stage.show();
    this.sentences ??= await this.counters();
    if (this.map) this.update();
  }

  draw() {
    const { map } = this;
    const boxes = new Map(map.boxes.map(box => [box.name, box]));
    for (const line of map.lines) {
      const { x1, y1, x2, y2 } = line;
      [line.x1, line.y1] = border(boxes.get(line.a), x2 - x1, y2 - y1);
      [line.x2, line.y2] = border(boxes.get(line.b), x1 - x2, y1 - y2);
    }
    this.cables = map.lines.map(line => ({ line, path: s("line", { class: "cable", x1: line.x1, y1: line.y1, x2: line.x2, y2: line.y2 }), label: s("text", { class: "soft", x: (line.x1 + line.x2) / 2, y: (line.y1 + line.y2) / 2 - 12 }), below: s("text", { class: "soft", x: (line.x1 + line.x2) / 2, y: (line.y1 + line.y2) / 2 + 22 }), extra: s("g") }));
    this.boxes = new Map(map.boxes.map(box => [box.name, s("g", { class: box.kind },
      s("rect", { x: box.x - box.width / 2, y: box.y - box.height / 2, width: box.width, height: box.height, rx: box.kind === "host" ? 4 : 12 }),
      box.rows.map((row, at) => s("text", { class: at ? "soft" : "title", x: box.x, y: box.y - box.height / 2 + 20 + at * 16, text: row })))]));
    this.dots = s("g");
    this.drawing = s("svg", { viewBox: `0 0 ${map.width} ${map.height}`, role: "img", "aria-label": `Map of ${this.store.hello.title}` },
      this.cables.map(each => [each.path, each.extra, each.label, each.below]), [...this.boxes.values()], this.dots);
    this.drawing.style.maxWidth = `${Math.max(map.width * 1.35, 420)}px`;
    this.drawing.style.margin = "0 auto";
    this.holder.replaceChildren(this.drawing);
  }

  // How links are, at the instant that is shown
  update() {
    const { store } = this;
    const tick = store.tickAt(store.now);
    const links = new Map((tick?.links ?? store.links).map(link => [link.name, link]));
    let frames = 0;
    for (const { line, path, label, below, extra } of this.cables) {
      const link = links.get(line.name);
      const passed = tick?.places?.[line.name] ?? 0;
      frames += passed;
      if (!link) continue;
      const ways = [link.a_to_b, link.b_to_a];
      const down = ways.filter(way => way.down).length;
      path.setAttribute("class", down ? "cable down" : "cable");
      path.setAttribute("data-down", String(down));
      const same = JSON.stringify(ways[0].words) === JSON.stringify(ways[1].words);
      const said = way => Object.entries(way.words).map(([name, value]) => `${name} ${value}`).join(", ");
      label.textContent = down ? (down === 2 ? "cut" : "cut in one direction") : same ? said(ways[0]) : `→ ${said(ways[0])}`;
      below.textContent = down || same ? "" : `← ${said(ways[1])}`;
      const middle = [(line.x1 + line.x2) / 2, (line.y1 + line.y2) / 2];
      extra.replaceChildren(...(down ? [s("text", { class: "cut", x: middle[0], y: middle[1] + 6, text: "✕" })] : []), ...this.queues(line, ways));
    }
    this.tabulate(links);
    const lost = store.ticks.slice(-10).reduce((sum, each) => sum + each.lost, 0);
    this.words.textContent = this.cables.length ? `${count(frames)} frames on links in the last tick${lost ? `, ${count(lost)} lost in the last second` : ""}` : "No emulated link here: frames go straight to the kernel.";
    if (this.still.matches || !store.isLive) this.place(store.now);
  }

  tabulate(links) {
    const { store } = this;
    this.links.hidden = !links.size;
    const recent = store.ticks.filter(tick => tick.at <= store.now).slice(-11);
    const seconds = Math.max(0.1, (recent.at(-1)?.at ?? 0) - (recent[0]?.at ?? 0));
    this.table.replaceChildren(...[...links.values()].map(link => {
      const frames = recent.slice(1).reduce((sum, tick) => sum + (tick.places[link.name] ?? 0), 0);
      const lost = {};
      for (const way of [link.a_to_b, link.b_to_a]) {
        for (const [name, number] of Object.entries(way.counters)) lost[name] = (lost[name] ?? 0) + number;
      }
      const words = way => Object.entries(way.words).map(([name, value]) => `${name} ${value}`).join(", ") || "perfect";
      const same = words(link.a_to_b) === words(link.b_to_a);
      const down = link.a_to_b.down || link.b_to_a.down;
      return h("tr", {}, h("td", { text: `${link.a} — ${link.b}` }),
        h("td", { class: down ? "bad" : "mono", text: down ? "cut" : same ? words(link.a_to_b) : `→ ${words(link.a_to_b)}  ← ${words(link.b_to_a)}` }),
        h("td", { class: "num", text: count(Math.round(frames / seconds)) }),
        h("td", { class: "num", text: `${link.a_to_b.waiting} / ${link.b_to_a.waiting}` }),
        h("td", { class: "wide" }, Object.entries(lost).map(([name, number]) => h("div", {}, h("span", { class: "mono", text: `${count(number)} ${name} ` }), h("span", { class: "soft", text: this.sentences[name] ?? "" })))));
    }));
  }

  // A bar at each end of a link that fills as its queue does
  queues(line, ways) {
    return ways.flatMap((way, number) => {
      if (!way.waiting) return [];
      const limit = Number(way.words.limit ?? 1000);
      const share = Math.min(1, way.waiting / Math.min(limit, 100));
      const [x, y] = number ? at(line, 0.8) : at(line, 0.2);
      return [s("rect", { class: "queue-frame", x: x - 20, y: y + 10, width: 40, height: 7, rx: 2 }), s("rect", { class: "queue", x: x - 20, y: y + 10, width: 40 * share, height: 7, rx: 2 }), s("text", { class: "soft", x, y: y + 29, text: `${way.waiting} wait` })];
    });
  }

  animate() {
    const { store } = this;
    if (!this.map || !store.isLive || this.still.matches || !store.ticks.length) return;
    // What comes in ticks is shown one tick late, so that it moves evenly.
    const since = (performance.now() - this.feed.heardAt) / 1000;
    const tick = store.ticks.at(-1);
    if (tick.paused) { this.place(tick.at, this.glideTo(tick)); return; }
    this.glide = null;
    this.place(tick.at - 0.15 + Math.min(since, 0.3));
  }

  // From one step to the next, packets go their way before your eyes: 0 to 1, how far this has come
  glideTo(tick) {
    const { steps } = this.stage;
    if (!this.glide || this.glide.nth !== steps[0]?.nth) {
      this.glide = { nth: steps[0]?.nth, from: tick.at - (steps[0]?.since ?? 0), began: performance.now() };
    }
    return Math.min(1, (performance.now() - this.glide.began) / GLIDE_MS);
  }

  // How far it has come, 0 to 1; while it waits in the queue it is where it was put on the link
  shareOf(item, now, isPaused, glided) {
    const { store } = this;
    const begins = item.begins ?? item.at;
    const until = item.ended ?? item.arrives ?? item.at;
    if (isPaused && until - begins < 1e-9) {
      if (item.ended === undefined) return 0; // it sets out, and arrives by an event of its own
      return until === store.newest && this.stage.moved.has(item.n) ? glided : 2;
    }
    if (isPaused && until === now) return 1;
    const lasts = isPaused ? until - begins : Math.max(until - begins, store.isLive ? SLOWED_S : 0.0005);
    return Math.max(0, (now - begins) / lasts);
  }

  place(end, glided = 1) {
    const { store, map } = this;
    const isPaused = Boolean(this.stage.isPaused && store.isLive);
    const from = isPaused ? this.glide?.from ?? end : end;
    const now = from + (end - from) * glided;
    const moved = this.stage.moved;
    const dots = [], labels = [];
    const lines = new Map(map.lines.map(line => [line.name, line]));
    for (let index = store.items.length - 1; index >= 0 && dots.length < MOST_DOTS; index--) {
      const item = store.items[index];
      if (item.at < now - 30) break;
      // Of a host without an emulated link it is the interface that saw it.
      const line = lines.get(item.place) ?? lines.get(item.place?.split("/").at(-1));
      if (!line || item.at > now) continue;
      const share = this.shareOf(item, now, isPaused, glided);
      if (share > (item.lost && !isPaused ? 1.6 : 1)) continue;
      const forth = item.from === line.a;
      const gone = item.lost ? Math.min(share, 0.5) : share;
      const [x, y] = at(line, forth ? gone : 1 - gone);
      const offset = forth ? -4 : 4;
      const isLost = item.lost && share >= 0.5;
      dots.push(isLost
        ? s("text", { class: "cut", x, y: y + 5, text: "✕" })
        : s("circle", { class: `moving dot-${item.lost ? "lost" : KINDS[item.protocol] ?? "link"}`, cx: x, cy: y + offset, r: isPaused ? 6 : item.bytes > 200 ? 5 : 3.5 }));
      if (moved.has(item.n) && labels.length < 8) {
        const text = whatItSays(item).slice(0, 24);
        // Above the link, below it on the way back, and beside the node
        const width = text.length * 6.9 + 14, high = y + (forth ? -29 : 26);
        const middle = x + (x < (line.x1 + line.x2) / 2 ? 1 : -1) * (width / 2 - 6);
        labels.push(s("rect", { class: "flag", x: middle - width / 2, y: high - 12, width, height: 17, rx: 5 }), s("text", { class: "flag", x: middle, y: high, text: isLost ? `✕ ${text}` : text }));
      }
    }
    dots.push(...labels);
    this.dots.replaceChildren(...dots);
  }
}

// From border to border: on the boxes themselves nothing would be seen
const at = (line, share) => [line.x1 + (line.x2 - line.x1) * share, line.y1 + (line.y2 - line.y1) * share];

function border(box, dx, dy) {
  const share = Math.min(box.width / 2 / Math.max(Math.abs(dx), 0.01), box.height / 2 / Math.max(Math.abs(dy), 0.01), 0.5);
  return [box.x + dx * share, box.y + dy * share];
}
