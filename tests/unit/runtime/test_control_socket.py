"""The control socket: what it answers, whom, and what clients can do to it and to others."""

import json
import os
import socket
import stat
import tempfile
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from control_clients import beside, connected, flood, lines_of

import pystack
from pystack.core.errors import ConfigError, DeviceError
from pystack.runtime.control import places, server
from pystack.runtime.control.client import ControlClient, ControlGoneError, find
from pystack.runtime.control.control import Control, ControlError
from pystack.runtime.control.server import offered
from pystack.runtime.device.limits import raise_open_files


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """Give a short path, in place of pytest's: that of a Unix socket has 107 bytes."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:  # $TMPDIR may be long as well
        yield Path(name)


@pytest.fixture(autouse=True)
def runtime_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give each test a $XDG_RUNTIME_DIR of its own, which is private."""
    directory = tmp_path / "run"
    directory.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(directory))
    return directory


def test_calls_are_answered_in_order_with_their_ids() -> None:
    def work(path: Path) -> None:
        with connected(path) as client:
            client.sendall(
                b'{"id": 1, "call": "hosts"}\n{"id": "x", "call": "sss"}\n{"call": "info"}\n'
            )
            answers = lines_of(client)
            first, second, third = next(answers), next(answers), next(answers)
        assert [row["name"] for row in first["result"]] == ["a", "b"]
        assert second == {"id": "x", "error": "there is no call 'sss'; did you mean 'ss'?"}
        assert third["id"] is None
        assert third["result"]["virtual"] is False

    assert beside(work)["control_calls"] == 3


def test_a_client_calls_and_changes() -> None:
    def work(path: Path) -> None:
        with ControlClient(path) as client:
            words = {"link": "a-b", "words": {"delay": "5ms"}}
            assert client.call("link set", words)["a_to_b"]["words"] == {"delay": "5ms"}
            with pytest.raises(ControlError, match="there is no link"):
                client.call("link down", {"link": "x"})
            assert client.call("links")[0]["b_to_a"]["words"] == {"delay": "5ms"}

    beside(work)


def test_what_is_only_for_looking_changes_nothing() -> None:
    def work(path: Path) -> None:
        with ControlClient(path) as client, pytest.raises(ControlError, match="only for looking"):
            client.call("pause")

    beside(work, may_change=False)


def test_a_paused_network_answers_and_steps() -> None:
    def work(path: Path) -> None:
        with ControlClient(path) as client:
            with pytest.raises(ControlError, match="pause first"):
                client.call("step")
            client.call("pause")
            at = client.call("info")["at"]
            assert client.call("info")["at"] == at
            assert client.call("info")["paused"] is True
            assert client.call("step")["kind"] in ("nothing", "timer", "frame", "work")
            client.call("resume")
            assert client.call("info")["at"] > at

    beside(work)


def test_only_this_user_may_open_it(runtime_dir: Path) -> None:
    def work(path: Path) -> None:
        assert path.parent == runtime_dir / "pystack"
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert path.name == f"test-{os.getpid()}.sock"
        assert places.running() == [path]
        assert find(None) == path == find("test")

    beside(work)
    assert places.running() == []


def test_it_is_private_whatever_the_umask(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        beside(lambda path: path.chmod(0o600), tmp_path / "c.sock")
        seen: list[int] = []
        beside(lambda path: seen.append(path.stat().st_mode), tmp_path / "c.sock")
    finally:
        os.umask(old)
    assert stat.S_IMODE(seen[0]) == 0o600


def test_the_socket_of_a_dead_process_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "c.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    assert path.exists()
    beside(lambda at: ControlClient(at).close(), path)
    assert not path.exists()


def test_one_that_is_in_use_is_not_taken(tmp_path: Path) -> None:
    path = tmp_path / "c.sock"

    def work(_path: Path) -> None:
        with pytest.raises(ConfigError, match="of another pystack, which runs"):
            places.bind(path)

    beside(work, path)


def test_nothing_else_is_replaced_or_followed(tmp_path: Path) -> None:
    file, link, dangling = tmp_path / "file", tmp_path / "link", tmp_path / "dangling"
    file.write_text("mine")
    link.symlink_to(file)
    dangling.symlink_to(tmp_path / "nowhere")
    for path in (file, link, dangling):
        with pytest.raises(ConfigError, match="is no socket"):
            places.bind(path)
    assert file.read_text() == "mine"
    assert not (tmp_path / "nowhere").exists()


def test_a_directory_that_others_may_enter_is_refused(runtime_dir: Path) -> None:
    (runtime_dir / "pystack").mkdir()
    (runtime_dir / "pystack").chmod(0o755)  # whatever the umask is
    with pytest.raises(DeviceError, match="no directory of this user's alone"):
        places.default_path("x")
    (runtime_dir / "pystack").rmdir()
    (runtime_dir / "elsewhere").mkdir(mode=0o700)
    (runtime_dir / "pystack").symlink_to(runtime_dir / "elsewhere")
    with pytest.raises(DeviceError, match="no directory of this user's alone"):
        places.default_path("x")


@pytest.mark.skipif(os.geteuid() != 0, reason="giving a file away takes root")
def test_another_users_socket_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "c.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    os.chown(path, 12345, 12345)
    with pytest.raises(ConfigError, match="another user's"):
        places.bind(path)
    assert path.exists()


def test_a_path_that_is_too_long_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="at most 107 bytes"):
        places.bind(tmp_path / ("x" * 120))
    with pytest.raises(DeviceError, match="No such file"):
        places.bind(tmp_path / "no" / "x")


