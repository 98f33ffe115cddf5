"""Shell lines of a script: which sysctls they set, and what those mean for connections.

Nothing is run. What a line does beside setting sysctls is reported as ignored, and so are sysctls
that mean nothing to a pystack host.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final, Literal

from pystack.core.errors import ConfigError
from pystack.tcp.config import Mode, TcpConfig, TcpLimits
from pystack.tcp.congestion.registry import CONTROLS
from pystack.testing.packetdrill.cookies import keys_of

# What the shell files that the public scripts begin with are known to set.
_DEFAULTS: Final = {
    "tcp_rmem": "4096 540000 15728640",
    "tcp_wmem": "4096 262144 4194304",
    "tcp_timestamps": "1",
    "tcp_syn_retries": "5",
    "tcp_synack_retries": "5",
    "tcp_sack": "1",
    "tcp_dsack": "1",
    "tcp_reordering": "3",
    "tcp_congestion_control": "cubic",
    "tcp_slow_start_after_idle": "0",
    "tcp_frto": "2",
    "tcp_fack": "0",
    "tcp_early_retrans": "4",
    "tcp_recovery": "1",
    "tcp_syncookies": "1",
    "tcp_ecn": "0",
    "tcp_fastopen": "3",
    "tcp_fastopen_key": "a1a1a1a1-b2b2b2b2-c3c3c3c3-d4d4d4d4",
    "tcp_notsent_lowat": "4294967295",
}
# Those of google's collection, which all its folders share, go further than the kernel's.
_COMMON_DEFAULTS: Final = {"tcp_fastopen": "0x70403"}
# Linux's own where no script sets anything: what the public scripts count with.
INITIAL: Final = {
    "tcp_rmem": "4096 131072 6291456",
    "tcp_syn_retries": "6",
    "tcp_fastopen": "1",
}
_ASSIGNMENT: Final = re.compile(
    r"(?:/proc/sys/net/ipv4/|net[./]ipv4[./])(\w+)\s*=\s*(.*)", re.DOTALL
)
_MTU: Final = re.compile(r"\bip link set (?:dev )?\w+ (?:\w+ )*?mtu (\d+)")
_PROC: Final = re.compile(r"/proc/sys/net/ipv4/(\w+)")
# What a line may do that makes no difference to a pystack host, and is not worth a remark.
_QUIET: Final = (
    "sysctl_restore",
    "set -e",
    "exit",
    "ethtool",
    "tcp_metrics flush",
    "tc qdisc",
    "sleep",
    "ip link set",
)


@dataclass(frozen=True, slots=True)
class Sysctls:
    """The sysctls below net.ipv4 that a script has set, as text."""

    values: dict[str, str]

    def number(self, name: str, default: int) -> int:
        """Return one as a number; the default where it was not set or is none."""
        return self.numbers(name, (default,))[0]

    def numbers(self, name: str, default: tuple[int, ...]) -> tuple[int, ...]:
        """Return one as its numbers (tcp_rmem has three)."""
        words = self.values.get(name, "").split()
        try:
            found = tuple(int(word, 0) for word in words)
        except ValueError:
            return default
        return found if len(found) >= len(default) else default


def run_command(text: str, sysctls: Sysctls) -> list[str]:
    """Take over the sysctls that shell lines set; return remarks about what has no effect."""
    remarks = []
    for line in _lines(text):
        if any(quiet in line for quiet in _QUIET):
            continue
        if "defaults.sh" in line:
            sysctls.values.update(_DEFAULTS)
            if "common/" in line:
                sysctls.values.update(_COMMON_DEFAULTS)
            continue
        assignments = list(_assignments(line))
        if not assignments:
            remarks.append(f"ignored: `{line}`")
        for name, value in assignments:
            sysctls.values[name] = value
            if name not in KNOWN:
                remarks.append(f"ignored: the sysctl {name}")
            elif name == "tcp_congestion_control" and not _is_congestion_control(value):
                remarks.append(f"ignored: there is no congestion control {value}")
            elif value not in _AS_IT_IS.get(name, {value}) or (
                name == "tcp_fastopen_key" and keys_of(value) is None
            ):
                remarks.append(f"ignored: {name} {value}")
    return remarks


def forgets_paths(text: str) -> bool:
    """Tell whether a line has the host forget what it knows of its peers (`ip tcp_metrics flush`).

    The shell files that public scripts begin with do so too.
    """
    return "tcp_metrics flush" in text or "defaults.sh" in text


def device_mtus(text: str) -> list[int]:
    """Return the MTUs that `ip link set` gives to the device, one after the other."""
    return [int(found[1]) for found in _MTU.finditer(text)]


def tcp_config(sysctls: Sysctls, config: TcpConfig) -> TcpConfig:
    """Return what a new connection is to do, after the sysctls."""
    for name, apply in _APPLY.items():
        if name in sysctls.values:
            config = apply(sysctls, config)
    return config


def tcp_limits(sysctls: Sysctls) -> TcpLimits:
    """Return what the host's connections may do together, after the sysctls."""
    usual = TcpLimits()
    return TcpLimits(
        max_orphans=sysctls.number("tcp_max_orphans", usual.max_orphans),
        max_time_waits=sysctls.number("tcp_max_tw_buckets", usual.max_time_waits),
        challenge_acks_per_s=sysctls.number("tcp_challenge_ack_limit", usual.challenge_acks_per_s),
        time_wait_reuse=_mode(sysctls.number("tcp_tw_reuse", usual.time_wait_reuse)),
        syn_cookies=_mode(sysctls.number("tcp_syncookies", usual.syn_cookies)),
    )


