// What the client for Node does with the API at the first argument; each step tells a line of JSON.
"use strict";
const net = require("node:net");
const { Toxiproxy } = require("toxiproxy-node-client");

const [api, upstream] = process.argv.slice(2);
const tell = (value) => console.log(JSON.stringify(value));

// Sends something through a proxy; returns what comes back, or the error.
const ask = (listen) =>
  new Promise((resolve) => {
    const colon = listen.lastIndexOf(":");
    const socket = net.connect(Number(listen.slice(colon + 1)), listen.slice(0, colon));
    socket.on("error", (error) => resolve(error.code));
    socket.on("data", (data) => {
      resolve(data.toString());
      socket.destroy();
    });
    socket.write("pandas");
  });

const failure = (promise) => promise.then(() => null, (error) => error.message);

async function main() {
  const toxiproxy = new Toxiproxy(api);
  const proxy = await toxiproxy.createProxy({ name: "redis", listen: "localhost:0", upstream });
  tell(proxy.toJson());
  tell(await ask(proxy.listen));
  const toxic = await proxy.addToxic({ type: "latency", attributes: { latency: 10 } });
  tell(toxic.toJson());
  tell(await ask(proxy.listen));
  const changed = await toxic.update({ attributes: { latency: 20, jitter: 5 }, toxicity: 0.5 });
  tell(changed.toJson());
  tell((await proxy.getToxic("latency_downstream")).toJson());
  tell(await failure(proxy.addToxic({ type: "latency", attributes: {} })));
  tell(await failure(proxy.addToxic({ type: "sugar", attributes: {} })));
  await toxic.remove();
  tell(await failure(proxy.getToxic("latency_downstream")));
  tell((await proxy.update({ enabled: false, listen: proxy.listen, upstream })).toJson());
  tell(await ask(proxy.listen));
  await toxiproxy.reset();
  tell((await toxiproxy.get("redis")).enabled);
  const made = await toxiproxy.populate([
    { name: "redis", listen: proxy.listen, upstream },
    { name: "sql", listen: "localhost:0", upstream: "localhost:3306" },
  ]);
  tell(Object.keys(made));
  const all = await toxiproxy.getAll();
  tell(Object.keys(all));
  tell(await toxiproxy.getVersion());
  for (const each of Object.values(all)) await each.remove();
  tell(Object.keys(await toxiproxy.getAll()));
}

main();