@pytest.mark.parametrize("is_temporary_too", [False, True])
def test_where_a_directory_is_too_long_for_a_socket_the_next_one_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_temporary_too: bool
) -> None:
    """It is offered all the same, and who controls it finds it without a word more."""
    long, short = tmp_path / ("x" * 100), tmp_path / "short"
    long.mkdir(mode=0o700)
    short.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(long))
    monkeypatch.setattr(tempfile, "tempdir", str(long if is_temporary_too else short))
    monkeypatch.setattr(places, "_SHORTEST", str(short))

    def work(path: Path) -> None:
        assert long not in path.parents
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        assert path in places.running()
        assert find(path.name.removesuffix(".sock")) == path

    beside(work)
    assert not list(long.iterdir())


def test_a_short_directory_that_others_may_enter_is_refused_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places, "_is_private", lambda path: path.parent == tmp_path / "private")
    monkeypatch.setenv("XDG_RUNTIME_DIR", "")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / ("x" * 100)))
    monkeypatch.setattr(places, "_SHORTEST", str(tmp_path))
    with pytest.raises(DeviceError, match="no directory of this user's alone"):
        places.default_path("x")


def test_a_file_that_took_its_place_is_not_removed(tmp_path: Path) -> None:
    path = tmp_path / "c.sock"

    def work(_path: Path) -> None:
        path.unlink()
        path.write_text("somebody else's")

    beside(work, path)
    assert path.read_text() == "somebody else's"


def test_dead_ones_are_not_found_and_several_are_named(runtime_dir: Path) -> None:
    directory = runtime_dir / "pystack"
    directory.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(directory / "up-tap9-1.sock"))
    with pytest.raises(ConfigError, match="nothing to control is running"):
        find(None)
    assert not (directory / "up-tap9-1.sock").exists()
    kept = [places.bind(directory / f"{name}-2.sock") for name in ("up-tap0", "lab-x")]
    with pytest.raises(ConfigError, match=r"several are running.*lab-x-2, up-tap0-2"):
        find(None)
    assert find("lab").name == "lab-x-2.sock"
    with pytest.raises(ConfigError, match="nothing to control is called 'tap'"):
        find("tap")
    for place in kept:
        place.remove()


GARBAGE = [
    (b"\n", "a line of JSON"),
    (b"\xff\xfe\x00\n", "a line of JSON"),
    (b"{\n", "a line of JSON"),
    (b"[1]\n", "a call is an object"),
    (b"[" * 50_000 + b"\n", "a line of JSON"),
    (b'{"call": ["ss"]}\n', "there is no call"),
    (b'{"call": "ss", "arguments": 7}\n', "arguments are words"),
    (b'{"call": "ss", "arguments": {"limit": 1e400}}\n', "limit is inf"),
    (b'{"call": "ss", "arguments": {"limit": NaN}}\n', "limit is nan"),
    (b'{"id": {"a": 1}, "call": "ss"}\n', "the id of a call"),
    (b'{"id": 1, "call": "watch"}\n', "watch needs calls"),
    (b'{"id": 1, "call": "watch", "arguments": {"calls": {"x": {}}}}\n', "there is no call 'x'"),
    (b'{"call": "watch", "arguments": {"calls": {"ss": {}}, "per_s": 1000}}\n', "per_s is 1000"),
]


@pytest.mark.parametrize(("data", "text"), GARBAGE)
def test_garbage_is_answered_by_a_sentence_and_the_client_may_go_on(data: bytes, text: str) -> None:
    def work(path: Path) -> None:
        with connected(path) as client:
            client.sendall(data + b'{"id": 9, "call": "info"}\n')
            answers = lines_of(client)
            error = next(answers)["error"]
            assert text in error
            assert "\n" not in error
            assert next(answers)["id"] == 9

    beside(work)


def test_a_line_without_an_end_is_cut_off() -> None:
    def work(path: Path) -> None:
        with connected(path) as client, pytest.raises(OSError, match=r"pipe|reset"):
            flood(client)
        with ControlClient(path) as client:
            assert client.call("info")["hosts"] == 2

    assert beside(work)["control_line_too_long"] == 1


def test_a_client_that_never_reads_holds_up_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "STALLED_S", 0.3)

    def work(path: Path) -> None:
        with connected(path) as deaf:
            deaf.setblocking(False)
            with suppress(OSError):  # it takes no more, or has let go already
                while True:
                    deaf.send(b'{"call": "counters", "arguments": {"explain": true}}\n' * 100)
            with ControlClient(path) as client:
                while "control_stalled" not in client.call("info")["control"]:
                    pass

    assert beside(work)["control_stalled"] == 1


