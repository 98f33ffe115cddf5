// What hosts know: neighbours, routes; and what they counted, by name.

import { count, h } from "../dom.js";

export class Host {
  static key = "host";
  static title = "Host";

  constructor(context) {
    Object.assign(this, context);
    this.before = {};
    this.body = h("div");
    this.onlyDrops = h("button", { "aria-pressed": "true", text: "Drops alone", onclick: () => {
      this.onlyDrops.setAttribute("aria-pressed", String(this.onlyDrops.getAttribute("aria-pressed") !== "true"));
      this.show();
    } });
    this.root = h("section", {}, this.body);
  }

  async show() {
    const { slow, hello } = this.store;
    if (!slow || !hello) return;
    const sentences = await this.counters();
    const many = hello.network;
    const neighbors = table(["Address", "MAC", "State", "Interface"], slow.neighbors.rows.map(row => [
      h("td", { class: "mono", text: row.address }), h("td", { class: "mono", text: row.mac ?? "–" }),
      h("td", {}, h("span", { class: `tag ${row.state === "REACHABLE" ? "good" : row.state === "FAILED" ? "bad" : ""}`, text: row.state })),
      h("td", { text: many ? `${row.host} ${row.interface}` : row.interface })]), slow.neighbors);
    const routes = table(["To", "By way of", "Interface", "From"], slow.routes.rows.filter(row => row.interface !== "lo").map(row => [
      h("td", { class: "mono", text: row.destination }), h("td", { class: "mono", text: row.gateway ?? "the link itself" }),
      h("td", { text: many ? `${row.host} ${row.interface}` : row.interface }), h("td", { class: "mono", text: row.source })]), slow.routes);
    const rows = [];
    for (const [kind, groups] of Object.entries(slow.counters)) {
      if (kind === "explanations") continue;
      for (const [of, counted] of Object.entries(groups)) {
        for (const [name, number] of Object.entries(counted)) {
          const sentence = sentences[name] ?? "";
          const isPlain = /^(frames|packets|segments|datagrams|bytes|tcp_segments|ip6?_(in|out)|echo)/.test(name) || /_(in|out|sent|received|forwarded)$/.test(name);
          if (this.onlyDrops.getAttribute("aria-pressed") === "true" && isPlain) continue;
          const key = `${of} ${name}`;
          const grew = this.before[key] !== undefined && number > this.before[key];
          this.before[key] = number;
          rows.push([h("td", { class: "mono", text: name }), h("td", { class: `num${grew ? " bad" : ""}`, text: count(number) }), h("td", { text: many || kind !== "hosts" ? of : "" }), h("td", { class: "wide soft", text: sentence })]);
        }
      }
    }
    this.body.replaceChildren(
      h("div", { class: "head" }, h("h2", { text: many ? "Hosts" : "Host" }), h("span", { class: "soft grow mono", text: hello.hosts.slice(0, 8).map(host => `${host.name} ${host.addresses[0] ?? ""}`).join("   ") })),
      h("div", { class: "grid" }, h("div", { class: "card scroll" }, h("h3", { text: "Neighbours" }), neighbors), h("div", { class: "card scroll" }, h("h3", { text: "Routes" }), routes)),
      h("div", { class: "head depth-head" }, h("h2", { text: "Counted" }), h("span", { class: "grow soft", text: "What was thrown away or refused has a name, and a sentence." }), this.onlyDrops),
      h("div", { class: "card scroll" }, table(["Counter", "Number", "Where", "What it means"], rows, null, [1])));
  }
}

function table(names, rows, paged, numbers = []) {
  if (!rows.length) return h("p", { class: "soft", text: "None." });
  return h("div", {}, h("table", {}, h("thead", {}, h("tr", {}, names.map((text, at) => h("th", { scope: "col", class: numbers.includes(at) ? "num" : null, text })))),
    h("tbody", {}, rows.map(cells => h("tr", {}, cells)))),
    paged && paged.total > paged.rows.length ? h("p", { class: "soft", text: `${paged.rows.length} of ${paged.total}` }) : null);
}
