"""Labs with real things in them, over both IP versions: namespaces, TAP devices, names, routes."""

from collections.abc import Awaitable, Callable

import pytest
import trio
from netns import NetworkNamespace

import pystack
from pystack.core.addresses import format_ip
from pystack.topology.addressing import IpVersions

pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("_labs_allowed")]
both = pytest.mark.parametrize(("ip", "option"), [("4", "-4"), ("6", "-6"), ("both", "-6")])


def run(main: Callable[[pystack.Network], Awaitable[None]], ip: IpVersions) -> None:
    """Run a test in an open network, in real time, with a bound."""

    async def bounded() -> None:
        with trio.fail_after(60):
            async with pystack.Network(seed=7, ip=ip) as net:
                await main(net)

    trio.run(bounded)


async def serve(stream: trio.SocketStream | pystack.TcpStream) -> None:
    async with stream:
        await stream.receive_some()
        await stream.send_all(b"HTTP/1.0 200 OK\r\n\r\nhere")


async def web(host: pystack.Host, *, task_status: trio.TaskStatus[object]) -> None:
    listeners = await host.open_tcp_listeners(80)
    await trio.serve_listeners(serve, listeners, task_status=task_status)  # type: ignore[arg-type]


@both
def test_programs_in_a_namespace_reach_hosts_by_name_and_by_way_of_routers(
    ip: IpVersions, option: str
) -> None:
    async def main(net: pystack.Network) -> None:
        laptop, router, server = net.namespace("laptop"), net.router("r1"), net.host("server")
        net.link(laptop, router)
        net.link(router, server)
        await server.start(web, server)
        done = await laptop.run(["curl", option, "-sS", "http://server/"])
        assert done.stdout == "here"
        await laptop.run(["ping", option, "-c", "2", "-i", "0.1", "-W", "9", "server"])
        shown = (await laptop.run(["ip", "-6", "address", "show", "dev", "eth0"])).stdout
        assert ("inet6 fd00::1/64 scope global" in shown) == (ip != "4")
        assert "tentative" not in shown
        version = int(option[1:])
        assert await server.ping("laptop", version=version) < 9
        hops = await server.traceroute("laptop", version=version)
        assert [hop.address for hop in hops][-1] == laptop.addresses[-1]

    run(main, ip)


@both
def test_where_there_is_no_router_the_names_server_is_beside_the_link(
    ip: IpVersions, option: str
) -> None:
    async def main(net: pystack.Network) -> None:
        laptop, server = net.namespace("laptop"), net.host("server")
        net.link(laptop, server)
        await laptop.run(["ping", option, "-c", "1", "-W", "9", "server"])

    run(main, ip)


@both
def test_the_machine_reaches_a_lab_behind_a_tap_device(
    netns: NetworkNamespace, ip: IpVersions, option: str
) -> None:
    async def main(net: pystack.Network) -> None:
        tap, router, server = net.tap("tap0"), net.router("r1"), net.host("server")
        net.link(tap, router)
        net.link(router, server)
        await server.start(web, server)
        await tap.up()
        version = int(option[1:])
        address = server.address6 if version == 6 else server.address
        url = f"http://[{address}]/" if version == 6 else f"http://{address}/"

        def outside() -> bytes:
            netns.run(["ping", "-n", "-c", "2", "-i", "0.1", "-W", "9", address])
            return netns.run(["curl", "-g", "-sS", url]).stdout

        assert await trio.to_thread.run_sync(outside) == b"here"
        route = netns.run(["ip", option, "route", "get", address]).stdout.decode()
        assert f" via {format_ip(tap.station.gateways[-1])} dev tap0 " in route

    with netns.entered():
        run(main, ip)