def test_hundreds_of_clients_leave_room_for_the_next() -> None:
    def work(path: Path) -> None:
        crowd = []
        try:
            for number in range(800):
                client = socket.socket(socket.AF_UNIX)
                crowd.append(client)
                client.connect(str(path))
                with suppress(BrokenPipeError):  # it may have had to go already
                    if number % 3 == 0:
                        client.sendall(b'{"call": "info"}\n')
                    if number % 7 == 0:
                        client.sendall(b'{"call": "in')
            with ControlClient(path) as last:
                counted = last.call("info")["control"]
                # Who comes while all are being answered is sent away at once.
                gone = counted["control_made_room"] + counted.get("control_full", 0)
                assert gone >= 800 - server.MOST_CLIENTS
        finally:
            for client in crowd:
                client.close()

    raise_open_files()  # both ends are here; 1024 are enough, which some may have at most
    beside(work)


def test_clients_that_die_in_the_middle_are_counted_and_forgotten() -> None:
    def work(path: Path) -> None:
        for _ in range(200):
            with connected(path) as client:
                client.sendall(b'{"call": "watch", "arguments": {"calls": {"info": {}}}}\n')
                client.sendall(b'{"call": "ss"}\n' * 20)
        with ControlClient(path) as last:
            assert last.call("info")["hosts"] == 2

    assert beside(work)["control_clients"] == 201


def test_watching_tells_what_changes_until_something_is_said() -> None:
    def work(path: Path) -> None:
        with connected(path) as client:
            client.sendall(
                b'{"id": 4, "call": "watch", "arguments": {"calls": {"links": {}}, "per_s": 20}}\n'
            )
            answers = lines_of(client)
            first = next(answers)
            assert (first["id"], first["missed"]) == (4, 0)
            assert first["update"]["links"][0]["name"] == "a-b"
            with ControlClient(path) as other:
                other.call("link down", {"link": "a-b"})
            assert next(answers)["update"]["links"][0]["a_to_b"]["down"] is True
            client.sendall(b'{"id": 5, "call": "hosts"}\n')
            assert next(answers)["id"] == 5

    beside(work)


def test_a_slow_follower_is_told_what_it_has_missed() -> None:
    def work(path: Path) -> None:
        def made() -> int:
            return int(other.call("info")["control"]["control_calls"])

        with connected(path) as client, ControlClient(path) as other:
            asked = {"calls": {"info": {}, "addresses": {}}, "per_s": 20}
            client.sendall(json.dumps({"call": "watch", "arguments": asked}).encode() + b"\n")
            quiet, before = 0, made()
            while quiet < 5:  # until nothing more is asked for it: it does not read
                threading.Event().wait(0.2)
                now = made()
                quiet, before = (quiet + 1 if now == before + 1 else 0), now
            answers = lines_of(client)
            first = next(answers)["missed"]
            while next(answers)["missed"] < 3:  # a machine in need may miss one by itself
                pass
            assert first == 0

    beside(work, others=200)


def test_it_says_when_all_has_ended() -> None:
    kept: list[ControlClient] = []

    def work(path: Path) -> None:
        kept.append(ControlClient(path))
        kept[0].call("info")

    beside(work)
    with pytest.raises(ControlGoneError, match="has ended"):
        kept[0].call("info")
    kept[0].close()
    with pytest.raises(DeviceError, match="cannot connect"):
        ControlClient(kept[0].path)


def test_a_lab_in_virtual_time_waits_paused_and_is_stepped_through() -> None:
    seen: list[str] = []

    def work(path: Path) -> None:
        with ControlClient(path) as client:
            assert client.call("info")["virtual"] is True
            while len(seen) < 3:
                step = client.call("step")
                seen.append(step["kind"])
                if step["kind"] == "frame":
                    assert step["happened"]
            assert client.call("info")["paused"] is True
            client.call("resume")

    async def main() -> float:
        async with pystack.Network(seed=1) as net:
            net.link(net.host("a"), net.host("b"), delay="10ms")
            net.pause()
            with offered(Control(net), "test") as path:
                thread = threading.Thread(target=work, args=(path,))
                thread.start()
                took = await net.hosts["a"].ping("b")
            thread.join()
            return took

    assert pystack.run(main) == 0.04
    assert "frame" in seen


def test_in_virtual_time_a_run_that_is_watched_is_the_same() -> None:
    async def main(*, watched: bool) -> list[float]:
        async with pystack.Network(seed=1) as net:
            net.link(net.host("a"), net.host("b"), delay="10ms", jitter="5ms", loss="10%")
            if not watched:
                return [await ping(net) for _ in range(300)]
            with offered(Control(net), "test") as path, ControlClient(path) as client:
                client.ask("watch", {"calls": {"ss": {}, "info": {}}, "per_s": 20})
                return [await ping(net) for _ in range(300)]

    async def ping(net: pystack.Network) -> float:
        try:
            return await net.hosts["a"].ping("b", timeout_s=0.5)
        except TimeoutError:
            return net.now()

    async def plain() -> list[float]:
        return await main(watched=False)

    async def watched() -> list[float]:
        return await main(watched=True)

    assert pystack.run(plain, seed=2) == pystack.run(watched, seed=2)
