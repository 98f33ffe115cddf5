"""What calls of control answer, as the tools of Linux show it: tables, and a few lines each."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TextIO

from pystack.cli.terminal import has_colours
from pystack.core.addresses import host_port
from pystack.core.texts import harmless
from pystack.core.units import rate_text, time_text

Row = Sequence[str]
# States that catch the eye, where there are colours
_STYLES: Final[Mapping[str, str]] = {
    "ESTABLISHED": "green",
    "REACHABLE": "green",
    "FAILED": "red",
    "down": "red",
    "off": "red",
}


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under their headings; below a row there may be more lines about it."""

    heads: Row
    rows: Sequence[Row]
    more: Sequence[str] = ()  # for each row, "" for nothing; () for none of them
    note: str = ""  # below all


def show(name: str, answer: Any, out: TextIO | None = None) -> None:  # noqa: ANN401 - JSON
    """Print the answer of a call: in colour on a terminal."""
    out = sys.stdout if out is None else out
    shown = shape(name, answer)
    if has_colours(out):
        _in_colour(shown, out)
    else:
        print("\n".join(as_lines(shown)), file=out)


def shape(name: str, answer: Any) -> Table | str:  # noqa: ANN401 - JSON
    """Return what is shown of an answer: strangers chose some of its words."""
    make = _SHAPES.get(name)
    shown = json.dumps(answer, indent=2) if make is None else make(answer)
    if isinstance(shown, str):
        return "\n".join(map(harmless, shown.split("\n")))
    rows = [[harmless(cell) for cell in row] for row in shown.rows]
    more = [harmless(line) for line in shown.more]
    return Table(shown.heads, rows, more, harmless(shown.note))


def as_lines(shown: Table | str) -> list[str]:
    """Return it as plain lines, in columns."""
    if isinstance(shown, str):
        return shown.splitlines()
    rows = [shown.heads, *shown.rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for number, row in enumerate(rows):
        lines.append("  ".join(map(str.ljust, row, widths)).rstrip())
        if number and shown.more and shown.more[number - 1]:
            lines.append(f"    {shown.more[number - 1]}")
    return [*lines, shown.note] if shown.note else lines


def _in_colour(shown: Table | str, out: TextIO) -> None:
    from rich.console import Console
    from rich.table import Table as RichTable
    from rich.text import Text

    console = Console(file=out, highlight=False)
    if isinstance(shown, str):
        console.print(shown, markup=False)
        return
    table = RichTable(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for head in shown.heads:
        table.add_column(Text(head, "bold"), overflow="fold")
    more = shown.more or [""] * len(shown.rows)
    if any(more):
        # Lines below a row are as wide as the terminal: no table has such.
        for line in as_lines(shown):
            console.print(Text(line, "dim" if line.startswith("    ") else ""))
        return
    for row in shown.rows:
        table.add_row(*(Text(cell, _STYLES.get(cell, "")) for cell in row))
    console.print(table)
    if shown.note:
        console.print(Text(shown.note, "dim"))


def ends(row: Mapping[str, Any], side: str) -> str:
    """Return one end of a connection: "10.0.0.1:80", "[fd00::1]:80"."""
    address = row.get(f"{side}_address")
    return "*:*" if address is None else host_port(address, row[f"{side}_port"])


def directions(link: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any], str]]:
    """Yield each direction of a link: "a -> b", what is told of it, and its words as a text."""
    for direction, arrow in (("a_to_b", "->"), ("b_to_a", "<-")):
        way = link[direction]
        words = " ".join(f"{word} {value}" for word, value in way["words"].items())
        yield f"{link['a']} {arrow} {link['b']}", way, words


def _ss(answer: Any) -> Table:  # noqa: ANN401
    several = len({row["host"] for row in answer["connections"]}) > 1
    heads = ["State", "Recv-Q", "Send-Q", "Local Address:Port", "Peer Address:Port"]
    rows, more = [], []
    for row in answer["connections"]:
        cells = [
            row["state"],
            str(row["recv_q_bytes"]),
            str(row["send_q_bytes"]),
            ends(row, "local"),
            ends(row, "remote"),
        ]
        rows.append([row["host"], *cells] if several else cells)
        more.append(" ".join(_details(row)))
    return Table(["Host", *heads] if several else heads, rows, more, _rest(answer, len(rows)))


def _details(row: Mapping[str, Any]) -> Iterator[str]:
    """Yield what `ss -ti` says below a connection, with its words."""
    yield row["congestion"]
    yield f"rto:{row['rto_s'] * 1e3:.6g}ms"
    if row["srtt_s"] is not None:
        yield f"rtt:{row['srtt_s'] * 1e3:.4g}/{row['rttvar_s'] * 1e3:.4g}ms"
    if row["min_rtt_s"] is not None:
        yield f"minrtt:{row['min_rtt_s'] * 1e3:.4g}ms"
    mss = row["snd_mss_bytes"] or 1
    yield f"mss:{row['snd_mss_bytes']} cwnd:{row['cwnd_bytes'] // mss}"
    if row["ssthresh_bytes"] and row["ssthresh_bytes"] < 1 << 30:
        yield f"ssthresh:{row['ssthresh_bytes'] // mss}"
    for word, name in (
        ("flight", "flight_size_bytes"),
        ("bytes_sent", "bytes_sent"),
        ("bytes_acked", "bytes_acked"),
        ("bytes_received", "bytes_received"),
        ("segs_out", "segments_sent"),
        ("segs_in", "segments_received"),
        ("retrans", "retransmits"),
    ):
        if row[name]:
            yield f"{word}:{row[name]}"
    if row["loss_state"] != "open":
        yield row["loss_state"]
    for word, name in (("delivery_rate", "delivery_rate_bps"), ("pacing_rate", "pacing_bps")):
        if row[name]:
            yield f"{word} {rate_text(row[name])}"
    yield f"rwnd:{row['snd_wnd_bytes']} limited:{row['limited_by']}"
    if row["timers_s"]:
        timers = (f"{name},{time_text(left_s)}" for name, left_s in row["timers_s"].items())
        yield f"timer:({' '.join(timers)})"


