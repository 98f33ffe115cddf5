// Elements, made by hand: what came over the network is text and never markup.

const SVG = "http://www.w3.org/2000/svg";

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "text") element.textContent = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  for (const child of children.flat(Infinity)) {
    if (child !== null && child !== undefined && child !== false) element.append(child);
  }
  return element;
}

export const h = (name, attributes, ...children) =>
  fill(document.createElement(name), attributes, children);

export const s = (name, attributes, ...children) =>
  fill(document.createElementNS(SVG, name), attributes, children);

// A drawing of ours that came as text, in which all text is escaped: parsed as XML, without scripts.
export function showDrawing(holder, text) {
  const parsed = new DOMParser().parseFromString(text, "image/svg+xml");
  const root = parsed.documentElement;
  if (root.localName !== "svg") return;
  parsed.querySelectorAll("style, script, foreignObject").forEach(each => each.remove());
  holder.replaceChildren(document.importNode(root, true));
}

// Numbers as people read them

export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  const size = Math.abs(seconds);
  if (size < 0.9995e-3) return `${(seconds * 1e6).toFixed(0)} µs`;
  if (size < 0.01) return `${(seconds * 1e3).toFixed(2)} ms`;
  if (size < 1) return `${(seconds * 1e3).toFixed(1)} ms`;
  return `${seconds.toFixed(2)} s`;
}

export function bytes(count) {
  if (count === null || count === undefined) return "–";
  if (count < 10000) return `${Math.round(count)} B`;
  if (count < 1e6) return `${(count / 1e3).toFixed(0)} kB`;
  if (count < 1e9) return `${(count / 1e6).toFixed(1)} MB`;
  return `${(count / 1e9).toFixed(2)} GB`;
}

export function rate(bps) {
  if (bps === null || bps === undefined) return "–";
  if (bps < 1e3) return `${bps.toFixed(0)} bit/s`;
  if (bps < 1e6) return `${(bps / 1e3).toFixed(0)} kbit/s`;
  if (bps < 1e9) return `${(bps / 1e6).toFixed(1)} Mbit/s`;
  return `${(bps / 1e9).toFixed(2)} Gbit/s`;
}

export const count = number => number.toLocaleString("en");

export const end = (address, port) => (address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`);

export const FLAGS = [["syn", 2], ["ack", 16], ["fin", 1], ["rst", 4], ["psh", 8], ["urg", 32], ["ece", 64], ["cwr", 128]];

// A node's name where there is one, in a lab
const called = (hello, address, port) => (hello.network && hello.names[address] ? `${hello.names[address]}:${port}` : end(address, port));

// Of a segment what tells it from others; of anything else its line
export function brief(item, hello) {
  if (!item.tcp) return item.line.replace(/^IP6? /, "");
  const [a, p, b, q] = item.ends;
  return `${called(hello, a, p)} > ${called(hello, b, q)}  ${whatItSays(item)}`;
}

// "SYN ACK", "ACK 1448 B", "GET / HTTP/1.1"
export function whatItSays(item) {
  if (!item.tcp) {
    const [, arp, icmp] = item.line.match(/^ARP, (\w+)|: (ICMP6?,? [^,]+)/) ?? [];
    return arp ? `ARP ${arp.toLowerCase()}` : icmp?.replace(",", "") ?? item.protocol.toUpperCase();
  }
  const [, , flags, , text] = item.tcp;
  const payload = item.line.match(/: HTTP: (.*)$/)?.[1];
  const names = FLAGS.filter(each => flags & each[1] && !(each[0] === "psh" && text)).map(each => each[0].toUpperCase()).join(" ");
  return payload ?? `${names}${text ? `  ${count(text)} bytes` : ""}`;
}
