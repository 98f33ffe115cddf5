"""What `pystack up` is asked for: read, completed and refused, alike for both IP versions."""

from typing import Any

import pytest

from pystack.cli.words import NETEM, TAP
from pystack.core.addresses import format_ip
from pystack.core.errors import ConfigError
from pystack.core.scheduler import Scheduler
from pystack.link.port import LoopbackPort
from pystack.link.words import WORDS
from pystack.runtime.device.tap_config import TapHostConfig
from pystack.runtime.device.tap_host import _plug
from pystack.stack.host import Host as StackHost


def texts(config: TapHostConfig) -> tuple[list[str], list[str]]:
    """Return the addresses of both ends."""
    return (
        [f"{format_ip(address)}/{prefix.length}" for address, prefix in config.addresses],
        [f"{format_ip(address)}/{prefix.length}" for address, prefix in config.host_addresses],
    )


@pytest.mark.parametrize(
    ("said", "own", "kernels"),
    [
        ({"address": "10.0.0.9/24"}, ["10.0.0.9/24"], ["10.0.0.1/24"]),
        ({"address": "10.0.0.1/24"}, ["10.0.0.1/24"], ["10.0.0.2/24"]),
        ({"address": "10.0.0.1/31"}, ["10.0.0.1/31"], ["10.0.0.0/31"]),
        ({"address": "fd00::9/64"}, ["fd00::9/64"], ["fd00::1/64"]),
        ({"address": "fd00::1/64"}, ["fd00::1/64"], ["fd00::2/64"]),
        ({"address": "fd00::1/127"}, ["fd00::1/127"], ["fd00::/127"]),
        (
            {"address": ["10.0.0.9/24", "10.0.0.8/24", "fd00::9/64"]},
            ["10.0.0.9/24", "10.0.0.8/24", "fd00::9/64"],
            ["10.0.0.1/24", "fd00::1/64"],
        ),
        (
            {"address": ["10.0.0.9/24", "fd00::9/64"], "host_address": ["fd00::7/64"]},
            ["10.0.0.9/24", "fd00::9/64"],
            ["fd00::7/64"],
        ),
        ({"address": "fd00::9/64", "host_address": "none"}, ["fd00::9/64"], []),
    ],
)
def test_the_kernels_end_has_the_first_free_address_of_each_network(
    said: dict[str, Any], own: list[str], kernels: list[str]
) -> None:
    assert texts(TapHostConfig("tap0", **said)) == (own, kernels)


def test_a_gateway_of_ipv6_may_be_a_link_local_address() -> None:
    config = TapHostConfig("tap0", address="fd00::9/64", gateway="fe80::1")
    stack = StackHost("host", Scheduler(), 1)
    _plug(stack, LoopbackPort(stack.scheduler), config)
    routes = list(map(str, stack.routes))
    assert any(route.startswith("default via fe80::1%1 dev tap0") for route in routes), routes
    with pytest.raises(ConfigError, match="fe80::1 is not another station"):
        TapHostConfig("tap0", address="10.0.0.9/24", gateway="fe80::1")


def test_there_is_a_gateway_for_each_version() -> None:
    said = ["10.0.0.7", "fd00::7"]
    config = TapHostConfig("tap0", address=["10.0.0.9/24", "fd00::9/64"], gateway=said)
    assert list(map(format_ip, config.gateways)) == said


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ({"address": "fd00::9"}, "prefix length"),
        ({"address": "ff02::1/64"}, "cannot be the address of a host"),
        ({"address": "::1/64"}, "cannot be the address of a host"),
        ({"address": "::/64"}, "cannot be the address of a host"),
        ({"address": ["fd00::9/64", "fd00::9/64"]}, "given twice"),
        ({"address": "fd00::9/128"}, "no address for the kernel's end"),
        ({"address": []}, "a host needs an address"),
        ({"address": "fd00::9/64", "host_address": "fd00::9/64"}, "for both ends"),
        ({"address": "fd00::9/64", "host_address": "fd01::1/64"}, "not in the stack's network"),
        ({"address": "fd00::9/64", "host_address": "10.0.0.1/24"}, "not in the stack's network"),
        ({"host_address": ["none", "10.77.0.1/24"]}, "either 'none' or an address"),
        (
            {"address": "fd00::9/64", "gateway": "fd01::1"},
            "not another station of the stack's network",
        ),
        (
            {"address": "fd00::9/64", "gateway": "fd00::9"},
            "not another station of the stack's network",
        ),
        ({"gateway": ["10.77.0.7", "10.77.0.8"]}, "a second one of its IP version"),
        ({"mtu_bytes": 67}, "an MTU is 68"),
        ({"mtu_bytes": 1279, "address": "fd00::9/64"}, "IPv6 needs an MTU of 1280 bytes"),
        ({"tun": True, "port": "loopback"}, "say one of them"),
        ({"congestion": "vegas"}, "vegas"),
        ({"observe": ["nobody"]}, "nobody"),
        ({"words": {"limit": 100}}, "limit would have no effect"),
    ],
)
def test_what_cannot_be_is_refused_when_it_is_made(said: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        TapHostConfig("tap0", **said)


def test_the_commands_options_are_the_fields_and_netems_words() -> None:
    assert list(TAP) == [
        "address",
        "host_address",
        "gateway",
        "accept_ra",
        "mac",
        "mtu_bytes",
        "seed",
        "pcap",
        "pcap_ring",
        "pcap_secrets",
        "pcap_snaplen",
        "offload",
        "congestion",
        "tun",
        "port",
        "observe",
    ]
    assert set(NETEM) == set(WORDS) - {"seed", "mtu"}  # which the command has of its own
