"""What strangers and fools may do to a control socket, and what others see of it."""

import json
import os
import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from control_clients import beside, connected, lines_of

import pystack
from pystack.core.errors import ConfigError
from pystack.runtime.control import places, server
from pystack.runtime.control.control import Control, ControlError


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """Give a short path, in place of pytest's: that of a Unix socket has 107 bytes."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


@pytest.fixture(autouse=True)
def runtime_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give each test a $XDG_RUNTIME_DIR of its own, which is private."""
    directory = tmp_path / "run"
    directory.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(directory))
    return directory


def watch(calls: object, **more: object) -> bytes:
    """Return the line that asks for calls to be made again and again."""
    asked = {"id": 1, "call": "watch", "arguments": {"calls": calls, **more}}
    return json.dumps(asked).encode() + b"\n"


def test_what_follows_a_watch_at_once_ends_it_after_one_update() -> None:
    def work(path: Path) -> None:
        with connected(path) as client:
            client.sendall(watch({"hosts": {}}) + b'{"id": 2, "call": "hosts"}\n')
            answers = lines_of(client)
            assert "update" in next(answers)
            assert next(answers)["id"] == 2

    beside(work)


@pytest.mark.parametrize("call", ["link down", "pause", "step", "power off", "capture start"])
def test_what_changes_something_is_not_done_again_and_again(call: str) -> None:
    def work(path: Path) -> None:
        with connected(path) as client:
            client.sendall(watch({call: {"link": "a-b"}}))
            answer = next(lines_of(client))
            assert answer["error"] == (f"{call} changes something: only what looks can be watched")

    beside(work)


def test_who_goes_away_in_the_middle_has_taken_his_share_of_the_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A watch that is ended at once, over and over: no more calls at a time for it, nor sooner."""
    posted: list[object] = []  # which the world, busy with something, does not see to

    def work(path: Path) -> None:
        for _ in range(20):
            with connected(path) as client:
                client.sendall(watch({"hosts": {}}))
                client.sendall(b"\n")  # says something else, which ends it
                client.shutdown(socket.SHUT_WR)
                with suppress(OSError):
                    client.settimeout(0.05)
                    client.recv(1)

    original = server._Server.__init__

    def init(self: Any, *words: Any) -> None:  # noqa: ANN401
        original(self, *words)
        self._post = posted.append

    monkeypatch.setattr(server._Server, "__init__", init)
    beside(work)
    assert len(posted) == 1


def test_an_answer_that_cannot_be_put_into_json_ends_one_client_and_not_control(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    original = Control.call

    def call(self: Control, name: str, *words: Any) -> Any:  # noqa: ANN401
        return float("nan") if name == "links" else original(self, name, *words)

    monkeypatch.setattr(Control, "call", call)

    def work(path: Path) -> None:
        for line in (b'{"call": "links"}\n', watch({"links": {}})):
            with connected(path) as client:
                client.sendall(line)
                assert client.recv(1) == b""
        with connected(path) as client:
            client.sendall(b'{"call": "hosts"}\n')
            assert "result" in next(lines_of(client))

    assert beside(work)["control_failed"] == 2
    assert "a client of control could not be answered" in caplog.text


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("power off", {"node": "\x1b[2J" + "x" * 70_000}),
        ("capture stop", {"file": "/tmp/\x1b]0;owned\x07"}),
        ("capture start", {"file": "\ud800" * 9000}),
        ("capture start", {"file": "a\0b"}),
        ("link down", {"link": "\u202e"}),
        ("neighbors", {"host": "y" * 70_000}),
        ("z" * 70_000, {}),
        ("link set", {"link": "a-b", "words": {"w" * 70_000: "\x1b[2J"}}),
    ],
)
def test_a_sentence_is_short_and_can_be_shown(name: str, arguments: dict[str, object]) -> None:
    async def main() -> str:
        async with pystack.Network(seed=1) as net:
            net.link(net.host("a"), net.host("b"), delay="1ms")
            with pytest.raises(ControlError) as told:
                Control(net).call(name, arguments)
            return str(told.value)

    sentence = pystack.run(main)
    assert sentence.isprintable()
    assert len(sentence) < 1000


def test_of_two_that_find_the_same_dead_socket_one_has_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "c.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    both_have_looked = threading.Barrier(2)
    listened_at = places.is_listened_at

    def slowly(at: Path) -> bool:
        found = listened_at(at)
        with suppress(threading.BrokenBarrierError):
            both_have_looked.wait(0.5)
        return found

    monkeypatch.setattr(places, "is_listened_at", slowly)
    made: list[places.Place] = []
    refused: list[ConfigError] = []

    def start() -> None:
        try:
            made.append(places.bind(path))
        except ConfigError as error:
            refused.append(error)

    threads = [threading.Thread(target=start) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(made), len(refused)) == (1, 1)
    assert listened_at(path)
    made[0].remove()


def test_one_that_is_being_made_is_not_taken_for_dead(
    runtime_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between bind(2) and listen(2) nobody is let in, as at a socket whose process has died."""
    directory = runtime_dir / "pystack"
    directory.mkdir(mode=0o700)
    path = directory / "lab-1.sock"
    looking = threading.Thread(target=places.running)
    lstat = os.lstat

    def meanwhile(at: Any) -> os.stat_result:  # noqa: ANN401
        found = lstat(at)
        if at == path and not looking.ident:
            looking.start()
            looking.join(0.3)
        return found

    monkeypatch.setattr(os, "lstat", meanwhile)
    place = places.bind(path)
    looking.join()
    assert path.exists()
    place.remove()
