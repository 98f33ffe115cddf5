"""What a test is to be: the options of `iperf3 -c`, and the JSON that tells the server of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypedDict, Unpack

from pystack.core.errors import ConfigError
from pystack.runtime.iperf3.protocol import Iperf3Error, Problem, flag_in, number_in

DEFAULT_TIME_S: Final = 10
DEFAULT_TCP_BLOCK_BYTES: Final = 128 * 1024
DEFAULT_UDP_BLOCK_BYTES: Final = 1460
DEFAULT_UDP_BITRATE_BPS: Final = 1_000_000
MAX_PARALLEL: Final = 128
MAX_TIME_S: Final = 86_400
MAX_OMIT_S: Final = 600
MAX_TCP_BLOCK_BYTES: Final = 1024 * 1024
MIN_UDP_BLOCK_BYTES: Final = 16  # two numbers for the time, and a counter of 64 bits
MAX_UDP_BLOCK_BYTES: Final = 65_507
_COUNTER_MAX: Final = 2**63

CLIENT_VERSION: Final = "3.12"


class Iperf3Words(TypedDict, total=False):
    """The words of a test, as `Parameters` explains them."""

    udp: bool
    reverse: bool
    bidirectional: bool
    parallel: int
    time_s: int
    total_bytes: int
    total_blocks: int
    block_bytes: int
    bitrate_bps: int
    omit_s: int
    no_delay: bool
    server_output: bool
    counters_64bit: bool
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """A test; every value is within its bounds. Raises Iperf3Error otherwise."""

    udp: bool = False  # -u
    reverse: bool = False  # -R: the server sends
    bidirectional: bool = False  # --bidir: both do
    parallel: int = 1  # -P, in each direction
    time_s: int = DEFAULT_TIME_S  # -t; 0: until so much is sent
    total_bytes: int = 0  # -n, of all streams; 0: no such end
    total_blocks: int = 0  # -k, likewise
    block_bytes: int = 0  # -l; 0: the usual one
    bitrate_bps: int = -1  # -b, of each stream; 0: as fast as it goes; -1: the usual one
    omit_s: int = 0  # -O: what is not counted, at the beginning
    no_delay: bool = False  # -N
    server_output: bool = False  # --get-server-output
    counters_64bit: bool = True  # --udp-counters-64bit
    title: str = ""  # -T

    def __post_init__(self) -> None:
        if not self.block_bytes:
            usual = DEFAULT_UDP_BLOCK_BYTES if self.udp else DEFAULT_TCP_BLOCK_BYTES
            object.__setattr__(self, "block_bytes", usual)
        if self.bitrate_bps < 0:
            object.__setattr__(self, "bitrate_bps", DEFAULT_UDP_BITRATE_BPS if self.udp else 0)
        for problem, is_good in (
            (Problem.NUM_STREAMS, 1 <= self.parallel <= MAX_PARALLEL),
            (Problem.DURATION, 0 <= self.time_s <= MAX_TIME_S),
            (Problem.OMIT, 0 <= self.omit_s <= MAX_OMIT_S),
            (Problem.UDP_BLOCK_SIZE, not self.udp or self._is_datagram()),
            (Problem.BLOCK_SIZE, self.udp or 1 <= self.block_bytes <= MAX_TCP_BLOCK_BYTES),
            (Problem.REVERSE_BIDIR, not (self.reverse and self.bidirectional)),
            (Problem.RECV_PARAMS, 0 <= self.total_bytes < _COUNTER_MAX),
            (Problem.RECV_PARAMS, 0 <= self.total_blocks < _COUNTER_MAX),
            (Problem.RECV_PARAMS, self.bitrate_bps < _COUNTER_MAX),
        ):
            if not is_good:
                raise Iperf3Error(problem)

    def _is_datagram(self) -> bool:
        return MIN_UDP_BLOCK_BYTES <= self.block_bytes <= MAX_UDP_BLOCK_BYTES

    @property
    def has_amount(self) -> bool:
        """Tell whether it ends when so much is sent, and not after a time."""
        return bool(self.total_bytes or self.total_blocks)

    @classmethod
    def parse(cls, value: dict[str, object]) -> Parameters:
        """Read a client's. Iperf3Error for what makes no test."""

        def number(name: str) -> int:
            return int(number_in(value, name, Problem.RECV_PARAMS))

        udp = flag_in(value, "udp")
        if not udp and not flag_in(value, "tcp"):
            raise Iperf3Error(Problem.UNIMPLEMENTED)  # SCTP, or nothing at all
        amount = number("num"), number("blockcount")
        title = value.get("title")
        return cls(
            udp=udp,
            reverse=flag_in(value, "reverse"),
            bidirectional=flag_in(value, "bidirectional"),
            parallel=int(number_in(value, "parallel", Problem.RECV_PARAMS, 1)),
            time_s=0 if any(amount) else number("time"),
            total_bytes=amount[0],
            total_blocks=amount[1],
            block_bytes=number("len"),
            bitrate_bps=number("bandwidth"),
            omit_s=number("omit"),
            no_delay=flag_in(value, "nodelay"),
            server_output=flag_in(value, "get_server_output"),
            counters_64bit=flag_in(value, "udp_counters_64bit"),
            title=title[:200] if isinstance(title, str) else "",
        )

    def pack(self) -> dict[str, object]:
        """Return what tells the server."""
        value: dict[str, object] = {
            "udp" if self.udp else "tcp": True,
            "omit": self.omit_s,
            "time": self.time_s,
            "num": self.total_bytes,
            "blockcount": self.total_blocks,
            "parallel": self.parallel,
            "len": self.block_bytes,
            "pacing_timer": 1000,
            "client_version": CLIENT_VERSION,
        }
        for name, is_set in (
            ("reverse", self.reverse),
            ("bidirectional", self.bidirectional),
            ("nodelay", self.no_delay),
        ):
            if is_set:
                value[name] = True
        if self.bitrate_bps:
            value["bandwidth"] = self.bitrate_bps
        if self.udp and self.counters_64bit:
            value["udp_counters_64bit"] = 1
        if self.server_output:
            value["get_server_output"] = 1
        if self.title:
            value["title"] = self.title
        return value


def checked(**words: Unpack[Iperf3Words]) -> Parameters:
    """Return the parameters of a test that a user asks for. Raises ConfigError."""
    try:
        return Parameters(**words)
    except Iperf3Error as error:
        raise ConfigError(f"iperf3: {error}") from None
