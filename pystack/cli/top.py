"""The command `pystack top`: what runs with --control, while it happens."""

import json as json_text
import os
import select
import signal
import socket as sockets
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Final

import typer

from pystack.cli.control_text import Table as TextTable
from pystack.cli.control_text import as_lines
from pystack.cli.ctl import Socket
from pystack.cli.top_model import ASKED, SORTS, Flow, Model, Shown, Way, chosen
from pystack.core.errors import ConfigError
from pystack.core.extras import need
from pystack.core.suggest import suggest
from pystack.core.texts import harmless
from pystack.core.units import rate_text, time_text
from pystack.runtime.control.calls import UPDATES_A_SECOND, WATCH
from pystack.runtime.control.client import ControlClient, ControlGoneError, find
from pystack.runtime.control.places import SUFFIX

if TYPE_CHECKING:
    from rich.console import RenderableType

_MEASURE_S: Final = 1.0  # for the rates of --once
_HEADS: Final = (
    "Host",
    "State",
    "Local",
    "Peer",
    "In",
    "Out",
    "RTT",
    "Cwnd",
    "Flight",
    "Retr",
    "Limited by",
)
# On narrow terminals these alone
_NARROW: Final = ((110, range(11)), (80, (1, 2, 3, 4, 5, 6, 7, 9)), (0, (1, 3, 4, 5, 6, 9)))
_KEYS: Final = "q quit  p pause  s sort  r reverse  / filter"
_ENTER: Final = ("\r", "\n")
_ESCAPE: Final = "\x1b"
_BACK: Final = ("\x7f", "\b")


def top_command(
    *,
    socket: Socket = None,
    sort: Annotated[
        str, typer.Option(metavar="KEY", help=f"What comes first: {', '.join(SORTS)}.")
    ] = "out",
    filter_: Annotated[
        str, typer.Option("--filter", metavar="TEXT", help="Connections with this text alone.")
    ] = "",
    per_s: Annotated[
        float, typer.Option(metavar="N", help=f"Updates in a second, {UPDATES_A_SECOND}.")
    ] = 2.0,
    once: Annotated[bool, typer.Option("--once", help="Measure a second, print, and end.")] = False,
    json: Annotated[bool, typer.Option("--json", help="The same as JSON.")] = False,
) -> None:
    """Show connections, rates, round trips, losses and queues of what runs with --control."""
    if sort not in SORTS:
        raise ConfigError(f"there is no key {sort!r} to sort by{suggest(sort, SORTS)}")
    UPDATES_A_SECOND.check("--per-s", per_s)
    path = find(socket)
    view = View(sort, filter_)
    with ControlClient(path) as client:
        title = path.name.removesuffix(SUFFIX)
        if once or json or not _can_draw():
            _print_once(client, Model(title), view, json=json)
            return
        try:
            _show(client, Model(title), view, per_s)
        except ControlGoneError as error:
            print(error)


def _can_draw() -> bool:
    """Tell whether there is a terminal, and one on which something can be drawn over."""
    is_dumb = os.environ.get("TERM", "") in {"", "dumb"}
    return sys.stdout.isatty() and sys.stdin.isatty() and not is_dumb


@dataclass(slots=True)
class View:
    """What the user has chosen."""

    sort: str
    wanted: str = ""
    backwards: bool = False
    paused: bool = False
    entering: bool = False  # a filter is being typed
    over: bool = False

    def press(self, key: str) -> None:
        """Take a key."""
        if self.entering:
            if key in _ENTER or key == _ESCAPE:
                self.entering = False
                self.wanted = "" if key == _ESCAPE else self.wanted
            elif key in _BACK:
                self.wanted = self.wanted[:-1]
            elif key.isprintable() and len(self.wanted) < 64:
                self.wanted += key
            return
        match key:
            case "q" | "\x03":
                self.over = True
            case "p" | " ":
                self.paused = not self.paused
            case "s":
                self.sort = SORTS[(SORTS.index(self.sort) + 1) % len(SORTS)]
            case "r":
                self.backwards = not self.backwards
            case "/":
                self.entering, self.wanted = True, ""
            case _:
                pass

    def flows(self, shown: Shown) -> list[Flow]:
        """Return the connections that are meant, in the order that is."""
        return chosen(shown.flows, self.sort, self.wanted, backwards=self.backwards)


def _print_once(client: ControlClient, model: Model, view: View, *, json: bool) -> None:
    def asked() -> Shown:
        return model.take({name: client.call(name, given) for name, given in ASKED.items()})

    asked()
    time.sleep(_MEASURE_S)
    shown = asked()
    flows = view.flows(shown)
    if json:
        print(json_text.dumps({**shown.as_json(), "flows": [asdict(flow) for flow in flows]}))
        return
    print(harmless(_headline(shown)))
    tables = [TextTable(_HEADS, [_cells(flow) for flow in flows])]
    tables.append(
        TextTable(
            ("Where", "Counted", "Total", "/s"),
            [(it.where, it.name, str(it.total), f"{it.per_s:.3g}") for it in shown.counts],
        )
    )
    tables.append(
        TextTable(("Link", "Queue", "Lost", "Words"), [_way_cells(way) for way in shown.ways])
    )
    for table in tables:
        if table.rows:
            print("\n" + "\n".join(map(harmless, as_lines(table))))


