"""Headless Chromium, spoken to over two pipes in the DevTools protocol: no port, no package."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

# It reads from descriptor 3, and writes to 4.
_FROM_3_AND_4 = """
import os, sys
commands, answers = (os.dup2(int(fd), 100 + n) for n, fd in enumerate(sys.argv[1:3]))
os.dup2(commands, 3)
os.dup2(answers, 4)
os.execv(sys.argv[3], sys.argv[3:])
"""


def find() -> str | None:
    """Return the browser's path; None where there is none."""
    return shutil.which("chromium") or shutil.which("chromium-browser")


class Chromium:
    """One browser with one page. A context manager; what the page complains about is kept."""

    def __init__(self, folder: Path, arguments: Sequence[str] = ()) -> None:
        """`folder`: where it may leave what it likes. `arguments`: more of them, a proxy say."""
        program = find()
        assert program is not None
        self.complaints: list[str] = []  # errors of scripts, of the console, of the policy
        self._number = 0
        theirs, self._write = os.pipe()
        self._read, answers = os.pipe()
        argv = [
            program, "--headless", "--disable-gpu", "--remote-debugging-pipe", "--no-first-run",
            "--no-sandbox",  # as root there is none
            "--disable-dev-shm-usage", "--hide-scrollbars", f"--user-data-dir={folder}", *arguments,
        ]  # fmt: skip
        self._process = subprocess.Popen(
            [sys.executable, "-c", _FROM_3_AND_4, str(theirs), str(answers), *argv],
            pass_fds=(theirs, answers),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(theirs)
        os.close(answers)
        self._rest = b""
        self._loaded = ""  # the document that was loaded last
        target = self._ask("Target.createTarget", {"url": "about:blank"})["targetId"]
        attached = self._ask("Target.attachToTarget", {"targetId": target, "flatten": True})
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.ask(f"{domain}.enable")
        self.ask("Page.setLifecycleEventsEnabled", {"enabled": True})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # Asked to, it removes what it has in the machine's temporary folder; a signal leaves that.
        with suppress(BrokenPipeError):
            os.write(self._write, b'{"id": 0, "method": "Browser.close"}\0')
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
        os.close(self._write)
        os.close(self._read)

    def look(
        self, width: int, height: int, *, dark: bool = False, still: bool = False, scale: int = 1
    ) -> None:
        """Be a window of that size, of somebody who likes it dark, or who likes it still."""
        size = {"width": width, "height": height, "deviceScaleFactor": scale, "mobile": False}
        self.ask("Emulation.setDeviceMetricsOverride", size)
        features = [
            {"name": "prefers-color-scheme", "value": "dark" if dark else "light"},
            {"name": "prefers-reduced-motion", "value": "reduce" if still else "no-preference"},
        ]
        self.ask("Emulation.setEmulatedMedia", {"features": features})

    def open(self, url: str) -> None:
        """Load a page, all of it."""
        # Not just any: that the empty page is loaded may be told only now.
        began = self.ask("Page.navigate", {"url": url})
        # An address that an interface gets just now breaks off what is under way.
        while began.get("errorText") == "net::ERR_NETWORK_CHANGED":
            began = self.ask("Page.navigate", {"url": url})
        assert "errorText" not in began, f"{url}: {began['errorText']}"
        while self._loaded != began["loaderId"]:
            self._take(self._next())

    def run(self, script: str) -> Any:  # noqa: ANN401 - whatever the script returns
        """Return what an expression of the page's own JavaScript is; a promise is awaited."""
        words = {"expression": script, "returnByValue": True, "awaitPromise": True}
        answer = self.ask("Runtime.evaluate", words)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def press(self, key: str) -> None:
        """Press a key, and let it go."""
        code = {"ArrowDown": 40, "ArrowUp": 38, "Enter": 13, "Tab": 9, "Escape": 27}.get(key)
        words: dict[str, object] = {"key": key, "windowsVirtualKeyCode": code or ord(key.upper())}
        if code is None or key == "Enter":
            words["text"] = "\r" if key == "Enter" else key
        self.ask("Input.dispatchKeyEvent", {"type": "keyDown", **words})
        self.ask("Input.dispatchKeyEvent", {"type": "keyUp", **words})

    def picture(self, path: Path, *, whole: bool = False) -> None:
        """Write what is seen to a PNG; `whole`: the page to its end."""
        words = {"format": "png", "captureBeyondViewport": whole}
        path.write_bytes(base64.b64decode(self.ask("Page.captureScreenshot", words)["data"]))

    def ask(self, method: str, words: Mapping[str, object] | None = None) -> dict[str, Any]:
        """Send a command of the protocol to the page; return its result."""
        return self._ask(method, words or {}, session=self._session)

    def _ask(
        self, method: str, words: Mapping[str, object], *, session: str = ""
    ) -> dict[str, Any]:
        self._number += 1
        message = {"id": self._number, "method": method, "params": words}
        if session:
            message["sessionId"] = session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._write, data) :]
        while (found := self._next()).get("id") != self._number:
            self._take(found)
        assert "error" not in found, found["error"]
        result: dict[str, Any] = found["result"]
        return result

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            more = os.read(self._read, 1 << 16)
            if not more:
                sys.exit("Chromium has ended")
            self._rest += more
        message, _, self._rest = self._rest.partition(b"\0")
        found: dict[str, Any] = json.loads(message)
        return found

    def _take(self, event: Mapping[str, Any]) -> None:
        match event.get("method"):
            case "Page.lifecycleEvent" if event["params"]["name"] == "load":
                self._loaded = event["params"]["loaderId"]
            case "Runtime.exceptionThrown":
                self.complaints.append(str(event["params"]["exceptionDetails"]))
            case "Runtime.consoleAPICalled" if event["params"]["type"] in {"error", "warning"}:
                self.complaints.append(str(event["params"]["args"]))
            case "Log.entryAdded" if event["params"]["entry"]["level"] in {"error", "warning"}:
                self.complaints.append(event["params"]["entry"]["text"])
