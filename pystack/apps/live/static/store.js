// What was told, and what is shown of it: the last minutes, bounded.

const MOST_TICKS = 1800;
const MOST_ITEMS = 20000;
const SAMPLES = 1800;

export const connectionKey = row =>
  `${row.host}|${row.local_address}|${row.local_port}|${row.remote_address}|${row.remote_port}`;

export class Store {
  constructor() {
    this.serial = 0; // of the newest tick
    this.at = null; // the instant that is shown; null: now
    this.reset();
  }

  reset() {
    this.ticks = [];
    this.items = [];
    this.byNumber = new Map();
    this.connections = new Map();
    this.slow = null;
    this.links = [];
    this.skipped = 0;
    this.leftOut = 0;
    this.hello = null;
  }

  begin(hello) {
    const before = this.hello;
    // The same world goes on, as after a broken connection; another one begins anew.
    if (before === null || before.title !== hello.title || hello.now < this.newest) this.reset();
    this.hello = hello;
    this.offset = hello.offset;
  }

  get newest() {
    return this.ticks.length ? this.ticks.at(-1).at : 0;
  }

  get oldest() {
    return this.ticks.length ? this.ticks[0].at : 0;
  }

  // The instant that is shown
  get now() {
    return this.at ?? this.newest;
  }

  get isLive() {
    return this.at === null;
  }

  skip(count) {
    this.skipped += count;
  }

  add(tick) {
    if (this.ticks.length && tick.at < this.newest) return; // told again, after coming back
    this.ticks.push({
      at: tick.at, frames: tick.frames, bytes: tick.bytes, leftOut: tick.left_out,
      lost: tick.items.filter(isTrouble).length + tick.ended.filter(each => each.lost).length,
      serial: ++this.serial, ended: tick.ended.map(each => each.n), places: tick.places, links: tick.links ?? null, paused: tick.paused ?? false,
      total: tick.ss.total, tellsAll: tick.ss.next === null, viewers: tick.viewers,
    });
    if (this.ticks.length > MOST_TICKS) this.ticks.shift();
    this.leftOut += tick.left_out;
    for (const item of tick.items) {
      this.items.push(item);
      this.byNumber.set(item.n, item);
      this.note(item);
    }
    for (const fate of tick.ended) Object.assign(this.byNumber.get(fate.n) ?? {}, fate);
    while (this.items.length > MOST_ITEMS) this.byNumber.delete(this.items.shift().n);
    for (const row of tick.ss.connections) this.sample(tick.at, row);
    if (tick.links) this.links = tick.links;
    if (tick.slow) this.slow = tick.slow;
    this.forget();
  }

  sample(at, row) {
    const connection = this.connection(connectionKey(row), row);
    if (!connection.firstAt) connection.firstAt = at;
    connection.row = row;
    connection.lastAt = at;
    // As its congestion control measures it; if that does not, what was acknowledged of late
    const before = connection.samples.findLast(sample => sample.at <= at - 0.5) ?? connection.samples[0];
    const acked = before && at > before.at ? ((row.bytes_acked - before.row.bytes_acked) * 8) / (at - before.at) : 0;
    connection.delivers = row.delivery_rate_bps || acked || connection.delivers;
    connection.samples.push({ at, row });
    if (connection.samples.length > SAMPLES) connection.samples.shift();
    connection.reach(row.state, at);
  }

  connection(key, row) {
    let found = this.connections.get(key);
    if (!found) {
      found = {
        key, row, samples: [], states: [], firstAt: 0, lastAt: 0,
        reach(state, at) {
          if (this.states.at(-1)?.state !== state) this.states.push({ state, at });
        },
      };
      this.connections.set(key, found);
    }
    return found;
  }

  // A change of state says more than a sample: none is missed.
  note(item) {
    if (item.event !== "tcp state changed") return;
    const row = {
      host: item.host, local_address: item.local[0], local_port: item.local[1],
      remote_address: item.remote[0], remote_port: item.remote[1], state: item.new,
    };
    const key = connectionKey(row);
    if (!this.connections.has(key) && item.new === "CLOSED") return;
    const connection = this.connection(key, row);
    if (!connection.states.length && item.old !== item.new) connection.reach(item.old, item.at);
    connection.reach(item.new, item.at);
    connection.firstAt ||= item.at;
    connection.lastAt = item.at;
    connection.row = { ...connection.row, state: item.new };
  }

  forget() {
    if (this.connections.size <= 400) return;
    const oldest = [...this.connections.values()].sort((a, b) => a.lastAt - b.lastAt);
    for (const each of oldest.slice(0, this.connections.size - 300)) this.connections.delete(each.key);
  }

  isMine(row) {
    const you = this.hello?.you;
    return Boolean(you) && row.local_port === you[0][1] && row.remote_port === you[1][1]
      && row.remote_address === you[1][0];
  }

  isMyFrame(item) {
    const you = this.hello?.you;
    if (!you || item.protocol !== "tcp") return false;
    const [a, p, b, q] = item.ends;
    const [[x, u], [y, v]] = you;
    return (a === x && p === u && b === y && q === v) || (a === y && p === v && b === x && q === u);
  }

  // How many items there are up to the instant that is shown
  upTo(at) {
    let low = 0, high = this.items.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.items[middle].at <= at) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  tickAt(at) {
    if (this.at === null) return this.ticks.at(-1);
    let low = 0, high = this.ticks.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.ticks[middle].at <= at) low = middle + 1;
      else high = middle;
    }
    return this.ticks[Math.max(low - 1, 0)];
  }

  rowAt(connection) {
    if (this.at === null) return connection.row;
    const known = connection.samples.findLast(sample => sample.at <= this.at);
    const state = connection.states.findLast(each => each.at <= this.at)?.state;
    return known ? { ...known.row, state: state ?? known.row.state } : { ...connection.row, state: state ?? "" };
  }

  clock(at) {
    if (this.offset) {
      const date = new Date((at + this.offset) * 1000);
      return date.toTimeString().slice(0, 8) + "." + String(date.getMilliseconds()).padStart(3, "0");
    }
    return `${at.toFixed(6)} s`;
  }
}

export const isTrouble = item =>
  Boolean(item.lost) || item.event === "dropped" || item.event === "tcp retransmitted";
