// The WebSocket: comes back by itself, and answers questions by their numbers.

const WAITS_MS = [300, 700, 1500, 3000, 5000];
const SILENCE_MS = 3000;

export class Feed {
  constructor(store) {
    this.store = store;
    this.state = "gone"; // "live", or "gone"
    this.hello = null;
    this.changes = "";
    this.heardAt = 0;
    this.tries = 0;
    this.questions = new Map();
    this.number = 0;
    this.listeners = new Set();
    this.token = takeToken();
    this.connect();
    setInterval(() => this.watch(), 1000);
  }

  connect() {
    const address = location.protocol.replace("http", "ws") + "//" + location.host + "/live/feed";
    const socket = (this.socket = new WebSocket(address));
    socket.onmessage = event => this.hear(JSON.parse(event.data));
    socket.onclose = () => this.lost(socket);
  }

  lost(socket) {
    if (socket !== this.socket) return;
    this.setState("gone");
    for (const { reject } of this.questions.values()) reject(new Error("the connection has gone"));
    this.questions.clear();
    setTimeout(() => this.connect(), WAITS_MS[Math.min(this.tries++, WAITS_MS.length - 1)]);
  }

  watch() {
    if (this.state === "live" && performance.now() - this.heardAt > SILENCE_MS) {
      // Its stack may have gone without a word.
      this.setState("stale");
    }
    if (this.state === "stale" && performance.now() - this.heardAt > 4 * SILENCE_MS) {
      const socket = this.socket;
      socket.close();
      this.lost(socket);
    }
  }

  hear(message) {
    this.heardAt = performance.now();
    if (message.hello !== undefined) {
      this.tries = 0;
      this.hello = message;
      this.changes = message.changes;
      this.store.begin(message);
      this.setState("live");
      if (this.token) this.unlock(this.token);
      this.tell("hello");
    } else if (message.tick !== undefined) {
      this.store.add(message);
      this.socket.send(JSON.stringify({ seen: message.tick }));
      if (this.state !== "live") this.setState("live");
      this.tell("tick");
    } else if (message.skipped !== undefined) {
      this.store.skip(message.skipped);
    } else if (message.id !== undefined) {
      const asked = this.questions.get(message.id);
      this.questions.delete(message.id);
      if (message.error !== undefined) asked?.reject(new Error(message.error));
      else asked?.resolve(message.answer);
    }
  }

  ask(question) {
    if (this.state === "gone") return Promise.reject(new Error("there is no connection"));
    const id = ++this.number;
    return new Promise((resolve, reject) => {
      this.questions.set(id, { resolve, reject });
      this.socket.send(JSON.stringify({ ...question, id }));
    });
  }

  call(name, given = {}) {
    return this.ask({ ask: "call", name, arguments: given });
  }

  async unlock(token) {
    try {
      this.changes = await this.ask({ token });
    } catch (error) {
      this.changes = `${error.message}.`;
    }
    this.tell("hello");
  }

  setState(state) {
    this.state = state;
    this.tell("state");
  }

  tell(what) {
    for (const listener of this.listeners) listener(what);
  }
}

// It comes in the fragment, which no server is sent, and does not stay in the address.
function takeToken() {
  const match = location.hash.match(/token=([\w-]+)/);
  if (match) {
    sessionStorage.setItem("token", match[1]);
    history.replaceState(null, "", location.pathname + "#/ladder");
  }
  return sessionStorage.getItem("token");
}
