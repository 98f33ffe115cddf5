"""Namespaces, the veth pair, and programs in them: what is set up for a measurement.

The bench itself runs in a network namespace that `scripts/bench` has made, and its clients with it;
a second one, for the kernel as the peer, is made here. Everything ends with the bench.
"""

import array
import contextlib
import fcntl
import json
import os
import select
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from benchmark import ports

TIMEOUT_S: Final = 60.0  # of whatever is waited for

_SIOCETHTOOL: Final = 0x8946
# ETHTOOL_S...: transmit checksums, scatter-gather, TSO, GSO, GRO
_OFFLOADS: Final = (0x17, 0x19, 0x1F, 0x24, 0x2C)


class MeasureError(Exception):
    """A program that a row needs did not do what it should."""


class Program:
    """A child process with pipes, on a processor of its own where there are two."""

    def __init__(
        self, argv: Sequence[str], processor: int, *, unshare: bool = False, kill: bool = False
    ) -> None:
        """`unshare`: into a network namespace of its own. `kill`: it listens to nothing else."""
        self._kill = kill
        if unshare:
            argv = ["unshare", "--net", "--", *argv]
        processors = sorted(os.sched_getaffinity(0))
        self.argv = argv
        self.process = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: os.sched_setaffinity(0, {processors[processor % len(processors)]}),
        )
        self.pid = self.process.pid

    def line(self) -> str:
        """Return the next line that it prints."""
        assert self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], TIMEOUT_S)
        line = self.process.stdout.readline() if ready else ""
        if not ready:
            self.process.kill()
        if not line:
            raise MeasureError(f"{' '.join(self.argv)} ended with {self.process.wait(TIMEOUT_S)}")
        return line.rstrip("\n")

    def result(self) -> dict[str, float]:
        """Return the JSON object that it prints."""
        found: dict[str, float] = json.loads(self.line())
        return found

    def rest(self) -> str:
        """Return all that it prints from here to its end."""
        assert self.process.stdout is not None
        return self.process.stdout.read()

    def close(self) -> None:
        """End it: by the end of its input, and after a while by force."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        if self._kill:
            self.process.terminate()
        try:
            self.process.wait(5.0)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()


@contextlib.contextmanager
def program(
    argv: Sequence[str], processor: int, *, unshare: bool = False, kill: bool = False
) -> Iterator[Program]:
    """Run a program for the length of the block."""
    running = Program(argv, processor, unshare=unshare, kill=kill)
    try:
        yield running
    finally:
        running.close()


def module(name: str, *words: object) -> list[str]:
    """Return the command that runs a module of this package."""
    return [sys.executable, "-m", f"benchmark.{name}", *map(str, words)]


def ip(*words: str) -> None:
    """Run ip(8)."""
    subprocess.run(["ip", *words], check=True)


def prepare() -> None:
    """Set up the bench's own namespace, which nothing else is in."""
    ip("link", "set", "lo", "up")
    _set("net/ipv6/conf/all/disable_ipv6", "1")
    _set("net/ipv6/conf/default/disable_ipv6", "1")
    # Clients close first, thousands of times a second: their ports have to come free again.
    _set("net/ipv4/tcp_max_tw_buckets", "1000")
    _set("net/ipv4/ip_local_port_range", "10000 65000")
    _set("net/ipv4/tcp_no_metrics_save", "1")
    _set("net/ipv4/icmp_ratelimit", "0")


def join(number: int, pid: int, *, offload: bool) -> None:
    """Join the namespaces of this process and of another one by a veth pair."""
    here = f"veth{number}"
    ip("link", "add", here, "type", "veth", "peer", "name", "eth0", "netns", str(pid))
    ip("address", "add", ports.near(number), "dev", here)
    ip("link", "set", here, "up")
    inside = ["nsenter", f"--net=/proc/{pid}/ns/net", "--"]
    subprocess.run([*inside, "ip", "address", "add", ports.far(number), "dev", "eth0"], check=True)
    subprocess.run([*inside, "ip", "link", "set", "eth0", "up"], check=True)
    if not offload:
        without_offload(here)
        code = "from benchmark.spaces import without_offload; without_offload('eth0')"
        subprocess.run([*inside, sys.executable, "-c", code], check=True)


def without_offload(name: str) -> None:
    """Let an interface carry ordinary frames only, with their checksums in place."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        for command in _OFFLOADS:
            value = array.array("B", struct.pack("II", command, 0))
            request = struct.pack("16sP16x", name.encode(), value.buffer_info()[0])
            fcntl.ioctl(any_socket, _SIOCETHTOOL, request)


def _set(name: str, value: str) -> None:
    with contextlib.suppress(OSError):  # an older kernel, or IPv6 is not there at all
        Path("/proc/sys", name).write_text(value)