def _mode(number: int) -> Mode:
    return 0 if number <= 0 else 1 if number == 1 else 2


def _lines(text: str) -> Iterator[str]:
    for line in text.replace("\\\n", " ").splitlines():
        stripped = line.partition(" #")[0].strip()
        if stripped and not stripped.startswith("#"):
            yield from (part.strip() for part in re.split(r"&&|;", stripped) if part.strip())


def _assignments(line: str) -> Iterator[tuple[str, str]]:
    """Yield name and value: `sysctl -w a=b`, `set_sysctls.py /proc/...=b`, `echo b > /proc/...`."""
    try:
        words = shlex.split(line)
    except ValueError:
        return
    if not words:
        return
    if words[0] == "echo" and ">" in line:
        target = _PROC.search(line.partition(">")[2])
        if target is not None:
            yield target[1], line.partition(">")[0].strip()[4:].strip().strip("\"'")
        return
    for word in words:
        found = _ASSIGNMENT.fullmatch(word)
        if found is not None:
            yield found[1], _arithmetic(found[2].strip())


def _arithmetic(value: str) -> str:
    """Work out `$((256*1024))`."""

    def product(found: re.Match[str]) -> str:
        total = 1
        for factor in found[1].split("*"):
            total *= int(factor)
        return str(total)

    return re.sub(r"\$\(\(([\d*\s]+)\)\)", product, value)


def _is_congestion_control(name: str) -> bool:
    try:
        CONTROLS.recall(_CONGESTION_NAMES.get(name, name))
    except ConfigError:
        return False
    return True


_CONGESTION_NAMES: Final = {"reno": "newreno"}


def congestion_name(linux_name: str) -> str | None:
    """Return our name of a congestion control that Linux calls so; None: there is none."""
    name = _CONGESTION_NAMES.get(linux_name, linux_name)
    return name if _is_congestion_control(name) else None


def _congestion(sysctls: Sysctls, config: TcpConfig) -> TcpConfig:
    name = congestion_name(sysctls.values["tcp_congestion_control"])
    return config if name is None else replace(config, congestion=name)


