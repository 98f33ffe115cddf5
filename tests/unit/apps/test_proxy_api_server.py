"""The API of proxies on sockets of this machine: where it listens, and what clients can't do."""

import errno
import logging
import re
import socket
import sys

import pytest
import trio
import trio.testing
from loopback import has_ip6

from pystack.apps.proxy import api
from pystack.apps.proxy.api import ApiAddress, ApiServer, MetricsServer
from pystack.apps.proxy.api import server as server_module
from pystack.apps.proxy.proxies import Proxies
from pystack.core.errors import ConfigError, DeviceError
from pystack.core.extras import how_to_get

ANY = ApiAddress(("127.0.0.1",), 0)
HEADERS = (b"Content-Length: 9", b"Transfer-Encoding: chunked")
VERSION = b"GET /version HTTP/1.1\r\nHost: localhost\r\n\r\n"


def port_of(url: str) -> int:
    return int(url.rpartition(":")[2])


async def say(stream: trio.SocketStream, request: bytes) -> bytes:
    """Send, and return the status line of the answer."""
    await stream.send_all(request)
    return bytes(await stream.receive_some(65536)).partition(b"\r\n")[0]


@pytest.mark.trio
async def test_localhost_is_both_versions_of_ip(nursery: trio.Nursery) -> None:
    url = await nursery.start(ApiServer(Proxies(), ApiAddress(port=0)).run)
    assert url.startswith("http://127.0.0.1:")
    for host in ("127.0.0.1", "::1") if has_ip6() else ("127.0.0.1",):
        async with await trio.open_tcp_stream(host, port_of(url)) as stream:
            assert await say(stream, VERSION) == b"HTTP/1.1 200 OK"
    nursery.cancel_scope.cancel()


def fail_for_ip6(
    monkeypatch: pytest.MonkeyPatch, number: int, *, times: int = 1000
) -> list[trio.SocketListener]:
    """Let the machine refuse ::1, so many times; return what it gives otherwise."""
    given: list[trio.SocketListener] = []
    left = [times]
    really = trio.open_tcp_listeners

    async def open_tcp_listeners(port: int, *, host: str) -> list[trio.SocketListener]:
        if host == "::1" and left[0]:
            left[0] -= 1
            raise OSError(number, "no")
        listeners = await really(port, host="127.0.0.1" if host == "127.0.0.1" else "127.0.0.2")
        given.extend(listeners)
        return listeners

    monkeypatch.setattr(trio, "open_tcp_listeners", open_tcp_listeners)
    return given


