"""What a host on a TAP device is to be: the options of `pystack up`, each of them once.

The fields of `TapHostConfig` are what a user says, with the words that the command has for them;
what that means is read and checked when it is made. The command's options come from the fields.
"""

from __future__ import annotations

import itertools
from collections.abc import Container, Iterable, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import TYPE_CHECKING, Any, Final

from pystack.core.addresses import (
    Ip,
    Mac,
    Prefix,
    format_ip,
    is_link_local,
    is_v6,
    parse_host_address,
    parse_ip,
    parse_mac,
)
from pystack.core.errors import ConfigError
from pystack.core.plugins import Chosen
from pystack.core.rng import fresh_seed
from pystack.link.port import DEFAULT_MTU_BYTES, Port
from pystack.observe.registry import OBSERVERS
from pystack.runtime.device.tap_device import check_name
from pystack.runtime.ports import PORTS
from pystack.tcp.congestion.registry import CONTROLS
from pystack.wire import ipv6

if TYPE_CHECKING:
    from pystack.link.config import PipeConfig
    from pystack.link.words import NetemWords

HostAddress = tuple[Ip, Prefix]
Texts = str | Sequence[str]

DEFAULT_ADDRESSES: Final = ("10.77.0.2/24", "fd77::2/64")
DEFAULT_MAC: Final = "02:00:00:00:00:02"  # locally administered
AUTO: Final = "auto"
NONE: Final = "none"
MTU_BYTES: Final = range(68, 65522)


def _option(kind: Any, help: str, **more: str) -> dict[str, Any]:  # noqa: A002, ANN401
    """Return what makes a field an option of the command: `kind` is what its text is read as."""
    return {"kind": kind, "help": help, **more}


@dataclass(frozen=True, slots=True)
class TapHostConfig:
    """What the host is to be. Raises ConfigError for what cannot be, when it is made."""

    interface: str  # name of the TAP device
    _: KW_ONLY
    address: Texts = field(
        default=DEFAULT_ADDRESSES,
        metadata=_option(
            list[str],
            f"The stack's address, instead of {' and '.join(DEFAULT_ADDRESSES)}; a link-local "
            "one (fe80::) comes in addition. May be repeated.",
            metavar="ADDRESS/LENGTH",
        ),
    )
    host_address: Texts = field(
        default=AUTO,
        metadata=_option(
            list[str],
            "The kernel's address; 'auto' is the first free one of each of the stack's networks, "
            "'none' is none. May be repeated.",
            metavar="ADDRESS/LENGTH",
        ),
    )
    gateway: Texts = field(
        default=(),
        metadata=_option(
            list[str],
            "Router for everything that is not on the link, one for each IP version.",
            metavar="IP",
        ),
    )
    accept_ra: bool = field(
        default=False,
        metadata=_option(
            bool,
            "Let routers of the link configure IPv6 too: addresses, routes, name servers.",
            flag="--accept-ra/--no-accept-ra",
        ),
    )
    mac: str = field(
        default=DEFAULT_MAC, metadata=_option(str, "The stack's MAC address.", metavar="MAC")
    )
    mtu_bytes: int = field(
        default=DEFAULT_MTU_BYTES,
        metadata=_option(int, "Largest IP packet.", metavar="BYTES", flag="--mtu"),
    )
    seed: int = field(
        default_factory=fresh_seed,
        metadata=_option(int, "Seed for everything left to chance; default: random.", metavar="N"),
    )
    pcap: str | None = field(
        default=None, metadata=_option(str, "Capture all frames, for Wireshark.", metavar="FILE")
    )  # None: no capture
    pcap_ring: str | None = field(
        default=None,
        metadata=_option(
            str, "Keep the last of so much of the capture, in four files.", metavar="SIZE"
        ),
    )  # None: all of it, in one
    pcap_secrets: bool = field(
        default=False, metadata=_option(bool, "Put in the capture what decrypts its TLS.")
    )
    pcap_snaplen: int | None = field(
        default=None,
        metadata=_option(int, "Keep no more of each frame, as tcpdump's -s.", metavar="BYTES"),
    )  # None: all of it
    offload: bool = field(
        default=True,
        metadata=_option(
            bool, "Let the kernel segment and fill in checksums.", flag="--offload/--no-offload"
        ),
    )
    congestion: str = field(
        default="cubic",
        metadata=_option(
            str,
            "Congestion control: cubic, newreno, bbr, dctcp, fixed:N.",
            metavar="NAME",
        ),
    )
    tun: bool = field(
        default=False,
        metadata=_option(
            bool, "IFNAME is a TUN device, for bare IP packets: without MAC addresses, ARP and ND."
        ),
    )
    port: str | None = field(
        default=None,
        metadata=_option(
            str,
            "Use another port than the TAP device IFNAME: one that a plug-in adds.",
            metavar="'NAME WORDS'",
        ),
    )  # None: a TAP device of the interface's name
    observe: Sequence[str] = field(
        default=(),
        metadata=_option(
            list[str],
            "Observer: 'log packets', 'ladder', 'pcap file FILE', or one that a plug-in adds. "
            "May be repeated.",
            metavar="'NAME WORDS'",
        ),
    )
    verbosity: int = 0  # 1: a line per event; 2: also one per packet
    json: bool = False  # those lines are JSON
    words: NetemWords | None = None  # of tc-netem(8), for each direction

    # What was read from these
    addresses: tuple[HostAddress, ...] = field(init=False)  # the stack's
    host_addresses: tuple[HostAddress, ...] = field(init=False)  # the kernel's; (): it is left
    gateways: tuple[Ip, ...] = field(init=False)  # (): only the link's own networks are reached
    station: Mac = field(init=False)
    chosen_port: Chosen[Port] | None = field(init=False)
    trouble: PipeConfig | None = field(init=False)  # on the way to the kernel and back

    def __post_init__(self) -> None:
        """Read addresses from text, and check that all fits together. Raises ConfigError."""
        if self.port is None:
            check_name(self.interface)
        elif self.tun:
            raise ConfigError("a TUN device and another port are two things: say one of them")
        if self.mtu_bytes not in MTU_BYTES:
            raise ConfigError(
                f"an MTU is {MTU_BYTES[0]} to {MTU_BYTES[-1]} bytes, not {self.mtu_bytes}"
            )
        CONTROLS.recall(self.congestion)  # unknown: said now, not at the first connection
        said = _texts(self.address)
        addresses = _apart(map(parse_host_address, said))
        if self.mtu_bytes < ipv6.MIN_MTU_BYTES and any(prefix.is_v6 for _, prefix in addresses):
            if tuple(said) != DEFAULT_ADDRESSES:
                raise ConfigError(
                    f"IPv6 needs an MTU of {ipv6.MIN_MTU_BYTES} bytes, not {self.mtu_bytes}"
                )
            addresses = tuple(own for own in addresses if not own[1].is_v6)
        if not addresses:
            raise ConfigError("a host needs an address")
        for text in self.observe:
            OBSERVERS.read(text)
        read = {
            "addresses": addresses,
            "host_addresses": _host_addresses(_texts(self.host_address), addresses),
            "gateways": _gateways(_texts(self.gateway), addresses),
            "station": parse_mac(self.mac),
            "chosen_port": None if self.port is None else PORTS.read(self.port),
            "trouble": _read_trouble(self.words) if self.words else None,
        }
        for name, value in read.items():
            object.__setattr__(self, name, value)


