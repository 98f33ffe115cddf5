"use strict";
(() => {
  const root = document.documentElement;
  const all = (what, within = document) => [...within.querySelectorAll(what)];
  root.classList.remove("no-js");

  // A frame's bytes, one element each, made when the frame is first looked at.
  const bytesOf = (frame) => {
    const dump = frame.querySelector(".dump");
    if (!dump || dump.dataset.made) return dump;
    dump.dataset.made = "yes";
    const hex = dump.dataset.hex, size = hex.length / 2;
    const layers = dump.dataset.layers ? dump.dataset.layers.split(" ").map((one) => one.split(",")) : [];
    const layerAt = (at) => (layers.filter(([start, end]) => at >= +start && at < +end).pop() || [])[2];
    const perRow = matchMedia("(max-width: 44rem)").matches ? 8 : 16;
    const parts = document.createDocumentFragment();
    const put = (text, at, kind) => {
      const one = document.createElement("i");
      one.textContent = text;
      one.dataset.at = at;
      if (kind) one.classList.add(kind);
      parts.append(one);
    };
    for (let row = 0; row < size; row += perRow) {
      const offset = document.createElement("span");
      offset.className = "at";
      offset.textContent = row.toString(16).padStart(4, "0") + "  ";
      parts.append(offset);
      const end = Math.min(row + perRow, size);
      for (let at = row; at < end; at++) {
        put(hex.substr(2 * at, 2), at, layerAt(at));
        parts.append(" ");
      }
      parts.append("   ".repeat(row + perRow - end) + " ");
      for (let at = row; at < end; at++) {
        const code = parseInt(hex.substr(2 * at, 2), 16);
        put(code > 32 && code < 127 ? String.fromCharCode(code) : "·", at, layerAt(at));
      }
      parts.append("\n");
    }
    dump.replaceChildren(parts);
    return dump;
  };
  const range = (field) => {
    const [start, bits] = field.dataset.bits.split(",").map(Number);
    return [Math.floor(start / 8), Math.ceil((start + bits) / 8), bits];
  };
  const light = (field) => {
    const frame = field.closest(".frame"), dump = bytesOf(frame);
    all(".lit", frame).forEach((one) => one.classList.remove("lit"));
    field.classList.add("lit");
    if (!dump) return;
    const [first, end] = range(field);
    for (const one of all("i", dump)) one.classList.toggle("lit", +one.dataset.at >= first && +one.dataset.at < end);
  };
  const lightByte = (byte) => {
    const frame = byte.closest(".frame"), at = +byte.dataset.at;
    const over = all(".field[data-bits]", frame).filter((one) => range(one)[0] <= at && at < range(one)[1]);
    if (!over.length) return;
    const field = over.reduce((best, one) => (range(one)[2] < range(best)[2] ? one : best));
    for (let up = field.closest(".env"); up; up = up.parentElement.closest(".env")) up.open = true;
    light(field);
  };
  document.addEventListener("pointerover", (event) => {
    const field = event.target.closest(".field[data-bits]"), byte = event.target.closest(".dump i");
    if (field) light(field);
    else if (byte) lightByte(byte);
  });
  document.addEventListener("focusin", (event) => {
    const field = event.target.closest(".field[data-bits]");
    if (field) light(field);
  });
  document.addEventListener("click", (event) => {
    const field = event.target.closest(".field[data-bits]");
    if (field) field.focus();
  });
  // One field of a frame is in the order of Tab; arrows walk from there.
  const fields = (frame) => all(".field[data-bits]", frame).filter((one) => one.offsetParent);
  const enter = (frame) => {
    bytesOf(frame);
    all(".field[data-bits]", frame).forEach((one, number) => { one.tabIndex = number ? -1 : 0; });
  };
  document.addEventListener("toggle", (event) => {
    if (event.target.matches(".frame") && event.target.open) enter(event.target);
  }, true);
  all(".frame[open]").forEach(enter);

  // Depth, layers and words decide what is shown.
  const setDepth = (depth) => {
    root.dataset.depth = depth;
    all(".depth button").forEach((one) => one.setAttribute("aria-pressed", one.dataset.depth === depth));
    all(".closer").forEach((one) => { one.open = depth !== "story"; });
    all(".frame").forEach((one) => { one.open = depth !== "story"; });
    all(".env").forEach((one) => { one.open = depth !== "story" || one.parentElement.closest(".env") === null; });
  };
  const search = document.getElementById("search"), found = document.querySelector(".found");
  const choose = () => {
    const words = search.value.trim().toLowerCase();
    const off = new Set(all(".layer[aria-pressed=false]").map((one) => one.dataset.layer));
    const steps = all(".step");
    let left = 0;
    for (const step of steps) {
      step.hidden = off.has(step.dataset.layer) || (words !== "" && !step.textContent.toLowerCase().includes(words));
      left += !step.hidden;
    }
    found.textContent = left === steps.length ? "" : `${left} of ${steps.length} steps`;
  };
  all(".depth button").forEach((one) => one.addEventListener("click", () => setDepth(one.dataset.depth)));
  all(".layer").forEach((one) => one.addEventListener("click", () => {
    one.setAttribute("aria-pressed", one.getAttribute("aria-pressed") !== "true");
    choose();
  }));
  search.addEventListener("input", choose);

  // Keys.
  const go = (step) => {
    all(".here").forEach((one) => one.classList.remove("here"));
    step.classList.add("here");
    step.focus({ preventScroll: true });
    step.scrollIntoView({ block: "start" });
  };
  const walk = (by) => {
    const steps = all(".step").filter((one) => !one.hidden);
    if (!steps.length) return;
    const at = steps.findIndex((one) => one.classList.contains("here"));
    go(steps[Math.min(Math.max(at + by, 0), steps.length - 1)]);
  };
  const openNext = () => {
    const step = document.querySelector(".step.here") || document.querySelector(".step:not([hidden])");
    const next = step && all("details", step).find((one) => !one.open && (!one.parentElement.closest("details") || one.parentElement.closest("details").open));
    if (next) next.open = true;
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const field = event.target.closest && event.target.closest(".field[data-bits]");
    if (field && (event.key === "ArrowDown" || event.key === "ArrowUp")) {
      const near = fields(field.closest(".frame"));
      const next = near[near.indexOf(field) + (event.key === "ArrowDown" ? 1 : -1)];
      if (next) { near.forEach((one) => { one.tabIndex = -1; }); next.tabIndex = 0; next.focus(); }
      event.preventDefault();
      return;
    }
    if (event.target === search) {
      if (event.key === "Escape") { search.value = ""; choose(); search.blur(); }
      return;
    }
    const depth = { 1: "story", 2: "fields", 3: "bytes" }[event.key];
    if (depth) setDepth(depth);
    else if (event.key === "/") { search.focus(); event.preventDefault(); }
    else if (event.key === "j") walk(1);
    else if (event.key === "k") walk(-1);
    else if (event.key === "o") openNext();
  });
  // An arrow of the ladder leads to the step that shows its frame.
  all(".scroll [data-number]").forEach((arrow) => arrow.addEventListener("click", () => {
    const frame = document.querySelector(`.frame[data-number="${CSS.escape(arrow.dataset.number)}"]`);
    if (!frame) return;
    frame.closest(".closer").open = true;
    frame.open = true;
    go(frame.closest(".step"));
  }));
  addEventListener("beforeprint", () => all(".closer").forEach((one) => { one.open = true; }));
})();
