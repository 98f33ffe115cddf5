"use strict";
const base = location.protocol.replace("http", "ws") + "//" + location.host + "/ws/";
const log = document.getElementById("log");
const time = document.getElementById("time");
const input = document.getElementById("message");
const say = (mark, text) => {
  const line = document.createElement("li");
  line.textContent = mark + " " + text;
  log.prepend(line);
  while (log.childElementCount > 100) log.lastChild.remove();
};
const echo = new WebSocket(base + "echo");
let sentAt = 0;
const send = text => { sentAt = performance.now(); say("→", text); echo.send(text); };
echo.onopen = () => {
  say("·", "open, extensions: " + (echo.extensions || "none"));
  send("Hello");
};
echo.onmessage = event => {
  say("←", event.data + "  (" + (performance.now() - sentAt).toFixed(1) + " ms)");
};
echo.onclose = event => say("·", "closed, code " + event.code + " " + event.reason);
document.getElementById("form").onsubmit = event => {
  event.preventDefault();
  if (echo.readyState === WebSocket.OPEN) send(input.value);
  input.value = "";
};
const clock = new WebSocket(base + "time");
clock.onmessage = event => { time.textContent = event.data; };
clock.onclose = event => { time.textContent = "closed, code " + event.code; };