@pytest.mark.trio
async def test_a_machine_without_ip6_has_one_localhost(
    nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = fail_for_ip6(monkeypatch, errno.EADDRNOTAVAIL)
    url = await nursery.start(ApiServer(Proxies(), ApiAddress(port=0)).run)
    assert len(given) == 1
    async with await trio.open_tcp_stream("127.0.0.1", port_of(url)) as stream:
        assert await say(stream, VERSION) == b"HTTP/1.1 200 OK"
    nursery.cancel_scope.cancel()


@pytest.mark.trio
async def test_a_free_port_is_free_for_both_versions(
    nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = fail_for_ip6(monkeypatch, errno.EADDRINUSE, times=2)
    await nursery.start(ApiServer(Proxies(), ApiAddress(port=0)).run)
    assert len(given) == 4
    assert [listener.socket.fileno() == -1 for listener in given] == [True, True, False, False]
    nursery.cancel_scope.cancel()


@pytest.mark.trio
async def test_what_is_taken_of_one_version_leaves_nothing_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given = fail_for_ip6(monkeypatch, errno.EADDRINUSE)
    with pytest.raises(DeviceError, match=r"--api \[::1\]:\d+: it is taken"):
        await ApiServer(Proxies(), ApiAddress(port=0)).run()
    assert given
    assert all(listener.socket.fileno() == -1 for listener in given)


def test_without_the_library_a_sentence_says_what_to_get(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "h11", None)
    how = re.escape(how_to_get("http"))
    with pytest.raises(ConfigError, match=f"the API of proxies needs h11: {how}"):
        _ = api.ApiServer


@pytest.mark.trio
async def test_a_port_that_is_taken_is_said() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(DeviceError, match=rf"--api 127\.0\.0\.1:{port}: it is taken; another"):
            await ApiServer(Proxies(), ApiAddress(("127.0.0.1",), port)).run()


@pytest.mark.trio
async def test_whoever_lets_others_in_is_warned(
    nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    await nursery.start(ApiServer(Proxies(), ANY).run)
    assert not caplog.records
    await nursery.start(ApiServer(Proxies(), ApiAddress(("0.0.0.0",), 0)).run)
    (record,) = caplog.records
    assert "there are no passwords" in record.getMessage()
    nursery.cancel_scope.cancel()


@pytest.mark.trio
async def test_a_connection_serves_many_requests(nursery: trio.Nursery) -> None:
    url = await nursery.start(ApiServer(Proxies(), ANY).run)
    async with await trio.open_tcp_stream("127.0.0.1", port_of(url)) as stream:
        for _ in range(3):
            assert await say(stream, VERSION) == b"HTTP/1.1 200 OK"
    nursery.cancel_scope.cancel()


@pytest.mark.trio
async def test_silent_connections_keep_nobody_out(
    nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "MOST_CONNECTIONS", 4)
    url = await nursery.start(ApiServer(Proxies(), ANY).run)
    silent = [await trio.open_tcp_stream("127.0.0.1", port_of(url)) for _ in range(4)]
    await silent[1].send_all(b"GET /version HT")
    assert await say(silent[0], VERSION) == b"HTTP/1.1 200 OK"
    with trio.fail_after(60):
        async with await trio.open_tcp_stream("127.0.0.1", port_of(url)) as stream:
            assert await say(stream, VERSION) == b"HTTP/1.1 200 OK"
        # The first has said something since: of the others the one that waits longest has gone.
        assert await silent[1].receive_some(65536) == b""
    assert await say(silent[0], VERSION) == b"HTTP/1.1 200 OK"
    for stream in silent:
        await stream.aclose()
    nursery.cancel_scope.cancel()


@pytest.mark.trio
async def test_bodies_that_do_not_come_keep_nobody_out(
    nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "MOST_CONNECTIONS", 2)
    url = await nursery.start(ApiServer(Proxies(), ANY).run)
    slow = [await trio.open_tcp_stream("127.0.0.1", port_of(url)) for _ in range(2)]
    for stream, length in zip(slow, HEADERS, strict=True):
        await stream.send_all(b"POST /populate HTTP/1.1\r\nHost: a\r\n%b\r\n\r\n1\r\n[" % length)
    await trio.testing.wait_all_tasks_blocked()
    with trio.fail_after(60):
        async with await trio.open_tcp_stream("127.0.0.1", port_of(url)) as stream:
            assert await say(stream, VERSION) == b"HTTP/1.1 200 OK"
    for stream in slow:
        await stream.aclose()
    nursery.cancel_scope.cancel()


@pytest.mark.trio
async def test_where_all_are_busy_the_next_is_refused(
    nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(server_module, "MOST_CONNECTIONS", 2)
    answered = trio.Event()

    async def reset(_self: Proxies) -> None:
        await answered.wait()

    monkeypatch.setattr(Proxies, "reset", reset)
    url = await nursery.start(ApiServer(Proxies(), ANY).run)
    busy = [await trio.open_tcp_stream("127.0.0.1", port_of(url)) for _ in range(2)]
    for stream in busy:
        await stream.send_all(b"POST /reset HTTP/1.1\r\nHost: localhost\r\n\r\n")
    with trio.fail_after(60):
        for _ in range(2):
            async with await trio.open_tcp_stream("127.0.0.1", port_of(url)) as refused:
                assert await refused.receive_some(1) == b""
    assert caplog.messages == ["--api: connections are refused: 2 are being answered"]
    answered.set()
    for stream in busy:
        assert (await stream.receive_some(65536)).startswith(b"HTTP/1.1 204 ")
        await stream.aclose()
    nursery.cancel_scope.cancel()


@pytest.mark.trio
async def test_metrics_alone(nursery: trio.Nursery) -> None:
    url = await nursery.start(MetricsServer(Proxies(), ANY).run)
    async with await trio.open_tcp_stream("127.0.0.1", port_of(url)) as stream:
        for path, status in (("/metrics", 200), ("/proxies", 404), ("/reset", 404)):
            request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
            assert (await say(stream, request)).startswith(b"HTTP/1.1 %d " % status)
        post = b"POST /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n"
        assert (await say(stream, post)).startswith(b"HTTP/1.1 405 ")
    nursery.cancel_scope.cancel()
