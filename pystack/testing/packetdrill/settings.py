"""What a script, or the command line, may set about its run: packetdrill's own options."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from pystack.core.addresses import Ip, Ip4, is_v6, parse_ip, parse_ip6
from pystack.core.errors import ConfigError

# Options of the original that mean nothing here: there is no kernel, no wire and no second machine.
_WITHOUT_MEANING: Final = frozenset(
    {
        "code_command",
        "code_format",
        "code_sockopt",
        "gateway_ip",
        "netmask_ip",
        "speed",
        "init_scripts",
        "wire_client",
        "wire_server",
        "wire_server_ip",
        "wire_server_at",
        "wire_server_port",
        "wire_client_dev",
        "wire_server_dev",
        "so_filename",
        "so_flags",
        "is_anyip",
        "debug",
        "udp_encaps",
    }
)


# What is said by them is so here anyhow: what is sent is copied, and buffers are never used again.
_TAKEN: Final = frozenset({"send_omit_free"})
# An echo that stands for no value sent is shifted like the others, whether asked for or not.
_ALWAYS: Final = "tcp_ts_ecr_scaled"

_LOCAL_IP: Final = Ip4(0xC0A80001)  # 192.168.0.1
_REMOTE_IP: Final = Ip4(0xC0000201)  # 192.0.2.1, of a network for examples (RFC 5737)
# With ip_version=ipv6, as the public collections' own runners have them
_LOCAL_IP6: Final = parse_ip6("fd3d:a0b:17d6::1")
_REMOTE_IP6: Final = parse_ip6("fd3d:fa7b:d17d::1")


# What the public collections' own runners define on the command line.
_USUAL_DEFINES: Final = {
    "TFO_COOKIE": "3021b9d889017eeb",
    "TFO_COOKIE_ZERO": "b7c12350a90dc8f5",
    "CMSG_LEVEL_IP": "SOL_IP",
    "CMSG_TYPE_RECVERR": "IP_RECVERR",
    "CODE": "host_unreachable",
}
_USUAL_DEFINES6: Final = {
    "TFO_COOKIE": "c1d1e9742a47a9bc",
    "TFO_COOKIE_ZERO": "82af1a8f9a205c34",
    "CMSG_LEVEL_IP": "SOL_IPV6",
    "CMSG_TYPE_RECVERR": "IPV6_RECVERR",
}


@dataclass(slots=True)
class Settings:
    """How a script runs. Times in seconds."""

    local_ip: Ip = _LOCAL_IP
    remote_ip: Ip = _REMOTE_IP
    bind_port: int = 8080
    connect_port: int = 8080
    mtu_bytes: int = 1500
    mss_bytes: int | None = None  # None: what the MTU leaves room for
    tolerance_s: float = 0.004
    tolerance_ratio: float = 0.125  # of the time since the event before
    ts_tick_s: float = 0.0  # 0: the values of our timestamps are not looked at
    strict_segments: bool = False  # True: a line is one segment, never several in a row
    # True: what is sent and never expected is a failure, and so is PSH at another place than the
    # line has it, where a line stands for several segments (Linux sets it on all that it cuts up)
    strict: bool = False
    non_fatal: frozenset[str] = frozenset()  # "packet", "syscall": only warned about
    dry_run: bool = False
    verbose: bool = False
    seed: int = 1
    defines: dict[str, str] = field(default_factory=lambda: dict(_USUAL_DEFINES))

    @staticmethod
    def knows(name: str) -> bool:
        """Tell whether there is such an option, here or in the original."""
        return name in _KNOWN | _FLAGS.keys() | _TAKEN | _WITHOUT_MEANING | {_ALWAYS}

    def apply(self, name: str, value: str | None) -> str | None:
        """Take one option; return a remark about one that has no effect. ConfigError: it's wrong.

        None: it was taken.
        """
        if name in _TAKEN:
            return None
        if name in _WITHOUT_MEANING:
            return f"--{name} has no meaning here"
        if name in _FLAGS:
            setattr(self, _FLAGS[name], True)
            return None
        if name == _ALWAYS:
            return None
        if value is None:
            if name in _KNOWN:
                raise ConfigError(f"--{name} wants a value: --{name}=VALUE")
            return f"--{name} is not known"
        return self._apply_value(name, value)

    def _apply_value(self, name: str, value: str) -> str | None:
        match name:
            case "define":
                pass  # the lexer has seen to it
            case "ip_version":
                self._speak(value)
            case "local_ip":
                self.local_ip = parse_ip(value)
            case "remote_ip":
                self.remote_ip = parse_ip(value.partition("/")[0])
            case "bind_port":
                self.bind_port = _number(name, value, 1, 0xFFFF)
            case "connect_port":
                self.connect_port = _number(name, value, 1, 0xFFFF)
            case "mtu":
                self.mtu_bytes = _number(name, value, 68, 65535)
            case "mss":
                self.mss_bytes = _number(name, value, 1, 65495)
            case "tolerance_usecs":
                self.tolerance_s = _number(name, value, 0, 10**9) / 1e6
            case "tolerance_percent":
                self.tolerance_ratio = _decimal(name, value) / 100
            case "tcp_ts_tick_usecs":
                self.ts_tick_s = _number(name, value, 0, 10**9) / 1e6
            case "non_fatal":
                self.non_fatal = frozenset(word.strip() for word in value.split(","))
            case "seed":
                self.seed = _number(name, value, 0, 2**63)
            case _:
                return f"--{name} is not known"
        return None

    def check(self) -> None:
        """Raise ConfigError where the two ends can't speak with each other."""
        if is_v6(self.local_ip) != is_v6(self.remote_ip):
            raise ConfigError("local_ip and remote_ip are of different versions of IP")

    def _speak(self, version: str) -> None:
        """Take the usual addresses and words of a version, where no others were given."""
        if version not in ("ipv4", "ipv4-mapped-ipv6", "ipv6"):
            raise ConfigError(f"--ip_version={version}: there are ipv4, ipv4-mapped-ipv6 and ipv6")
        before, after = _USUAL[version != "ipv6"], _USUAL[version == "ipv6"]
        if self.local_ip == before[0]:
            self.local_ip = after[0]
        if self.remote_ip == before[1]:
            self.remote_ip = after[1]
        for word, stands_for in after[2].items():
            if self.defines.get(word) == before[2][word]:
                self.defines[word] = stands_for


