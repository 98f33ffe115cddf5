"""The command `pystack proxy`: what it says, and how it ends."""

import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from doc_blocks import all_commands
from proxy_rig import free_port

from pystack.cli.main import make_app
from pystack.core.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]


def start(*args: str | Path, files: int | None = None) -> subprocess.Popen[str]:
    limit = [] if files is None else ["prlimit", f"--nofile={files}:{files}"]
    return subprocess.Popen(
        [*limit, sys.executable, "-m", "pystack", "proxy", *map(str, args)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


@contextmanager
def running(
    *args: str | Path, files: int | None = None
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run it; yields it with its first line. `files`: how many it may open."""
    with start(*args, files=files) as process:
        try:
            assert process.stdout is not None
            yield process, process.stdout.readline()
        finally:
            process.kill()


@contextmanager
def upstream() -> Iterator[tuple[socket.socket, str]]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(60)
        yield server, f"127.0.0.1:{server.getsockname()[1]}"


def dial(listen: str) -> socket.socket:
    host, port = listen.rsplit(":", 1)
    return socket.create_connection((host, int(port)), timeout=60)


def end(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Return the status, and what was said on standard error."""
    _, said = process.communicate(timeout=120)
    return process.returncode, said


def test_it_waits_for_connections_and_a_second_signal_ends_them() -> None:
    with (
        upstream() as (server, place),
        running("127.0.0.1:0", place, "--delay", "1ms", "--grace", "60s") as (process, line),
    ):
        assert line.startswith("ready: 127.0.0.1:")
        listen, _, told = line.removeprefix("ready: ").strip().partition(" -> ")
        assert told == place
        with dial(listen) as client, server.accept()[0] as served:
            served.settimeout(60)
            client.sendall(b"hello")
            assert served.recv(10) == b"hello"
            process.send_signal(signal.SIGINT)
            assert process.stderr is not None
            said = process.stderr.readline()
            assert said == "waiting for 1 connection to end, 60 s at most\n"
            served.sendall(b"bye")
            assert client.recv(10) == b"bye"
            with pytest.raises(OSError, match="refused"):
                dial(listen)
            process.send_signal(signal.SIGTERM)
            assert client.recv(10) == b""
            assert end(process)[0] == 0


def test_it_prints_what_its_page_shows() -> None:
    (shown,) = [each for each in all_commands() if each.block.page.name == "proxy.md"]
    port = str(free_port())
    words = shown.line.replace("8080", port).split()
    assert words[:2] == ["pystack", "proxy"]
    with running(*words[2:]) as (_, line):
        assert (line.rstrip(),) == tuple(each.replace("8080", port) for each in shown.output)


@pytest.mark.skipif(shutil.which("prlimit") is None, reason="prlimit(1) is not here")
def test_where_there_are_no_more_files_some_have_to_go_and_it_goes_on() -> None:
    with upstream() as (server, place), running("0", place, "--json", files=60) as (process, line):
        ready = json.loads(line)
        (proxy,) = ready["ready"]
        assert (proxy["name"], proxy["protocol"], ready["api"]) == ("proxy", "tcp", None)
        listen = proxy["listen"]
        with ExitStack() as stack:
            clients = [stack.enter_context(dial(listen)) for _ in range(60)]
            ends = []
            ended, _, _ = select.select(clients[20:], [], [], 60)
            for client in ended:
                try:
                    ends.append(client.recv(1))
                except ConnectionResetError:
                    ends.append(b"reset")
            assert ends
            assert set(ends) == {b"reset"}
        with dial(listen) as client:
            client.sendall(b"hello")
            while True:  # those before have gone
                with server.accept()[0] as served:
                    served.settimeout(60)
                    if served.recv(10) == b"hello":
                        break
        process.send_signal(signal.SIGTERM)
        assert end(process)[0] == 0


def test_a_file_is_read_again_when_it_changes_and_at_a_hangup(tmp_path: Path) -> None:
    path = tmp_path / "proxies.toml"
    with upstream() as (server, place):
        path.write_text(f'[proxies.p]\nupstream = "{place}"\n')
        with running(path, "--json") as (process, line):
            assert process.stderr is not None
            (proxy,) = json.loads(line)["ready"]
            with dial(proxy["listen"]) as client, server.accept()[0] as served:
                path.write_text(f'[proxies.p]\nupstream = "{place}"\nloss = "1%"\n')
                said = json.loads(process.stderr.readline())
                assert said["message"] == f"{path} was read again"
                path.write_text("[proxies.p]\nlisten = '0'\n")
                process.send_signal(signal.SIGHUP)
                said = json.loads(process.stderr.readline())
                assert said["message"] == (
                    f'{path}:1: p needs an upstream, like upstream = "127.0.0.1:80"; '
                    "nothing was changed"
                )
                client.sendall(b"hello")
                served.settimeout(60)
                assert served.recv(10) == b"hello"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("", "say what for: pystack proxy 127.0.0.1:8080 127.0.0.1:80 --delay 50ms, "),
        ("1", "1 needs another place: pystack proxy LISTEN UPSTREAM"),
        ("1 2 3", "several proxies go into a file: pystack proxy FILE.toml"),
        ("a.toml b.toml", "only one file: a.toml or b.toml"),
        ("a.toml", "cannot read a.toml: No such file or directory"),
        ("1 127.0.0.1", "'127.0.0.1' has no port: HOST:PORT, like 127.0.0.1:80"),
        ("1 0", "'127.0.0.1:0': an upstream has a host and a port, like 127.0.0.1:80"),
        ("1 2 --gap 5", "gap counts the frames"),
        ("1 2 --preset lt", "there is no preset 'lt'; did you mean 'lte'?"),
        ("--api= --loss 1%", "words of a link belong to LISTEN UPSTREAM; in a FILE, "),
        ("0 2 --metrics 1:2:3", "--metrics 1:2:3: an address of IPv6 goes in brackets"),
        ("0 2 --grace x", "--grace: 'x' is not a time"),
        ("1 http://a:80/", "'http://a:80/' is a URL: HOST:PORT is wanted, like 127.0.0.1:80"),
        ("1 2 --delay --api", "--delay needs TIME [JITTER [CORRELATION]], and --api follows it"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_happens(words: str, sentence: str) -> None:
    with pytest.raises(ConfigError) as raised:
        make_app("proxy")(["proxy", *words.split()], standalone_mode=False)
    assert str(raised.value).startswith(sentence)


def test_two_proxies_at_one_place_are_told_with_the_second_ones_name(tmp_path: Path) -> None:
    path = tmp_path / "proxies.toml"
    with upstream() as (_, place):
        path.write_text(
            f'[proxies.p]\nupstream = "1"\n[proxies.q]\nlisten = "{place}"\nupstream = "1"\n'
        )
        status, said = end(start(path))
    taken = f"{path}: q: listen tcp {place}: bind: address already in use"
    assert (status, said) == (1, f"pystack: {taken}\n")
