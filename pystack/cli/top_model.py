"""What `pystack top` shows, made of what a control socket tells: rates come from two tellings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from pystack.cli.control_text import directions, ends
from pystack.core.suggest import counted

# What is asked for, again and again
ASKED: Final[Mapping[str, Mapping[str, object]]] = {
    "info": {},
    "ss": {"limit": 100, "order": "active"},
    "counters": {},
    "links": {},
}
# What passes is no news; all else that is counted may be.
_TRAFFIC: Final = ("_in", "_out", "_received", "_sent")


@dataclass(frozen=True, slots=True)
class Flow:
    """One connection."""

    host: str
    state: str
    local: str
    peer: str
    in_bps: float
    out_bps: float
    rtt_s: float | None  # None: not measured yet
    cwnd_bytes: int
    flight_bytes: int
    retransmits: int
    limited_by: str


@dataclass(frozen=True, slots=True)
class Count:
    """Something that was counted, and is no traffic."""

    where: str
    name: str
    total: int
    per_s: float


@dataclass(frozen=True, slots=True)
class Way:
    """One direction of a link."""

    link: str
    ends: str
    down: bool
    waiting: int
    words: str
    lost: int


@dataclass(frozen=True, slots=True)
class Shown:
    """All of it, at one instant."""

    title: str
    at: float
    paused: bool
    total: int  # connections, shown or not
    missed: int  # tellings that there was no time for
    flows: Sequence[Flow]
    counts: Sequence[Count]
    ways: Sequence[Way]

    def as_json(self) -> dict[str, Any]:
        """Return it for programs."""
        return asdict(self)


class Model:
    """Takes what is told, and keeps what rates need."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._at: float | None = None  # None: nothing was told yet
        self._bytes: dict[tuple[str, str, str], tuple[int, int]] = {}
        self._counts: dict[tuple[str, str], int] = {}

    def take(self, update: Mapping[str, Any], missed: int = 0) -> Shown:
        """Take one telling; return what is to be shown."""
        at = float(update["info"]["at"])
        passed_s = 0.0 if self._at is None else at - self._at
        flows = self._flows(update["ss"]["connections"], passed_s)
        counts = self._counted(update["counters"], passed_s)
        self._at = at
        info = update["info"]
        size = f"{counted(info['hosts'], 'host')}, {counted(info['links'], 'link')}"
        title = f"{self._title}  {size}"
        return Shown(
            title,
            at,
            info["paused"],
            update["ss"]["total"],
            missed,
            flows,
            counts,
            [way for link in update["links"] for way in _ways(link)],
        )

    def _flows(self, rows: Sequence[Mapping[str, Any]], passed_s: float) -> list[Flow]:
        known, self._bytes = self._bytes, {}
        found = []
        for row in rows:
            key = row["host"], ends(row, "local"), ends(row, "remote")
            now = row["bytes_received"], row["bytes_acked"]
            before = known.get(key, now)
            self._bytes[key] = now
            came, went = (
                (new - old) * 8 / passed_s if passed_s > 0 else 0.0
                for new, old in zip(now, before, strict=True)
            )
            found.append(
                Flow(
                    row["host"],
                    row["state"],
                    key[1],
                    key[2],
                    max(came, 0.0),
                    max(went, 0.0),
                    row["srtt_s"],
                    row["cwnd_bytes"],
                    row["flight_size_bytes"],
                    row["retransmits"],
                    row["limited_by"],
                )
            )
        return found

    def _counted(self, counters: Mapping[str, Any], passed_s: float) -> list[Count]:
        known, self._counts = self._counts, {}
        found = []
        for part in ("hosts", "devices", "links"):
            for where, of in counters[part].items():
                for name, total in of.items():
                    if name.endswith(_TRAFFIC):
                        continue
                    self._counts[where, name] = total
                    more = total - known.get((where, name), total)
                    per_s = more / passed_s if passed_s > 0 else 0.0
                    found.append(Count(where, name, total, per_s))
        found.sort(key=lambda count: (-count.per_s, -count.total))
        return found


# By what connections are sorted, the largest first, and texts from A on
_KEYS: Final[Mapping[str, Callable[[Flow], Any]]] = {
    "out": lambda flow: -flow.out_bps,
    "in": lambda flow: -flow.in_bps,
    "rtt": lambda flow: -(flow.rtt_s or 0.0),
    "cwnd": lambda flow: -flow.cwnd_bytes,
    "retransmits": lambda flow: -flow.retransmits,
    "state": lambda flow: flow.state,
    "peer": lambda flow: flow.peer,
}
SORTS: Final = tuple(_KEYS)


def chosen(
    flows: Sequence[Flow], sort: str, wanted: str = "", *, backwards: bool = False
) -> list[Flow]:
    """Return those connections in which a text occurs, in the order of `SORTS`."""
    meant = [
        flow
        for flow in flows
        if not wanted
        or wanted.lower() in f"{flow.host} {flow.state} {flow.local} {flow.peer}".lower()
    ]
    meant.sort(key=_KEYS[sort])
    return meant[::-1] if backwards else meant


def _ways(link: Mapping[str, Any]) -> list[Way]:
    found = []
    for between, way, words in directions(link):
        lost = sum(count for name, count in way["counters"].items() if not name.endswith("_mark"))
        found.append(Way(link["name"], between, way["down"], way["waiting"], words, lost))
    return found
