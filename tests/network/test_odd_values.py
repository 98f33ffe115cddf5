"""What is no value for a call is refused in one sentence, a ConfigError, and changes nothing.

Each argument of the public calls is given every odd value there is: wrong types, texts that are
nothing, addresses of the other IP version, plug-ins whose constructor raises.
"""

import dataclasses
import math
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import trio
from test_all_or_nothing import state

import pystack
from pystack.core.errors import ConfigError
from pystack.link.words import WORDS


class Odd:
    """No node, no text, no number, no plug-in."""


class Raises:
    """A plug-in whose constructor does not know what to do."""

    def __init__(self, *_given: object, **_words: object) -> None:
        raise RuntimeError("not\nwith me")


class Lacks(Raises):
    """Another one."""

    def __init__(self, *_given: object, **_words: object) -> None:
        raise KeyError("x")


ODD: list[Any] = [
    -1,
    1.5,
    math.nan,
    10**30,
    True,
    b"x",
    "",
    "\n",
    "a\nb",
    "\0",
    "\ud800",
    "'",
    "fe80::1%eth0/64",
    "::1/128",
    "fd00::9/129",
    "10.0.0.1/٣",
    [5],
    ["x", 5],
    {5: 5},
    {"a": 1},
    {"name": 5},
    {"servers": [5]},
    range(3),
    {"a"},
    Odd(),
    Odd,
    Raises,
    Lacks,
    Path("/no/such/thing"),
]
_ADDRESSES = ("address", "address6")
_HOST = (*_ADDRESSES, "tcp", "tcp_limits", "congestion", "dns")
_DNS = ("records", "faults", "hosts", "names", "ttl", "timeout", "attempts", "search", "nonesuch")
_CONFIGS = (pystack.TcpConfig, pystack.TcpLimits, pystack.AdvertiseConfig, pystack.Ip6Config)

Call = Callable[[Any, Any], Any]  # of an open network, and a value


CALLS: dict[str, Call] = {
    "switch name": lambda net, odd: net.switch(odd),
    "station name": lambda net, odd: net.station(odd),
    "tap name": lambda net, odd: net.tap(odd),
    "namespace name": lambda net, odd: net.namespace(odd),
    "port name": lambda net, odd: net.port(odd, "loopback"),
    "port port": lambda net, odd: net.port("new", odd),
    "attach host": lambda net, odd: net.attach(odd, "loopback"),
    "attach port": lambda net, odd: net.attach(net.hosts["a"], odd),
    "link a": lambda net, odd: net.link(odd, "lone"),
    "link b": lambda net, odd: net.link("lone", odd),
    "black hole": lambda net, odd: net.links[0].black_hole(bool, odd),
    "down": lambda net, odd: net.links[0].down(odd),
    "dns server": lambda net, odd: net.dns(odd),
    "link between": lambda net, odd: net.link_between("a", odd),
    "route of": lambda net, odd: net.route(odd, "10.9.0.0/16", "b"),
    "route to": lambda net, odd: net.hosts["a"].route(odd, via="b"),
    "route via": lambda net, odd: net.hosts["a"].route("10.9.0.0/16", via=odd),
    "route via, IPv6": lambda net, odd: net.hosts["a"].route("fd99::/64", via=odd),
    "at": lambda net, odd: net.at(odd, bool),
    "after": lambda net, odd: net.after(odd, bool),
    "timeline": lambda net, odd: net.timeline(odd),
    "timeline's step": lambda net, odd: net.timeline([odd]),
    "partition": lambda net, odd: net.partition(["a"], odd),
    "partition's node": lambda net, odd: net.partition(["a"], [odd]),
    "power off": lambda net, odd: net.power_off(odd),
    "capture": lambda net, odd: net.capture(odd),
    "host's capture": lambda net, odd: net.hosts["a"].capture(odd),
    "link's capture": lambda net, odd: net.links[0].capture(odd),
    "capture of": lambda net, odd: net.capture_link(odd, "/no/such/x.pcap"),
    "observe": lambda net, odd: net.observe(odd),
    "host's observe": lambda net, odd: net.hosts["a"].observe(odd),
    "autoconfigure": lambda net, odd: net.hosts["a"].autoconfigure(odd),
    "advertise": lambda net, odd: net.hosts["r"].advertise(odd),
    "advertise on": lambda net, odd: net.hosts["r"].advertise(interface=odd),
    "host's dns": lambda net, odd: setattr(net.hosts["a"], "dns", odd),
    "resolve": lambda net, odd: net.hosts["a"].resolve(odd),
    "resolve version": lambda net, odd: net.hosts["a"].resolve("b", odd),
    "look up": lambda net, odd: net.hosts["a"].look_up(odd),
    "ping": lambda net, odd: net.hosts["a"].ping(odd),
    "traceroute version": lambda net, odd: net.hosts["a"].traceroute("b", version=odd),
    "stream to": lambda net, odd: net.hosts["a"].open_tcp_stream(odd, 81),
    "stream port": lambda net, odd: net.hosts["a"].open_tcp_stream("b", odd),
    "listen on": lambda net, odd: net.hosts["a"].open_tcp_listeners(0, host=odd),
    "datagrams on": lambda net, odd: net.hosts["a"].open_udp_socket(host=odd),
    "dig name": lambda net, odd: net.hosts["a"].dig(odd, server="b"),
    "dig kind": lambda net, odd: net.hosts["a"].dig("b", odd, server="b"),
    "dig server": lambda net, odd: net.hosts["a"].dig("b", server=odd),
}


