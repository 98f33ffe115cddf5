"""What a test has found: of each stream, at each of the two ends, and how they tell each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from pystack.runtime.iperf3.protocol import Iperf3Error, Problem, number_in

NO_RETRANSMITS: Final = -1  # nobody knows, or it is not the sender who speaks
MAX_OUTPUT_CHARACTERS: Final = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamResult:
    """One stream, as one of the ends has seen it."""

    number: int
    total_bytes: int
    retransmits: int = NO_RETRANSMITS
    jitter_s: float = 0.0
    lost_packets: int = 0
    packets: int = 0  # the lost ones included
    start_s: float = 0.0
    end_s: float = 0.0

    @property
    def bitrate_bps(self) -> float:
        """Return the bits per second; 0 where no time has passed."""
        seconds = self.end_s - self.start_s
        return self.total_bytes * 8 / seconds if seconds > 0 else 0.0

    def pack(self) -> dict[str, object]:
        """Return what the other end is told."""
        return {
            "id": self.number,
            "bytes": self.total_bytes,
            "retransmits": self.retransmits,
            "jitter": self.jitter_s,
            "errors": self.lost_packets,
            "packets": self.packets,
            "start_time": self.start_s,
            "end_time": self.end_s,
        }

    @classmethod
    def parse(cls, value: object) -> StreamResult:
        """Read what the other end tells. Iperf3Error."""
        if not isinstance(value, dict):
            raise Iperf3Error(Problem.RECV_RESULTS)

        def number(name: str) -> float:
            return number_in(value, name, Problem.RECV_RESULTS)

        return cls(
            number=int(number("id")),
            total_bytes=max(int(number("bytes")), 0),
            retransmits=max(int(number("retransmits")), NO_RETRANSMITS),
            jitter_s=max(number("jitter"), 0.0),
            lost_packets=max(int(number("errors")), 0),
            packets=max(int(number("packets")), 0),
            start_s=number("start_time"),
            end_s=number("end_time"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class EndResult:
    """All streams, as one of the ends has seen them."""

    streams: Sequence[StreamResult]
    has_retransmits: bool  # the retransmits of the streams that it sent are known
    congestion: str = ""  # name of its congestion control; "": it did not say
    output: str = ""  # a server's report in words, where it was asked for one

    def pack(self) -> dict[str, object]:
        """Return what the other end is told."""
        value: dict[str, object] = {
            "cpu_util_total": 0.0,  # in virtual time there is none
            "cpu_util_user": 0.0,
            "cpu_util_system": 0.0,
            "sender_has_retransmits": 1 if self.has_retransmits else NO_RETRANSMITS,
            "streams": [stream.pack() for stream in self.streams],
        }
        if self.congestion:
            value["congestion_used"] = self.congestion
        if self.output:
            value["server_output_text"] = self.output
        return value

    @classmethod
    def parse(cls, value: dict[str, object], numbers: Sequence[int]) -> EndResult:
        """Read what the other end tells of the streams of these numbers. Iperf3Error."""
        found = value.get("streams")
        if not isinstance(found, list) or len(found) > len(numbers):
            raise Iperf3Error(Problem.RECV_RESULTS)
        streams = {stream.number: stream for stream in map(StreamResult.parse, found)}
        if sorted(streams) != sorted(numbers):
            raise Iperf3Error(Problem.STREAM_ID)
        congestion, output = value.get("congestion_used"), value.get("server_output_text")
        return cls(
            streams=[streams[number] for number in numbers],
            has_retransmits=number_in(value, "sender_has_retransmits", Problem.RECV_RESULTS) > 0,
            congestion=congestion[:64] if isinstance(congestion, str) else "",
            output=output[:MAX_OUTPUT_CHARACTERS] if isinstance(output, str) else "",
        )


def stream_number(index: int) -> int:
    """Return what both ends call the stream that was opened as number `index`, from 0 on.

    It is 1, 3, 4, 5 ...: iperf3 has left out the 2 since its first version, and both ends count.
    """
    return index + 2 if index else 1
