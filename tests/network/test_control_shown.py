"""What calls answer, as `pystack ctl` shows it, and what it says of calls."""

import io

import pytest
import trio

import pystack
from pystack.cli.control_text import as_lines, shape, show
from pystack.cli.ctl import call_explained, calls_listed
from pystack.runtime.control.calls import CALLS
from pystack.runtime.control.control import Control


def answers() -> dict[str, object]:
    """Return the answers of all calls that look, of two hosts with a connection."""
    found: dict[str, object] = {}

    async def main() -> None:
        async with pystack.Network(seed=7) as net:
            client, server = net.host("client"), net.host("server")
            net.link(client, server, delay="20ms", loss="1%")
            (listener,) = await server.open_tcp_listeners(80)
            stream = await client.open_tcp_stream("fd00::2", 80)
            await (await listener.accept()).send_all(bytes(100_000))
            await trio.sleep(0.03)
            control = Control(net)
            for call in CALLS.values():
                if not call.changes:
                    found[call.name] = control.call(call.name)
            found["counters"] = control.call("counters", {"explain": True})
            net.pause()
            found["step"] = control.call("step")
            net.resume()
            await stream.aclose()

    pystack.run(main)
    return found


def test_everything_is_shown_as_tools_do() -> None:
    texts = {name: "\n".join(as_lines(shape(name, answer))) for name, answer in answers().items()}
    assert "client  ESTABLISHED" in texts["ss"]
    assert "[fd00::2]:80" in texts["ss"]
    assert "cubic rto:" in texts["ss"]
    assert "timer:(retransmit," in texts["ss"]
    assert "limited:cwnd" in texts["ss"]
    assert "delay 20ms loss 1%" in texts["links"]
    assert "REACHABLE" in texts["neighbors"]
    assert "10.0.0.0/24" in texts["routes"]
    assert "Segments" in texts["counters"] or "segment" in texts["counters"]
    assert "frame: arrives: IP6" in texts["step"]
    assert "*:80" not in texts["listening"]
    for name, text in texts.items():
        assert text, name
        assert not any(line != line.rstrip() for line in text.splitlines()), name


def test_a_pipe_gets_plain_text_and_a_terminal_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("LINES", "50")
    for name, answer in answers().items():
        plain, coloured = io.StringIO(), Terminal()
        show(name, answer, plain)
        show(name, answer, coloured)
        assert "\x1b" not in plain.getvalue()
        assert coloured.getvalue().split()[0].lstrip("\x1b[12mhH") != ""
    monkeypatch.setenv("NO_COLOR", "1")
    out = Terminal()
    show("links", answers()["links"], out)
    assert "\x1b" not in out.getvalue()


def test_every_call_is_listed_and_explained() -> None:
    listed = "\n".join(calls_listed())
    for call in CALLS.values():
        assert call.about in listed
        explained = "\n".join(call_explained(call))
        assert call.about in explained
        for argument in call.arguments:
            assert argument.about in explained


def test_the_words_of_strangers_do_nothing_to_a_terminal() -> None:
    answer = {
        "at": 1.0,
        "kind": "frame",
        "what": "\x1b]0;owned\x07",
        "happened": ["a\x1b[2J\u202eb"],
    }
    assert as_lines(shape("step", answer)) == [
        "1.000000 frame: \\x1b]0;owned\\x07",
        "    a\\x1b[2J\\u202eb",
    ]
    out = io.StringIO()
    show("hosts", [{**HOST, "addresses": ["\x1b[31m"]}], out)
    assert "\x1b" not in out.getvalue()
    out = io.StringIO()
    out.isatty = lambda: True  # type: ignore[method-assign]
    show("hosts", [{**HOST, "name": "\x1b]0;owned\x07"}], out)
    assert "\x1b]" not in out.getvalue()


HOST = {"name": "a", "kind": "host", "powered": True, "connections": 0, "addresses": []}
