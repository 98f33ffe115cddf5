"""Namespaces where there is no /dev/net/tun: a veth pair with a packet socket takes its place."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from pystack.core.addresses import Mac, Prefix, parse_ip4
from pystack.runtime.device import ethtool, ifconfig
from pystack.runtime.device.packet_device import Opened, open_packet_device
from pystack.runtime.device.tap_device import VNET_HEADER_BYTES
from pystack.wire import ethernet, ipv4, udp

pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("_labs_allowed")]

LAB: Final = str(Path(__file__).resolve().parent / "clients" / "lab_packet.py")
HERE: Final = parse_ip4("10.0.0.1")
PEER: Final = parse_ip4("10.0.0.2")
PEER_MAC: Final = bytes.fromhex("02000000000b")
# As in a container that was not given the device
HIDE: Final = 'mount -t tmpfs none /dev/net && exec "$@"'


def without_tap(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a Python program where there is no TAP."""
    argv = [sys.executable, *arguments]
    return subprocess.run(
        ["unshare", "--mount", "sh", "-c", HIDE, "sh", *argv],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("offload", ["offload", "no-offload"])
def test_text_and_bursts_of_datagrams_come_and_go_as_they_are(offload: str) -> None:
    done = without_tap(LAB, offload)
    assert done.returncode == 0, done.stderr
    state, *ends, check = done.stdout.splitlines()
    assert " state UP " in state  # at once, not when Linux gets to it
    assert ends == [f"{check} True"] * 2


def test_exec_runs_a_program_there_too() -> None:
    fetch = ["curl", "-sS", "http://server/connection.json"]
    done = without_tap("-m", "pystack", "exec", "--quiet", "--delay", "10ms", "--", *fetch)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert json.loads(done.stdout)["link"]["mtu_bytes"] == 1500


def test_a_wrong_checksum_is_no_good_though_cables_of_linux_bring_what_is_good() -> None:
    assert in_a_namespace("send_both") == "good\n"


def test_an_interface_that_is_deleted_inside_ends_the_lab_with_a_sentence() -> None:
    done = without_tap(LAB, "deleted")
    assert done.returncode == 1
    assert "DeviceError: eth0 has gone (was it deleted?)" in done.stderr


def test_where_neither_can_be_had_both_are_told() -> None:
    limit = "echo 1 > /proc/sys/user/max_net_namespaces"
    argv = [sys.executable, LAB]
    inside = f"{limit} && {HIDE}"
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", inside, "sh", *argv],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "DeviceError: there is no /dev/net/tun: load the kernel's module" in done.stderr
    assert "; nor is there a veth pair with a packet socket in its place: " in done.stderr


def test_only_what_a_virtio_header_has_words_for_is_left_to_us() -> None:
    kept = set(in_a_namespace("print_features").split())
    assert "tx-tcp-segmentation" in kept
    assert not [name for name in kept if "tnl" in name or "gre" in name or "sctp" in name]
    assert not [name for name in kept if "vlan" in name and name.startswith("tx")]


def in_a_namespace(function: str) -> str:
    """Return what a function of this file prints in a network namespace."""
    code = f"import test_packet_device; test_packet_device.{function}()"
    done = subprocess.run(
        ["unshare", "--net", sys.executable, "-c", code],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def opened() -> Opened:
    device = open_packet_device("probe0", mtu_bytes=1500, offload=True)
    assert ifconfig.link("probe0").is_up
    ifconfig.add_address("probe0", HERE, Prefix.of(HERE, 24))
    return device


def print_features() -> None:
    """Make a device in this network namespace, and print what is left on."""
    opened()
    print(*ethtool.keep_features("probe0", lambda _name: True))


def send_both() -> None:
    """Send a datagram that was damaged, and one that was not; print the first that is taken."""
    device = opened()
    mac = Mac(bytes.fromhex("02000000000a"))
    ifconfig.set_link("probe0", mac=mac)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as hears:
        hears.bind(("", 7))
        hears.settimeout(10)
        for text in (b"evil", b"good"):
            datagram = udp.pack(PEER, HERE, 5000, 7, b"good").replace(b"good", text)
            header = ipv4.pack_header(PEER, HERE, ipv4.UDP, len(datagram))
            frame = ethernet.pack(mac, PEER_MAC, ethernet.IPV4, header + datagram)
            os.write(device.fd, bytes(VNET_HEADER_BYTES) + frame)
        print(hears.recv(100).decode())
