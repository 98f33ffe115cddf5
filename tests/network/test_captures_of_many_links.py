"""What a capture of a network costs grows with its links, and not faster."""

import sys
from pathlib import Path

import pystack
from pystack.observe.captures.capture_file import read_capture


def calls(hosts: int, path: Path) -> int:
    """Return how many functions are called while each link of a network is captured."""
    count = 0

    def note(_frame: object, event: str, _argument: object) -> None:
        nonlocal count
        count += event == "call"

    async def main() -> None:
        async with pystack.Network(seed=1, ip="4", subnet="10.0.0.0/8") as net:
            router = net.router("router")
            for number in range(hosts):
                net.link(net.host(f"h{number}"), router)
            net.settle()
            sys.setprofile(note)
            try:
                capture = net.capture(path, links=True)
                for number in range(1, hosts):
                    await net.hosts["h0"].ping(f"h{number}")
                capture.close()
            finally:
                sys.setprofile(None)

    pystack.run(main)
    return count


def test_four_times_the_links_take_four_times_the_work(tmp_path: Path) -> None:
    path = tmp_path / "x.pcapng"
    calls(2, path)  # what is imported is not counted
    assert calls(160, path) < 4.6 * calls(40, path)


def test_each_place_is_described_and_each_host_named(tmp_path: Path) -> None:
    calls(40, tmp_path / "x.pcapng")
    with read_capture(tmp_path / "x.pcapng") as capture:
        assert sum(1 for _ in capture) > 40
    told = {interface.name: interface.description for interface in capture.interfaces}
    assert told == {f"h{n}-router": f"the link between h{n} and router" for n in range(40)}
    assert {f"h{n}" for n in range(40)} <= set(capture.names.values())
