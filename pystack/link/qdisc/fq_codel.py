"""Flow queueing with controlled delay, tc-fq_codel(8), RFC 8290: a CoDel queue for each flow.

Flows take turns of `quantum` bytes (deficit round robin). One that has just begun to send goes
first, for one quantum: a flow that never has more than that waiting is always such a new one, and
overtakes the bulk. At the limit the longest flow pays, not the one that happens to send.
"""

import math
from collections import deque
from typing import Final

from pystack.core.errors import ConfigError
from pystack.core.rng import Random
from pystack.core.units import parse_size_bytes
from pystack.link.qdisc import words
from pystack.link.qdisc.base import Report
from pystack.link.qdisc.codel import (
    DEFAULT_INTERVAL_S,
    DEFAULT_TARGET_S,
    CodelControl,
    CodelQueue,
    threshold_s,
)
from pystack.link.qdisc.words import Word
from pystack.wire.flow import flow_key
from pystack.wire.frame import Frame

_PRIME: Final = (1 << 127) - 1  # above all keys of IPv4
_LONG_PRIME: Final = (1 << 521) - 1  # and of IPv6
_LONG_KEY_BYTES: Final = 16
_MAX_KNOWN: Final = 4096  # flows whose slot is kept; then it is forgotten and computed again


class FlowHash:
    """Spreads flows (the 5-tuple, RFC 8290 section 4.1) over `slots`, by a seed of its own.

    Multiply, add, modulo a prime (Carter and Wegman): two flows meet in one slot with a chance of
    1 / slots, whatever their addresses. A CRC would not do: what collides in one with one seed
    collides with all. Neither would a prime that is smaller than the keys.
    """

    __slots__ = ("_a", "_b", "_known", "_long", "slots")

    def __init__(self, rng: Random, slots: int) -> None:
        self._a = rng.randrange(1, _PRIME)
        self._b = rng.randrange(_PRIME)
        own = Random(self._a ^ self._b << 127)  # what IPv6 draws changes nothing of IPv4's runs
        self._long = own.randrange(1, _LONG_PRIME), own.randrange(_LONG_PRIME)
        # The product of two numbers of 100 bits costs 5 times as much as to look it up again.
        self._known: dict[bytes, int] = {}
        self.slots = slots

    def slot(self, frame: Frame) -> int:
        """Return the slot of the frame's flow, 0..slots - 1."""
        key = flow_key(frame)
        slot = self._known.get(key)
        if slot is None:
            if len(self._known) >= _MAX_KNOWN:
                self._known.clear()
            number = int.from_bytes(key, "big")
            if len(key) < _LONG_KEY_BYTES:
                slot = (self._a * number + self._b) % _PRIME % self.slots
            else:
                a, b = self._long
                slot = (a * number + b) % _LONG_PRIME % self.slots
            self._known[key] = slot
        return slot


# All of them tc-fq_codel(8)
DEFAULT_LIMIT_PACKETS: Final = 10240
DEFAULT_FLOWS: Final = 1024
DEFAULT_QUANTUM_BYTES: Final = 1514
DEFAULT_MEMORY_LIMIT_BYTES: Final = 32 << 20
DEFAULT_DROP_BATCH: Final = 64
# As Linux; with a tiny quantum the turns would take longer than the frames.
MIN_QUANTUM_BYTES: Final = 256


class Flow(CodelQueue):
    """The queue of one slot of the hash."""

    __slots__ = ("deficit_bytes", "is_listed")

    def __init__(self, control: CodelControl) -> None:
        super().__init__(control)
        self.deficit_bytes = 0  # what is left of its turn
        self.is_listed = False  # among the new or the old flows