def _receive_buffer(sysctls: Sysctls, config: TcpConfig) -> TcpConfig:
    _, usual, most = sysctls.numbers("tcp_rmem", (4096, 131072, 6291456))
    # Half of it is for the kernel's own overhead, and is never offered.
    usual = max(usual // 2, 1)
    return replace(config, receive_buffer_bytes=usual, receive_buffer_max_bytes=max(most, usual))


def _send_buffer(sysctls: Sysctls, config: TcpConfig) -> TcpConfig:
    _, usual, _ = sysctls.numbers("tcp_wmem", (4096, 16384, 4194304))
    return replace(config, send_buffer_bytes=max(usual, 1))


def _syn_retries(sysctls: Sysctls, config: TcpConfig) -> TcpConfig:
    return replace(config, syn_retries=sysctls.number("tcp_syn_retries", config.syn_retries))


def _syn_ack_retries(sysctls: Sysctls, config: TcpConfig) -> TcpConfig:
    number = sysctls.number("tcp_synack_retries", config.syn_ack_retries)
    return replace(config, syn_ack_retries=number)


def _retries(sysctls: Sysctls, config: TcpConfig) -> TcpConfig:
    return replace(config, retries=sysctls.number("tcp_retries2", config.retries))


def _orphan_retries(sysctls: Sysctls, config: TcpConfig) -> TcpConfig:
    number = sysctls.number("tcp_orphan_retries", config.orphan_retries)
    return replace(config, orphan_retries=number)


def _timestamps(sysctls: Sysctls, config: TcpConfig) -> TcpConfig:
    return replace(config, timestamps=bool(sysctls.number("tcp_timestamps", 1)))


def _sack(sysctls: Sysctls, config: TcpConfig) -> TcpConfig:
    return replace(config, sack=bool(sysctls.number("tcp_sack", 1)))


def _window_scaling(sysctls: Sysctls, config: TcpConfig) -> TcpConfig:
    return replace(config, window_scaling=bool(sysctls.number("tcp_window_scaling", 1)))


def _ecn(sysctls: Sysctls, config: TcpConfig) -> TcpConfig:
    match sysctls.number("tcp_ecn", 2):
        case 0:
            return replace(config, ecn="off")
        case 1:
            return replace(config, ecn="request")
        case 3:
            return replace(config, ecn="accurate")
        case 4:  # agrees to accurate ECN, asks for the older kind: there is no word for both
            return replace(config, ecn="request")
        case 5:
            return replace(config, ecn="accept_accurate")
        case _:
            return replace(config, ecn="accept")


def _advise_retries(sysctls: Sysctls, config: TcpConfig) -> TcpConfig:
    number = sysctls.number("tcp_retries1", config.advise_retries)
    return replace(config, advise_retries=number)


def _recovery(sysctls: Sysctls, config: TcpConfig) -> TcpConfig:
    rack = sysctls.number("tcp_recovery", 1) & 1
    return replace(config, recovery="auto" if rack else "sack")


def _mtu_probing(sysctls: Sysctls, config: TcpConfig) -> TcpConfig:
    return replace(config, mtu_probing=_mode(sysctls.number("tcp_mtu_probing", 0)))


def _fin_timeout(sysctls: Sysctls, config: TcpConfig) -> TcpConfig:
    return replace(config, fin_wait_2_s=float(sysctls.number("tcp_fin_timeout", 60)))


def _fast_open(sysctls: Sysctls, config: TcpConfig) -> TcpConfig:
    bits = sysctls.number("tcp_fastopen", 1)
    without_cookies = bool(bits & 0x4) | bool(bits & 0x200) << 1
    return replace(
        config, fast_open=_FAST_OPENS[bits & 3], fast_open_cookieless=_FAST_OPENS[without_cookies]
    )


def all_listeners_fast_open(sysctls: Sysctls) -> bool:
    """Tell whether listeners take text in SYNs that did not ask for it (TCP_FASTOPEN)."""
    return sysctls.number("tcp_fastopen", 1) & 0x402 == 0x402


_FAST_OPENS: Final[tuple[Literal["off", "client", "server", "both"], ...]] = (
    "off",
    "client",
    "server",
    "both",
)


def fast_open_of_clients(config: TcpConfig) -> TcpConfig:
    """Return the configuration of a socket that takes no text in SYNs, whatever the host allows."""
    if config.fast_open in ("off", "server"):
        return replace(config, fast_open="off")
    return replace(config, fast_open="client")


def _keepalive(sysctls: Sysctls, config: TcpConfig) -> TcpConfig:
    return replace(
        config,
        keepalive_idle_s=float(max(sysctls.number("tcp_keepalive_time", 7200), 1)),
        keepalive_interval_s=float(max(sysctls.number("tcp_keepalive_intvl", 75), 1)),
        keepalive_probes=max(sysctls.number("tcp_keepalive_probes", 9), 1),
    )


def _longest_rto(sysctls: Sysctls, config: TcpConfig) -> TcpConfig:
    number = sysctls.number("tcp_rto_max_ms", 60_000)
    return replace(config, max_rto_s=min(max(number, 1000), 120_000) / 1000)


def _invalid_ratelimit(sysctls: Sysctls, config: TcpConfig) -> TcpConfig:
    number = sysctls.number("tcp_invalid_ratelimit", 500)
    return replace(config, challenge_interval_s=max(number, 0) / 1000)


def _not_sent(sysctls: Sysctls, config: TcpConfig) -> TcpConfig:
    limit = sysctls.number("tcp_notsent_lowat", _NO_LIMIT)
    return replace(config, notsent_lowat_bytes=limit if 0 < limit < _NO_LIMIT else None)


_NO_LIMIT: Final = 0xFFFFFFFF
_APPLY: Final[dict[str, Callable[[Sysctls, TcpConfig], TcpConfig]]] = {
    "tcp_congestion_control": _congestion,
    "tcp_rmem": _receive_buffer,
    "tcp_wmem": _send_buffer,
    "tcp_syn_retries": _syn_retries,
    "tcp_synack_retries": _syn_ack_retries,
    "tcp_retries2": _retries,
    "tcp_orphan_retries": _orphan_retries,
    "tcp_fin_timeout": _fin_timeout,
    "tcp_timestamps": _timestamps,
    "tcp_sack": _sack,
    "tcp_window_scaling": _window_scaling,
    "tcp_ecn": _ecn,
    "tcp_mtu_probing": _mtu_probing,
    "tcp_recovery": _recovery,
    "tcp_retries1": _advise_retries,
    "tcp_fastopen": _fast_open,
    "tcp_keepalive_time": _keepalive,
    "tcp_keepalive_intvl": _keepalive,
    "tcp_keepalive_probes": _keepalive,
    "tcp_notsent_lowat": _not_sent,
    "tcp_rto_max_ms": _longest_rto,
    "tcp_invalid_ratelimit": _invalid_ratelimit,
}
# Taken without a remark with these values: what they ask for is how the stack is anyhow.
_AS_IT_IS: Final = {
    "tcp_early_retrans": {"1", "2", "3", "4"},
    "tcp_reordering": {"3"},
    "tcp_dsack": {"1"},
    "tcp_frto": {"1", "2"},
    "tcp_moderate_rcvbuf": {"1"},
    "tcp_slow_start_after_idle": {"1"},
    "tcp_no_metrics_save": {"0", "1"},
}
_OFFLOAD: Final = frozenset({"tcp_min_tso_segs", "tcp_tso_win_divisor"})
_OF_THE_HOST: Final = frozenset(  # which no TcpConfig has
    {
        "tcp_fastopen_key",
        "tcp_max_orphans",
        "tcp_max_tw_buckets",
        "tcp_challenge_ack_limit",
        "tcp_tw_reuse",
        "tcp_syncookies",
    }
)
KNOWN: Final = frozenset(_APPLY) | frozenset(_AS_IT_IS) | _OFFLOAD | _OF_THE_HOST