def _texts(said: Texts) -> list[str]:
    return [said] if isinstance(said, str) else list(said)


def _apart(addresses: Iterable[HostAddress]) -> tuple[HostAddress, ...]:
    found: dict[Ip, Prefix] = {}
    for address, prefix in addresses:
        if address in found:
            raise ConfigError(f"the address {format_ip(address)} was given twice")
        found[address] = prefix
    return tuple(found.items())


def _host_addresses(said: Sequence[str], own: Sequence[HostAddress]) -> tuple[HostAddress, ...]:
    if NONE in said:
        if len(said) > 1:
            raise ConfigError("the kernel's end has either 'none' or an address")
        return ()
    found: list[HostAddress] = []
    taken = {address for address, _ in own}
    for text in said:
        if text == AUTO:
            found += [(_other_end(prefix, taken), prefix) for prefix in _blocks(own)]
            continue
        address, prefix = parse_host_address(text)
        if address in taken:
            raise ConfigError(f"{text} is for both ends of the link; each needs its own")
        if not any(address in block for block in _blocks(own)):
            blocks = " or ".join(map(str, _blocks(own)))
            raise ConfigError(f"the kernel's {text} is not in the stack's network {blocks}")
        found.append((address, prefix))
    return _apart(found)


def _blocks(own: Sequence[HostAddress]) -> list[Prefix]:
    return list(dict.fromkeys(prefix for _, prefix in own))


def _other_end(prefix: Prefix, taken: Container[Ip]) -> Ip:
    """Return the first address of a network that a host may have, and none of ours is."""
    # The lowest one is the network's own, and of IPv6 it means any of its routers (RFC 4291 2.6.1).
    first = prefix.network + (prefix.length < 127 if prefix.is_v6 else prefix.has_broadcast)
    other = next(Ip(number) for number in itertools.count(first) if number not in taken)
    if other not in prefix or (prefix.has_broadcast and other == prefix.broadcast):
        raise ConfigError(
            f"{prefix} has no address for the kernel's end of the link: take a larger network, or "
            "say which with --host-address"
        )
    return other


def _gateways(said: Sequence[str], own: Sequence[HostAddress]) -> tuple[Ip, ...]:
    found: dict[bool, Ip] = {}
    for text in said:
        gateway = parse_ip(text)
        blocks = [prefix for prefix in _blocks(own) if prefix.is_v6 == is_v6(gateway)]
        # Routers of IPv6 mostly tell no other address; there is but one link.
        near = is_v6(gateway) and is_link_local(gateway) and bool(blocks)
        known = near or any(gateway in block for block in blocks)
        if not known or any(gateway == it for it, _ in own):
            networks = " or ".join(map(str, blocks or _blocks(own)))
            raise ConfigError(
                f"the gateway {text} is not another station of the stack's network {networks}"
            )
        if is_v6(gateway) in found:
            raise ConfigError(f"the gateway {text} is a second one of its IP version")
        found[is_v6(gateway)] = gateway
    return tuple(found.values())


def _read_trouble(words: NetemWords) -> PipeConfig:
    # The emulator is only imported where it is asked for: a tenth of a second of `pystack up`.
    from pystack.link.config import PipeConfig

    return PipeConfig.parse(**words)