def _add_words(calls: dict[str, Call]) -> None:
    for kind in ("host", "router"):
        calls[f"{kind} name"] = lambda net, odd, kind=kind: getattr(net, kind)(odd)
        for word in _HOST:
            calls[f"{kind} {word}"] = lambda net, odd, kind=kind, word=word: getattr(net, kind)(
                "new", **{word: odd}
            )
    for word in _ADDRESSES:
        calls[f"station {word}"] = lambda net, odd, word=word: net.station("new", **{word: odd})
        calls[f"port {word}"] = lambda net, odd, word=word: net.port(
            "new", "loopback", **{word: odd}
        )
    for word in ("ageing", "table_entries"):
        calls[f"switch {word}"] = lambda net, odd, word=word: net.switch("new", **{word: odd})
    for word in ("preset", "a_to_b", "b_to_a", "mtu_bytes", *WORDS):
        calls[f"link {word}"] = lambda net, odd, word=word: net.link("lone", "sw", **{word: odd})
        if word not in ("preset", "mtu_bytes"):
            calls[f"set {word}"] = lambda net, odd, word=word: net.links[0].set(**{word: odd})
    for word in _DNS:
        calls[f"dns {word}"] = lambda net, odd, word=word: net.dns("a", **{word: odd})
    for word in ("local_address", "local_port", "congestion", "source_route", "fast_open"):
        calls[f"stream {word}"] = lambda net, odd, word=word: net.hosts["a"].open_tcp_stream(
            "b", 81, **{word: odd}
        )
    for config in _CONFIGS:
        for field in dataclasses.fields(config):
            calls[f"{config.__name__} {field.name}"] = (
                lambda _net, odd, config=config, name=field.name: config(**{name: odd})
            )
    for word in ("seed", "ip", "subnet", "subnet6", "seal"):
        calls[f"network {word}"] = lambda _net, odd, word=word: pystack.Network(**{word: odd})


_add_words(CALLS)


async def _refused_well(call: Call, odd: object, net: pystack.Network) -> bool:
    """Return whether it was refused, which has to be in one sentence, and leave nothing."""
    before = state(net)
    try:
        called = call(net, odd)
        if isinstance(called, Awaitable):
            with trio.move_on_after(20):
                await called
    except ConfigError as error:
        said = str(error)
    except OSError:
        return False  # the network's, or the operating system's
    else:
        return False
    assert said.isprintable(), said
    assert state(net) == before
    return True


@pytest.mark.parametrize("name", CALLS)
def test_an_odd_value_is_refused_in_one_sentence(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # where captures go, whose names are possible after all
    rest = list(ODD)

    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            switch = net.switch("sw")
            for node in (net.host("a"), net.host("b"), net.router("r")):
                net.link(node, switch, delay="1ms")
            net.host("lone")
            net.settle()
            while rest:
                if not await _refused_well(CALLS[name], rest.pop(), net):
                    return  # it is not as it was: the others are told to another network

    while rest:
        pystack.run(main)


@pytest.mark.parametrize("name", ["AdvertiseConfig", "Ip6Config"])
def test_most_odd_values_are_none_for_ipv6s_configs(name: str) -> None:
    config = getattr(pystack, name)
    taken = {}
    for field in dataclasses.fields(config):
        taken[field.name] = []
        for odd in ODD:
            try:
                config(**{field.name: odd})
            except ConfigError:
                continue
            taken[field.name].append(odd)
    assert {name: odds for name, odds in taken.items() if odds} == (
        {
            "managed": [True],
            "other": [True],
            "on_link": [True],
            "autonomous": [True],
            "preference": [-1],
        }
        if name == "AdvertiseConfig"
        else {
            "accept_ra": [True],
            "use_tempaddr": [True],
            "accept_redirects": [True],
            "accept_ra_rt_info": [True],
            "temp_valid_s": [10**30],
        }
    )


def test_what_no_single_advertisement_can_say_is_refused_when_it_is_written_down() -> None:
    servers = tuple(f"fd00::{number:x}" for number in range(1, 70))
    assert pystack.AdvertiseConfig(name_servers=servers[:60])
    for many in (servers * 2, servers * 1000):
        with pytest.raises(ConfigError, match="at most 1240 bytes"):
            pystack.AdvertiseConfig(name_servers=many)
    for domain in ("x" * 64, "ex ample", "exämple", "a..b", ".".join(["x" * 60] * 5)):
        with pytest.raises(ConfigError, match="search domain"):
            pystack.AdvertiseConfig(search_domains=(domain,))
    with pytest.raises(ConfigError, match="no address of IPv6"):
        pystack.AdvertiseConfig(name_servers=("10.0.0.1",))


@pytest.mark.parametrize("name", ["::1", "fd00::1", "fe80::1%eth0", "a:b", "\0", "a\0b"])
def test_a_name_that_reads_as_an_address_or_cannot_be_printed_is_none(name: str) -> None:
    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            with pytest.raises(ConfigError, match="cannot be the name"):
                net.host(name)

    pystack.run(main)


def test_a_recovery_that_cannot_be_made_is_refused_before_a_connection_needs_it() -> None:
    for factory in (Odd, Raises, Lacks):
        with pytest.raises(ConfigError, match=f"recovery {factory.__name__}"):
            pystack.TcpConfig(recovery=factory)  # type: ignore[arg-type]


def test_the_cause_of_what_a_plug_in_raises_is_kept() -> None:
    with pytest.raises(ConfigError, match="congestion Raises: RuntimeError: not with me") as caught:
        pystack.TcpConfig(congestion=Raises)  # type: ignore[arg-type]
    assert isinstance(caught.value.__cause__, RuntimeError)