# Local and remote address, and what words stand for: of IPv4, of IPv6
_USUAL: Final = (
    (_LOCAL_IP, _REMOTE_IP, {word: _USUAL_DEFINES[word] for word in _USUAL_DEFINES6}),
    (_LOCAL_IP6, _REMOTE_IP6, _USUAL_DEFINES6),
)
_FLAGS: Final = {
    "strict_segments": "strict_segments",
    "strict": "strict",
    "dry_run": "dry_run",
    "verbose": "verbose",
}
_KNOWN: Final = frozenset(
    {
        "define",
        "ip_version",
        "local_ip",
        "remote_ip",
        "bind_port",
        "connect_port",
        "mtu",
        "mss",
        "tolerance_usecs",
        "tolerance_percent",
        "tcp_ts_tick_usecs",
        "non_fatal",
        "seed",
    }
)


def _number(name: str, value: str, smallest: int, largest: int) -> int:
    try:
        number = int(value, 0)
    except ValueError:
        raise ConfigError(f"--{name}={value} is not a whole number") from None
    if not smallest <= number <= largest:
        raise ConfigError(f"--{name}={value}: it must be {smallest} to {largest}")
    return number


def _decimal(name: str, value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        raise ConfigError(f"--{name}={value} is not a number") from None
    if not 0 <= number <= 1000:
        raise ConfigError(f"--{name}={value}: it must be 0 to 1000")
    return number
