"""select, poll and epoll on a host: they find its sockets, in threads, in the world's time."""

import errno
import os
import select
import selectors
import socket
import threading
from collections.abc import Callable

import pytest
import trio
from test_plain_sockets import on_a
from worlds import in_virtual_time, pair

import pystack
from pystack.runtime.borrowed.clock import BlockedWorldError

SELECTORS = [selectors.SelectSelector, selectors.PollSelector, selectors.EpollSelector]


@pytest.mark.parametrize("kind", SELECTORS)
def test_a_server_of_one_thread_serves_by_a_selector(
    kind: Callable[[], selectors.BaseSelector],
) -> None:
    answers = []

    def serve() -> None:
        with kind() as selector, socket.create_server(("", 80)) as server:
            server.setblocking(False)
            selector.register(server, selectors.EVENT_READ)
            served = 0
            while served < 2:
                for key, _ in selector.select():
                    if key.fileobj is server:
                        made, _ = server.accept()
                        made.setblocking(False)
                        selector.register(made, selectors.EVENT_READ)
                        continue
                    assert isinstance(key.fileobj, socket.socket)
                    data = key.fileobj.recv(100)
                    if data:
                        key.fileobj.send(data.upper())
                    else:
                        selector.unregister(key.fileobj)
                        key.fileobj.close()
                        served += 1
            assert selector.select(1.5) == []  # and time passes

    def ask() -> None:
        with socket.create_connection(("server", 80)) as made:
            made.sendall(b"hello")
            answers.append(made.recv(100))

    async def main() -> None:
        async with pair() as world, trio.open_nursery() as nursery:
            nursery.start_soon(world.server.run_sync, serve)
            await trio.sleep(0.1)
            nursery.start_soon(world.client.run_sync, ask)
            nursery.start_soon(world.client.run_sync, ask)

    in_virtual_time(main)
    assert answers == [b"HELLO", b"HELLO"]


def test_select_waits_for_so_long_and_returns_what_it_was_given() -> None:
    def program() -> None:
        with socket.create_connection(("10.0.0.2", 7)) as made:
            assert select.select([made], [], [], 2.0) == ([], [], [])
            assert select.select([made.fileno()], [made], [made], 1) == ([], [made], [])
            made.send(b"x")
            assert select.select([made.fileno()], [], []) == ([made.fileno()], [], [])
        with pytest.raises(ValueError, match="cannot be a negative integer"):
            select.select([made], [], [], 0)
        with pytest.raises(OSError, match="Bad file descriptor"):
            select.select([1 << 20], [], [], 0)
        with pytest.raises(ValueError, match="non-negative"):
            select.select([1 << 20], [], [], -1)

    assert on_a(program) == pytest.approx(0.04 + 2 + 0.02)


def test_poll_tells_what_poll2_tells() -> None:
    def program() -> None:
        one, other = socket.socketpair()
        polled = select.poll()
        polled.register(one, select.POLLIN)
        assert polled.poll(250) == []
        other.send(b"x")
        assert polled.poll() == [(one.fileno(), select.POLLIN)]
        polled.modify(one, select.POLLOUT | select.POLLIN)
        assert polled.poll(0) == [(one.fileno(), select.POLLOUT | select.POLLIN)]
        number = one.fileno()
        one.close()
        assert polled.poll(-1) == [(number, select.POLLNVAL)]
        polled.unregister(number)
        with pytest.raises(KeyError):
            polled.unregister(number)
        with pytest.raises(FileNotFoundError):
            polled.modify(number, 0)
        other.close()

    assert on_a(program) == pytest.approx(0.25)


def test_epoll_by_level_by_edge_and_once() -> None:
    def program() -> None:
        one, other = socket.socketpair()
        number, readable = one.fileno(), select.EPOLLIN
        with select.epoll() as polled:
            assert isinstance(polled, select.epoll)
            polled.register(number, readable)
            with pytest.raises(FileExistsError):
                polled.register(number, readable)
            other.send(b"a")
            assert polled.poll() == polled.poll() == [(number, readable)]
            polled.modify(number, readable | select.EPOLLET)
            assert polled.poll(0.5) == [(number, readable)]
            assert polled.poll(0.5) == []
            other.send(b"b")
            assert polled.poll(0.5) == [(number, readable)]
            polled.modify(number, readable | select.EPOLLONESHOT)
            assert polled.poll() == [(number, readable)]
            assert polled.poll(0.25) == []
            with pytest.raises(ValueError, match="maxevents must be greater than 0"):
                polled.poll(0, 0)
            one.close()
            with pytest.raises(OSError, match="Bad file descriptor") as caught:
                polled.unregister(number)
            assert caught.value.errno == errno.EBADF
        with pytest.raises(ValueError, match="closed epoll"):
            polled.poll()
        other.close()

    assert on_a(program) == pytest.approx(0.75)


def test_epoll_hears_of_another_thread() -> None:
    def program() -> None:
        one, other = socket.socketpair()
        with select.epoll() as polled:
            polled.register(one, select.EPOLLIN)
            thread = threading.Thread(target=lambda: other.send(b"x"))
            thread.start()
            assert polled.poll(5) == [(one.fileno(), select.EPOLLIN)]
            thread.join()
        one.close()
        other.close()

    assert on_a(program) < 1


def test_descriptors_of_the_machine_are_asked_but_not_waited_for_in_virtual_time() -> None:
    def program() -> None:
        out, into = os.pipe()
        one, other = socket.socketpair()
        assert select.select([out, one], [into], [], 0) == ([], [into], [])
        os.write(into, b"x")
        assert select.select([out, one], [], [], 5) == ([out], [], [])
        os.read(out, 1)
        with pytest.raises(BlockedWorldError, match=rf"descriptors of the machine \({out}\)"):
            select.select([out, one], [], [], 5)
        with select.epoll() as polled:
            polled.register(out, select.EPOLLIN)
            assert polled.poll(0) == []
            with pytest.raises(BlockedWorldError, match="in real time"):
                polled.poll(1)
        for each in (out, into):
            os.close(each)
        one.close()
        other.close()

    on_a(program)


def test_in_real_time_descriptors_of_the_machine_are_waited_for() -> None:
    def program() -> None:
        out, into = os.pipe()
        one, other = socket.socketpair()
        assert select.select([out, one], [], [], 0.01) == ([], [], [])
        os.write(into, b"x")
        with select.epoll() as polled:
            polled.register(out, select.EPOLLIN)
            polled.register(one, select.EPOLLIN)
            assert polled.poll() == [(out, select.EPOLLIN)]
        for each in (out, into):
            os.close(each)
        one.close()
        other.close()

    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            await net.host("a").run_sync(program)

    trio.run(main)


def test_in_trios_thread_it_looks_and_does_not_wait() -> None:
    async def program() -> None:
        one, other = socket.socketpair()
        assert select.select([one], [one], [], 0) == ([], [one], [])
        with pytest.raises(
            BlockedWorldError, match=r"select\.select \(timeout 5\) would stop the world"
        ):
            select.select([one], [], [], 5)
        one.close()
        other.close()

    async def main() -> None:
        async with pair() as world:
            await world.client.run(program)

    in_virtual_time(main)


def test_elsewhere_it_is_the_machines() -> None:
    async def main() -> None:
        async with pair():
            out, into = os.pipe()
            assert select.select([out], [into], [], 0) == ([], [into], [])
            with select.epoll() as polled:
                polled.register(into, select.EPOLLOUT)
                assert polled.poll(0) == [(into, select.EPOLLOUT)]
            os.close(out)
            os.close(into)

    in_virtual_time(main)