class FqCodel:
    """CoDel queues in round robin."""

    __slots__ = (
        "_bytes",
        "_control",
        "_count",
        "_drop_batch",
        "_flows",
        "_hash",
        "_new_flows",
        "_old_flows",
        "_quantum_bytes",
        "limit_packets",
        "memory_limit_bytes",
    )

    def __init__(
        self,
        rng: Random,
        control: CodelControl,
        *,
        flows: int = DEFAULT_FLOWS,
        quantum_bytes: int = DEFAULT_QUANTUM_BYTES,
        limit_packets: int = DEFAULT_LIMIT_PACKETS,
        memory_limit_bytes: int = DEFAULT_MEMORY_LIMIT_BYTES,
        drop_batch: int = DEFAULT_DROP_BATCH,
    ) -> None:
        """`drop_batch`: how many frames are dropped at once, at most, when a limit is passed."""
        if quantum_bytes < MIN_QUANTUM_BYTES:
            raise ConfigError(f"a quantum of {quantum_bytes} bytes is below {MIN_QUANTUM_BYTES}")
        self._control = control
        self._hash = FlowHash(rng, flows)
        self._flows: dict[int, Flow] = {}  # by slot; made when first used, CoDel's state stays
        self._new_flows: deque[Flow] = deque()
        self._old_flows: deque[Flow] = deque()
        self._quantum_bytes = quantum_bytes
        self._drop_batch = drop_batch
        self._count = 0
        self._bytes = 0
        self.limit_packets = limit_packets
        self.memory_limit_bytes = memory_limit_bytes

    @property
    def report(self) -> Report:
        """Return the receiver of reports about drops and marks."""
        return self._control.report

    @report.setter
    def report(self, report: Report) -> None:
        self._control.report = report

    def enqueue(self, frame: Frame, now: float) -> None:
        """Append it to its flow; over the limit, shorten the longest flow."""
        slot = self._hash.slot(frame)
        flow = self._flows.get(slot)
        if flow is None:
            flow = self._flows[slot] = Flow(self._control)
        flow.push(frame, now)
        self._count += 1
        self._bytes += len(frame.data)
        if not flow.is_listed:
            flow.is_listed = True
            flow.deficit_bytes = self._quantum_bytes
            self._new_flows.append(flow)
        while self._count > self.limit_packets or self._bytes > self.memory_limit_bytes:
            self._shorten_longest(now)

    def dequeue(self, now: float) -> Frame | None:
        """Return a frame of the flow whose turn it is (RFC 8290 section 4.2)."""
        new_flows, old_flows = self._new_flows, self._old_flows
        while True:
            flows = new_flows or old_flows
            if not flows:
                return None
            flow = flows[0]
            if flow.deficit_bytes <= 0:
                flow.deficit_bytes += self._quantum_bytes
                old_flows.append(flows.popleft())
                continue
            size, count = flow.bytes, len(flow.frames)
            frame = flow.pop(now)
            self._bytes += flow.bytes - size
            self._count += len(flow.frames) - count
            if frame is not None:
                flow.deficit_bytes -= len(frame.data)
                return frame
            flows.popleft()
            if flows is new_flows and old_flows:
                # Else a flow could be new again at once, and starve the old ones.
                old_flows.append(flow)
            else:
                flow.is_listed = False

    def next_at(self, now: float) -> float:
        """Return `now` while there is something."""
        return now if self._count else math.inf

    def drain(self, now: float) -> list[Frame]:
        """Take out all that wait, of all flows, as they came."""
        entries = [entry for flow in self._flows.values() for entry in flow.drain()]
        for flow in self._flows.values():
            flow.is_listed = False
        self._new_flows.clear()
        self._old_flows.clear()
        self._count = self._bytes = 0
        return [frame for frame, _ in sorted(entries, key=lambda entry: entry[1])]

    def __len__(self) -> int:
        """Return how many frames wait."""
        return self._count

    @property
    def backlog_bytes(self) -> int:
        """Return how many bytes wait."""
        return self._bytes

    def _shorten_longest(self, now: float) -> None:
        # The search costs as much as there are flows; so half of a long flow goes at once.
        longest = max((*self._new_flows, *self._old_flows), key=lambda flow: flow.bytes)
        enough = longest.bytes / 2
        for _ in range(self._drop_batch):
            frame = longest.drop_oldest()
            self._count -= 1
            self._bytes -= len(frame.data)
            self._control.report("fq_codel_overlimit", frame, now)
            if longest.bytes <= enough:
                return


def fq_codel(
    rng: Random,
    *,
    limit: Word = DEFAULT_LIMIT_PACKETS,
    flows: Word = DEFAULT_FLOWS,
    quantum: Word = DEFAULT_QUANTUM_BYTES,
    target: Word = DEFAULT_TARGET_S,
    interval: Word = DEFAULT_INTERVAL_S,
    memory_limit: Word = DEFAULT_MEMORY_LIMIT_BYTES,
    drop_batch: Word = DEFAULT_DROP_BATCH,
    ce_threshold: Word | None = None,
    ecn: bool = True,
) -> FqCodel:
    """`fq_codel [limit PACKETS] [flows N] [quantum BYTES] [target TIME] [interval TIME] ...`."""
    control = CodelControl(
        target_s=words.duration_s("target", target),
        interval_s=words.duration_s("interval", interval),
        ecn=ecn,
        ce_threshold_s=threshold_s(ce_threshold),
        prefix="fq_codel",
    )
    return FqCodel(
        rng,
        control,
        flows=words.count("flows", flows),
        quantum_bytes=parse_size_bytes(quantum),
        limit_packets=words.count("limit", limit),
        memory_limit_bytes=words.count("memory_limit", parse_size_bytes(memory_limit)),
        drop_batch=words.count("drop_batch", drop_batch),
    )