def _hosts(answer: Any) -> Table:  # noqa: ANN401
    rows = [
        [
            row["name"],
            row["kind"],
            "on" if row["powered"] else "off",
            str(row["connections"]),
            " ".join(row["addresses"]),
        ]
        for row in answer
    ]
    return Table(["Name", "Kind", "Power", "Connections", "Addresses"], rows)


def _listening(answer: Any) -> Table:  # noqa: ANN401
    rows = [
        [
            row["host"],
            row["protocol"],
            str(row["recv_q"]),
            str(row.get("send_q", "")),
            ends(row, "local"),
            ends(row, "remote"),
        ]
        for row in answer["rows"]
    ]
    heads = ["Host", "Netid", "Recv-Q", "Send-Q", "Local Address:Port", "Peer Address:Port"]
    return Table(heads, rows, note=_rest(answer, len(rows)))


def _routes(answer: Any) -> Table:  # noqa: ANN401
    rows = [
        [
            row["host"],
            row["destination"],
            row["gateway"] or "",
            row["interface"],
            row["source"],
        ]
        for row in answer["rows"]
    ]
    return Table(["Host", "Destination", "Via", "Dev", "Src"], rows, note=_rest(answer, len(rows)))


def _neighbors(answer: Any) -> Table:  # noqa: ANN401
    rows = [
        [
            row["host"],
            row["address"],
            row["interface"],
            row["mac"] or "",
            row["state"] + (" router" if row["router"] else ""),
        ]
        for row in answer["rows"]
    ]
    return Table(["Host", "Address", "Dev", "Lladdr", "State"], rows, note=_rest(answer, len(rows)))


def _addresses(answer: Any) -> Table:  # noqa: ANN401
    rows = [
        [
            row["host"],
            row["interface"],
            str(row["mtu_bytes"]),
            row["mac"] or "",
            " ".join(
                f"{own['address']}/{own['prefix_length']}"
                + ("" if own["state"] == "preferred" else f" ({own['state']})")
                for own in row["addresses"]
            ),
        ]
        for row in answer
    ]
    return Table(["Host", "Dev", "MTU", "Lladdr", "Addresses"], rows)


def _counters(answer: Any) -> Table:  # noqa: ANN401
    known = answer.get("explanations", {})
    rows, more = [], []
    for part in ("hosts", "devices", "links"):
        for name, counted in answer[part].items():
            for counter, number in counted.items():
                rows.append([name, counter, str(number)])
                more.append(known[counter]["sentence"] if counter in known else "")
    return Table(["Where", "Counter", "Count"], rows, more if known else ())


def _links(answer: Any) -> Table:  # noqa: ANN401
    rows = []
    for row in answer if isinstance(answer, list) else [answer]:
        for between, way, words in directions(row):
            counted = " ".join(f"{name}:{count}" for name, count in way["counters"].items())
            state = "down" if way["down"] else "up"
            rows.append([row["name"], between, state, str(way["waiting"]), words, counted])
    return Table(["Link", "Direction", "State", "Queue", "Words", "Counted"], rows)


def _info(answer: Any) -> Table:  # noqa: ANN401
    rows = [
        [name, json.dumps(value) if isinstance(value, dict | list) else str(value)]
        for name, value in answer.items()
        if value not in ({}, [])
    ]
    return Table(["What", "Value"], rows)


def _step(answer: Any) -> str:  # noqa: ANN401
    lines = [f"{answer['at']:.6f} {answer['kind']}: {answer['what']}"]
    lines += [f"    {line}" for line in answer["happened"]]
    return "\n".join(lines)


def _paused(answer: Any) -> str:  # noqa: ANN401
    how = "stands still" if answer["paused"] else "goes on"
    return f"time {how} at {answer['at']:.6f} s"


def _rest(answer: Mapping[str, Any], shown: int) -> str:
    """Return where to go on, of an answer that was cut."""
    if answer["next"] is None:
        return ""
    return f"({shown} of {answer['total']}; offset={answer['next']} for the next)"


_SHAPES: Final[Mapping[str, Callable[[Any], Table | str]]] = {
    "info": _info,
    "hosts": _hosts,
    "ss": _ss,
    "listening": _listening,
    "routes": _routes,
    "neighbors": _neighbors,
    "addresses": _addresses,
    "counters": _counters,
    "links": _links,
    "link set": _links,
    "link down": _links,
    "link up": _links,
    "power off": lambda answer: f"{answer['node']} is off",
    "power on": lambda answer: f"{answer['node']} is on",
    "partition": lambda answer: "parted: " + " | ".join(map(", ".join, answer["groups"])),
    "heal": lambda _answer: "there are no partitions",
    "capture start": lambda answer: f"frames go to {answer['file']}",
    "capture stop": lambda answer: "\n".join(f"{path} is whole" for path in answer["stopped"]),
    "pause": _paused,
    "resume": _paused,
    "step": _step,
}
