"""Addresses that a host answers for on its link, though they are none of its own."""

import pytest
from intercepting import Intercepting

from pystack.core.addresses import parse_interface_address, parse_ip
from pystack.core.errors import ConfigError
from pystack.stack.icmp_core import Trouble

# On the link of the client and the gateway, and nobody's
NEAR = {"IPv4": parse_ip("10.0.1.254"), "IPv6": parse_ip("fd00:1::fe")}

both = pytest.mark.parametrize("version", ["IPv4", "IPv6"])


@both
def test_what_comes_for_it_can_be_intercepted(version: str) -> None:
    net = Intercepting(version)
    net.gateway.add_proxy(NEAR[version])
    net.far = NEAR[version]
    net.open()
    (syn,) = net.noting.syns
    assert syn.local == NEAR[version]
    net.accept(syn)
    assert len(net.established) == 1


@both
def test_without_that_nobody_answers(version: str) -> None:
    net = Intercepting(version)
    net.far = NEAR[version]
    net.open()
    assert net.noting.syns == []


@both
def test_it_goes_when_it_is_removed(version: str) -> None:
    net = Intercepting(version)
    groups = dict(net.gateway.interfaces[1].groups)
    for _ in range(2):
        net.gateway.add_proxy(NEAR[version])
    for _ in range(2):
        net.gateway.remove_proxy(NEAR[version])
    net.far = NEAR[version]
    net.open()
    assert net.noting.syns == []
    assert net.gateway.interfaces[1].groups == groups


@both
def test_it_is_answered_for_after_the_power_was_off(version: str) -> None:
    net = Intercepting(version)
    net.gateway.add_proxy(NEAR[version])
    net.gateway.power_off(net.now)
    net.gateway.power_on()
    net.far = NEAR[version]
    net.open()
    assert len(net.noting.syns) == 1


@both
def test_a_station_that_takes_it_may_have_it(version: str) -> None:
    net = Intercepting(version)
    net.gateway.add_proxy(NEAR[version])
    length = 24 if version == "IPv4" else 64
    eth0 = net.client.interfaces[1]
    net.client.add_address(eth0, *parse_interface_address(f"{_text(version)}/{length}"))
    net.client.announce(net.now)
    net.run()
    answers = ("arp_address_conflict", "nd_address_conflict", "nd_address_defended")
    assert not any(net.client.counters[name] for name in answers)


def test_only_what_is_on_a_link_can_be_answered_for() -> None:
    net = Intercepting("IPv4")
    with pytest.raises(ConfigError, match=r"192\.0\.2\.80 is not on a link of server"):
        net.gateway.add_proxy(net.far)


@both
def test_an_unanswered_one_is_told_by_the_gateway(version: str) -> None:
    net = Intercepting(version)
    net.gateway.add_proxy(NEAR[version])
    socket = net.socket()
    socket.connect(NEAR[version], 9, net.world.here)
    socket.send_to(b"?", NEAR[version], 9, net.now)
    net.run()
    net.noting.datagrams[0].refuse(Trouble.HOST_UNREACHABLE, net.now)
    net.run()
    assert net.world.sent(net.gateway)[-1].src == net.world.there


def _text(version: str) -> str:
    return "10.0.1.254" if version == "IPv4" else "fd00:1::fe"
