"""Large networks: quick to settle, all of it reachable, and the same in every run."""

import hashlib
import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest
import trio

import pystack
from pystack import Host, Network
from pystack.link.link import Link
from pystack.wire.frame import Frame


def campus(net: Network, hosts: int, switches: int, routers: int) -> list[Host]:
    """Build hosts on switches, two switches to a router, and the routers in a ring."""
    ring = [net.router(f"r{number}") for number in range(routers)]
    leaves = [net.switch(f"sw{number}") for number in range(switches)]
    for number, switch in enumerate(leaves):
        net.link(switch, ring[number % routers], delay="100us")
    for number, router in enumerate(ring):
        net.link(router, ring[(number + 1) % routers], delay="1ms")
    found = [net.host(f"h{number}") for number in range(hosts)]
    for number, host in enumerate(found):
        net.link(host, leaves[number % switches], delay="50us")
    return found


def calls_to_settle(hosts: int) -> int:
    """Return how many calls of Python it takes."""
    calls = 0

    def count(_frame: object, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event == "call"

    async def main() -> None:
        async with Network(seed=7) as net:
            campus(net, hosts, 10, 5)
            before = sys.getprofile()
            sys.setprofile(count)
            try:
                net.settle()
            finally:
                sys.setprofile(before)

    pystack.run(main)
    return calls


def test_hosts_on_10_switches_and_5_routers_settle_with_work_in_proportion_to_them() -> None:
    of_50, of_100, of_200 = (calls_to_settle(hosts) for hosts in (50, 100, 200))
    assert of_100 < 100_000  # 45,000, in 13 ms
    assert of_200 - of_100 == pytest.approx(2 * (of_100 - of_50), rel=0.1)


def test_100_hosts_can_all_ping_each_other() -> None:
    async def main() -> None:
        async with Network(seed=7) as net:
            hosts = campus(net, 100, 10, 5)
            reached = 0
            for number, host in enumerate(hosts):
                # Each to some of the others, so that over all every distance is there.
                for step in (1, 3, 10, 47):
                    await host.ping(hosts[(number + step) % 100].name)
                    reached += 1
            assert reached == 400
            # Of each IP version lo, itself, its link, default; of IPv6 also what is link-local.
            assert {len(host.routes) for host in hosts} == {4 + 5}

    pystack.run(main)


async def scenario(net: Network) -> None:
    """Let ten hosts on lossy links talk in pairs, while one link goes down and comes up again."""
    hosts = campus(net, 10, 3, 3)
    for link in net.links:
        link.set(delay="3ms", jitter="1ms", loss="2%", rate="20mbit")
    net.at(0.3, net.links[3].down)
    net.at(0.9, net.links[3].up)

    async def serve(host: Host, *, task_status: trio.TaskStatus[None]) -> None:
        listeners = await host.open_tcp_listeners(7)
        task_status.started()
        while True:
            stream = await listeners[0].accept()
            async for data in stream:
                await stream.send_all(data)

    async def talk(client: Host, server: str) -> None:
        stream = await client.open_tcp_stream(server, 7)
        await stream.send_all(bytes(20_000))
        received = 0
        while received < 20_000:
            received += len(await stream.receive_some())

    for server in hosts[5:]:
        await server.start(serve, server)
    async with trio.open_nursery() as nursery:
        for number, client in enumerate(hosts[:5]):
            nursery.start_soon(client.run, talk, client, f"h{5 + number}")


def digest(path: Path, seed: int) -> str:
    """Return the sha256 of all frames of a run, with their instants and the hosts' order."""

    async def main() -> None:
        async with Network(seed=seed) as net:
            net.capture(path)
            await scenario(net)

    pystack.run(main, seed=seed)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_same_seed_gives_the_same_run_to_the_byte(tmp_path: Path) -> None:
    first, second = (digest(tmp_path / name, 7) for name in ("1.pcap", "2.pcap"))
    assert first == second
    assert digest(tmp_path / "3.pcap", 8) != first


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_the_run_is_the_same_in_another_process_with_another_hash_seed(
    tmp_path: Path, hash_seed: str
) -> None:
    command = [sys.executable, __file__, str(tmp_path / "other.pcap")]
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == digest(tmp_path / "own.pcap", 7)


def frames(path: Path) -> list[tuple[float, bytes]]:
    data, found, at = path.read_bytes(), [], 24
    while at < len(data):
        seconds, nanoseconds, size, _ = struct.unpack_from("<IIII", data, at)
        found.append((seconds + nanoseconds / 1e9, data[at + 16 : at + 16 + size]))
        at += 16 + size
    return found


def test_captures_of_net_host_and_link_show_what_each_sees(tmp_path: Path) -> None:
    async def main() -> None:
        async with Network(seed=7, epoch=0) as net:
            a, r, b = net.host("a"), net.router("r"), net.host("b")
            net.link(a, r, delay="10ms")
            second = net.link(r, b, delay="10ms")
            await a.ping("b")  # ARP, out of the way
            net.capture(tmp_path / "net.pcap")
            net.capture(tmp_path / "links.pcap", links=True)
            b.capture(tmp_path / "b.pcap")
            second.capture(tmp_path / "link.pcap")
            await a.ping("b")
            second.set(b_to_a={"loss": "100%"})
            with pytest.raises(TimeoutError):
                await a.ping("b")

    pystack.run(main)
    instants = {
        name: [round(at, 6) for at, _ in frames(tmp_path / f"{name}.pcap")]
        for name in ("net", "b", "link", "links")
    }
    # The first ping after that for ARP: there 0.08 to 0.1, back until 0.12; the second until 0.14.
    assert instants["b"] == [0.1, 0.1, 0.14, 0.14]
    assert instants["link"] == [0.09, 0.1, 0.13, 0.14]  # on entering; the lost reply too
    # Each packet once, when it is sent: Wireshark takes what a router passes on for a repetition.
    assert instants["net"] == [0.08, 0.1, 0.12, 0.14]
    assert instants["links"] == [0.08, 0.09, 0.1, 0.11, 0.12, 0.13, 0.14]


def test_a_capture_of_the_network_holds_each_packet_once(tmp_path: Path) -> None:
    async def main() -> None:
        async with Network(seed=7) as net:
            a, b, r, sw = net.host("a"), net.host("b"), net.router("r"), net.switch("sw")
            net.link(a, sw, delay="1ms")
            net.link(sw, r, delay="1ms")
            net.capture(tmp_path / "net.pcap")
            net.observe(f"pcap file {tmp_path / 'observer.pcap'}")
            net.link(r, b, delay="1ms")
            await a.ping("b")
            await a.ping("a")  # over its loopback
            station = net.station("station")  # such as the kernel behind a TAP device
            net.link(station, sw)
            net.settle()
            mac = b"\x02" + bytes(5)
            station.send(Frame(b"\xff" * 6 + mac + b"\x88\xb5" + bytes(46)), net.driver.now())
            inside, outside = Link(net.driver.scheduler, 1, "out").ports  # no link of the network's
            net.attach(a, inside)
            net.settle()
            outside.send(Frame(b"\xff" * 6 + mac + b"\x88\xb6" + bytes(46)), net.driver.now())
            await trio.sleep(1)

    pystack.run(main)
    kinds = [data[12:14].hex() for _, data in frames(tmp_path / "net.pcap")]
    # ARP on both links; request and reply, which the router passes on, and both at home
    assert (kinds.count("0806"), kinds.count("0800")) == (4, 4)
    assert (kinds.count("88b5"), kinds.count("88b6")) == (1, 1)
    assert (tmp_path / "observer.pcap").read_bytes() == (tmp_path / "net.pcap").read_bytes()


if __name__ == "__main__":
    print(digest(Path(sys.argv[1]), 7))
