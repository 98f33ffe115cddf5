"""Names: what getaddrinfo says on a host, and that it says nothing of the machine's."""

import socket
from collections.abc import Awaitable, Callable

import pytest
import trio
from worlds import in_virtual_time, pair

import pystack


def on_a_host(program: Callable[[], Awaitable[None]], name: str = "server") -> None:
    """Run a program on `client`, in a network with another host of this name."""

    async def main() -> None:
        async with pystack.Network(seed=1, seal=True) as net:
            client, other = net.host("client"), net.host(name)
            net.link(client, other)
            await client.run(program)

    in_virtual_time(main)


def test_a_name_is_an_entry_for_each_kind_of_socket() -> None:
    async def program() -> None:
        six = ("fd00::2", 80, 0, 0)
        assert await trio.socket.getaddrinfo("server", 80) == [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.0.0.2", 80)),
            (socket.AF_INET, socket.SOCK_DGRAM, 17, "", ("10.0.0.2", 80)),
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", six),
            (socket.AF_INET6, socket.SOCK_DGRAM, 17, "", six),
        ]
        assert await trio.socket.getaddrinfo("server", 80, type=socket.SOCK_DGRAM) == [
            (socket.AF_INET, socket.SOCK_DGRAM, 17, "", ("10.0.0.2", 80)),
            (socket.AF_INET6, socket.SOCK_DGRAM, 17, "", six),
        ]
        assert await trio.socket.getaddrinfo("server", 80, socket.AF_INET, 0, 6) == [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.0.0.2", 80)),
        ]

    on_a_host(program)


@pytest.fixture
def _http_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the machine know the service's name: a small Debian has no /etc/services."""

    def by_name(name: str, _protocol: str = "tcp") -> int:
        if name == "http":
            return 80
        raise OSError("service/proto not found")

    def by_port(port: int, _protocol: str = "tcp") -> str:
        if port == 80:
            return "http"
        raise OSError("port/proto not found")

    monkeypatch.setattr(socket, "getservbyname", by_name)
    monkeypatch.setattr(socket, "getservbyport", by_port)


@pytest.mark.usefixtures("_http_is_known")
@pytest.mark.parametrize("port", ["80", b"80", "http", b"http"])
def test_a_port_may_be_a_service(port: str | bytes) -> None:
    async def program() -> None:
        found = await trio.socket.getaddrinfo("server", port, type=socket.SOCK_STREAM)
        assert found[0][4] == ("10.0.0.2", 80)

    on_a_host(program)


@pytest.mark.parametrize(
    ("host", "asked"),
    [
        ("server", "server"),
        ("server", "SERVER"),
        ("server", "server."),
        ("server", b"server"),
        ("Server", "Server"),
        ("server.example", "Server.Example."),
        ("büro", "büro"),
        ("büro", "xn--bro-hoa"),
    ],
)
def test_names_have_no_case_may_end_in_a_dot_and_need_not_be_ascii(
    host: str, asked: str | bytes
) -> None:
    async def program() -> None:
        found = await trio.socket.getaddrinfo(asked, 80)
        assert found[0][4] == ("10.0.0.2", 80)

    on_a_host(program, host)


@pytest.mark.parametrize(
    ("asked", "address"),
    [
        ("client", "10.0.0.1"),
        ("localhost", "::1"),  # as on Linux: RFC 6724 has it first
        ("api.localhost", "::1"),
        ("10.9.8.7", "10.9.8.7"),
    ],
)
def test_a_host_knows_itself(asked: str, address: str) -> None:
    async def program() -> None:
        found = await trio.socket.getaddrinfo(asked, 80)
        assert found[0][4][:2] == (address, 80)

    on_a_host(program)


@pytest.mark.parametrize(
    ("words", "number"),
    [
        (("nobody", 80), socket.EAI_NONAME),
        (("example.com", 80), socket.EAI_NONAME),
        (("server", "no-such-service"), socket.EAI_SERVICE),
        (("10.0.0.2", 80, socket.AF_INET6), socket.EAI_ADDRFAMILY),
        (("fd00::2", 80, socket.AF_INET), socket.EAI_ADDRFAMILY),
        (("server", 80, 0, 0, 0, socket.AI_NUMERICHOST), socket.EAI_NONAME),
    ],
)
def test_what_is_not_there_is_a_gaierror(words: tuple[str, int], number: int) -> None:
    async def program() -> None:
        with pytest.raises(socket.gaierror, match=r".") as caught:
            await trio.socket.getaddrinfo(*words)
        assert caught.value.errno == number

    on_a_host(program)


@pytest.mark.usefixtures("_http_is_known")
def test_getnameinfo_gives_numbers_and_the_names_of_services() -> None:
    async def program() -> None:
        assert await trio.socket.getnameinfo(("10.0.0.2", 80), 0) == ("10.0.0.2", "http")
        assert await trio.socket.getnameinfo(("127.0.0.1", 1), socket.NI_NUMERICSERV) == (
            "localhost",
            "1",
        )
        with pytest.raises(socket.gaierror, match="no name"):
            await trio.socket.getnameinfo(("10.0.0.2", 80), socket.NI_NAMEREQD)

    on_a_host(program)


def test_the_hooks_leave_with_the_last_network_and_what_was_there_comes_back() -> None:
    class Mine(trio.abc.HostnameResolver):
        async def getaddrinfo(self, *words: object) -> list[object]:
            """Answer with the question."""
            return [words]

        async def getnameinfo(self, *words: object) -> tuple[str, str]:
            """Not asked."""
            raise NotImplementedError

    async def main() -> None:
        mine = Mine()
        trio.socket.set_custom_hostname_resolver(mine)
        async with pair(), pair():
            assert await trio.socket.getaddrinfo("any", 80) == [(b"any", 80, 0, 0, 0, 0)]
        assert trio.socket.set_custom_hostname_resolver(None) is mine
        assert trio.socket.set_custom_socket_factory(None) is None

    in_virtual_time(main)
