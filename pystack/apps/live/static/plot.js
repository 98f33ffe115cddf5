// Small plots over time, as SVG.

import { h, s } from "./dom.js";

const LEFT = 62, RIGHT = 8, TOP = 8, BOTTOM = 18;

// `curves`: [{name, points: [[at, value]], step}], all on one scale from 0
export function plot({ title, curves, from, to, unit, last, cursor = null, width = 400, height = 150 }) {
  const most = Math.max(1e-9, ...curves.flatMap(curve => curve.points.map(point => point[1])));
  const top = nice(most);
  const x = at => LEFT + ((at - from) / Math.max(to - from, 1e-9)) * (width - LEFT - RIGHT);
  const y = value => height - BOTTOM - (value / top) * (height - TOP - BOTTOM);
  const parts = axes({ width, height, from, to, last, x, y, marks: [0, top / 2, top], unit });
  curves.forEach((curve, number) => {
    if (!curve.points.length) return;
    let path = "";
    let before = null;
    for (const [at, value] of curve.points) {
      const px = x(at).toFixed(1), py = y(value).toFixed(1);
      path += before === null ? `M${px} ${py}` : curve.step ? `H${px}V${py}` : `L${px} ${py}`;
      before = value;
    }
    parts.push(s("path", { class: `curve line${number}`, d: path }));
  });
  if (cursor !== null) parts.push(s("line", { class: "cursor", x1: x(cursor), x2: x(cursor), y1: TOP, y2: height - BOTTOM }));
  return figure(title, curves.map((curve, number) => [curve.name, `line${number}`]), parts, width, height);
}

export function axes({ width, height, from, to, last = "now", x, y, marks, unit }) {
  const parts = marks.flatMap(mark => [
    s("line", { class: "axis", x1: LEFT, x2: width - RIGHT, y1: y(mark), y2: y(mark) }),
    s("text", { x: LEFT - 6, y: y(mark) + 3, "text-anchor": "end", text: unit(mark) }),
  ]);
  const seconds = to - from;
  for (const share of [0, 0.5, 1]) {
    const at = from + seconds * share;
    const back = at - to;
    parts.push(s("text", {
      x: x(at), y: height - 4, "text-anchor": share === 0 ? "start" : share === 1 ? "end" : "middle",
      text: share === 1 ? last : seconds < 1 ? `${(back * 1e3).toFixed(0)} ms` : `${back.toFixed(seconds < 5 ? 2 : 0)} s`,
    }));
  }
  return parts;
}

export function figure(title, keys, parts, width, height) {
  return h("figure", { class: "plot" },
    h("figcaption", {}, h("b", { text: title }), keys.map(([name, kind]) => h("span", { class: `key ${kind}`, text: name }))),
    s("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": title }, parts));
}

export const PLOT = { LEFT, RIGHT, TOP, BOTTOM };

function nice(value) {
  const scale = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map(each => each * scale).find(each => each >= value);
}