def _headline(shown: Shown) -> str:
    paused = ", time stands still" if shown.paused else ""
    missed = f", {shown.missed} updates missed" if shown.missed else ""
    of = f"{len(shown.flows)} of " if len(shown.flows) < shown.total else ""
    return f"{shown.title}, {of}{shown.total} connections, at {shown.at:.3f} s{paused}{missed}"


def _cells(flow: Flow) -> list[str]:
    return [
        flow.host,
        flow.state,
        flow.local,
        flow.peer,
        _rate(flow.in_bps),
        _rate(flow.out_bps),
        "-" if flow.rtt_s is None else time_text(float(f"{flow.rtt_s:.3g}")),
        str(flow.cwnd_bytes),
        str(flow.flight_bytes),
        str(flow.retransmits),
        flow.limited_by,
    ]


def _rate(bps: float) -> str:
    return rate_text(float(f"{bps:.3g}")) if bps else "-"


def _way_cells(way: Way) -> list[str]:
    state = "down" if way.down else str(way.waiting)
    return [way.ends, state, str(way.lost), way.words]


def _show(client: ControlClient, model: Model, view: View, per_s: float) -> None:
    """Draw until the user has enough, or what is shown ends."""
    need("rich", "pystack top")
    from rich.live import Live

    client.ask(WATCH, {"calls": ASKED, "per_s": per_s})
    shown: Shown | None = None
    with _keys() as (keyboard, resized), Live(screen=True, auto_refresh=False) as live:
        while not view.over:
            sources: list[int | ControlClient | sockets.socket] = [keyboard, client, resized]
            ready, _, _ = select.select(sources, [], [])
            if resized in ready:
                resized.recv(64)
            if client in ready:
                for message in client.received():
                    told = model.take(message["update"], message["missed"])
                    shown = shown if view.paused and shown is not None else told
            if keyboard in ready:
                keys = os.read(keyboard, 64).decode(errors="ignore")
                if not keys:  # the terminal has gone
                    return
                for key in keys:
                    view.press(key)
            if shown is not None:
                live.update(_picture(shown, view, *live.console.size), refresh=True)


@contextmanager
def _keys() -> Iterator[tuple[int, sockets.socket]]:
    """Have keys one by one, and be told of a new size of the terminal, for the block."""
    import termios
    import tty

    keyboard = sys.stdin.fileno()
    before = termios.tcgetattr(keyboard)
    told, tell = sockets.socketpair()
    told.setblocking(False)
    tell.setblocking(False)
    old_wakeup = signal.set_wakeup_fd(tell.fileno(), warn_on_full_buffer=False)
    old_handler = signal.signal(signal.SIGWINCH, lambda _number, _frame: None)
    try:
        tty.setcbreak(keyboard)
        yield keyboard, told
    finally:
        with suppress(termios.error):
            termios.tcsetattr(keyboard, termios.TCSADRAIN, before)
        signal.signal(signal.SIGWINCH, old_handler)
        signal.set_wakeup_fd(old_wakeup)
        told.close()
        tell.close()


def _picture(shown: Shown, view: View, width: int, height: int) -> "RenderableType":
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    def table(heads: tuple[str, ...], rows: list[list[str]], numbers: range) -> Table:
        made = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), expand=True)
        for index, head in enumerate(heads):
            justify = "right" if index in numbers else "left"
            made.add_column(Text(head, "bold"), justify=justify, no_wrap=True, overflow="ellipsis")  # type: ignore[arg-type]
        for row in rows:
            made.add_row(*(Text(harmless(cell)) for cell in row))
        return made

    flows = view.flows(shown)
    kept = next(columns for least, columns in _NARROW if width >= least)
    counts = [
        [it.where, it.name, str(it.total), f"{it.per_s:.3g}" if it.per_s else "-"]
        for it in shown.counts
    ]
    ways = [_way_cells(way) for way in shown.ways]
    # Connections get what is left, and half of the screen at least.
    room = max(height - 7, 3)
    below = min(len(counts), room // 4), min(len(ways), room // 4)
    above = max(room - sum(below), 1)
    wanted = (
        f"  filter: {view.wanted}{'_' if view.entering else ''}"
        if (view.wanted or view.entering)
        else ""
    )
    order = f"sorted by {view.sort}{' (backwards)' if view.backwards else ''}"
    held = "  [held]" if view.paused else ""
    parts: list[RenderableType] = [
        Text(harmless(_headline(shown)), "bold", no_wrap=True, overflow="ellipsis"),
        Text(f"{order}{wanted}{held}", "dim", no_wrap=True),
        table(
            tuple(_HEADS[index] for index in kept),
            [[_cells(flow)[index] for index in kept] for flow in flows[:above]],
            range(sum(index < 4 for index in kept), len(kept) - (10 in kept)),
        ),
    ]
    if below[0]:
        heads = ("Where", "Counted", "Total", "/s")
        parts += [Text(""), table(heads, counts[: below[0]], range(2, 4))]
    if below[1]:
        parts.append(table(("Link", "Queue", "Lost", "Words"), ways[: below[1]], range(1, 3)))
    parts.append(Text(_KEYS, "dim"))
    return Group(*parts)
