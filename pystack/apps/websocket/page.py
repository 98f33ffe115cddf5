"""The page with which a browser tries the WebSockets: `/ws/`."""

from typing import Final

from pystack.apps.http.style import LISTING_STYLE

# It runs its own script and talks to this host; nothing else.
POLICY: Final = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self' "
    "ws: wss:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

_SCRIPT: Final = """
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
"""

PAGE: Final = f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>WebSocket</title>
<style>{LISTING_STYLE}
input{{font:inherit;padding:.4rem .6rem;width:60%;color:inherit;background:var(--card);
border:1px solid var(--line);border-radius:.4rem}}
button{{font:inherit;padding:.4rem .9rem}}
ul{{list-style:none;padding:0}}li{{padding:.2rem 0;overflow-wrap:anywhere}}
</style>
</head>
<body>
<h1>WebSocket</h1>
<p>The time here, from <code>/ws/time</code>: <b id="time">none yet</b></p>
<form id="form"><input id="message" placeholder="what to send to /ws/echo" autocomplete="off">
<button>Send</button></form>
<ul id="log"></ul>
<script>{_SCRIPT}</script>
</body>
</html>
"""
