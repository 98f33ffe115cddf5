"""The command `pystack explain`."""

from __future__ import annotations

from typing import Annotated

import typer

from pystack.apps.explain.asked import SEED, Asked
from pystack.apps.explain.laboratory import Line
from pystack.apps.explain.record import record_asked
from pystack.cli.words import NETEM, Words, ip_version, takes
from pystack.core.tcp_events import TcpMeasured
from pystack.observe.log import Told, describe
from pystack.observe.observer import FrameSeen
from pystack.observe.passage import Passage
from pystack.observe.summary import summarize


@takes(words=NETEM)
def explain_command(
    url: Annotated[
        str, typer.Argument(metavar="URL", help="http, https, ws, wss, ftp, smtp, dns, echo, udp.")
    ],
    *,
    ipv4: Annotated[bool, typer.Option("--ipv4", "-4", help="Use IPv4 only.")] = False,
    ipv6: Annotated[bool, typer.Option("--ipv6", "-6", help="Use IPv6 only.")] = False,
    seed: Annotated[int, typer.Option(help="Seed of all that is left to chance.")] = SEED,
    words: Words,
) -> int:
    """Explain what happens, step by step, when a URL is fetched."""
    asked = Asked(
        url=url, line=Line(words=words), version=ip_version(ipv4=ipv4, ipv6=ipv6) or 4, seed=seed
    )
    recording = record_asked(asked)
    for item in recording.items:
        if not isinstance(item, TcpMeasured | FrameSeen):
            print(_line(item))
    print(recording.outcome)
    return 0


def _line(item: Passage | Told) -> str:
    if isinstance(item, Passage):
        fate = f"  {item.end} {item.lost}".rstrip()
        ends = f"{item.sender} > {item.receiver or '?'}"
        return f"{item.entered_at:.6f} {ends}  {summarize(item.frame)}{fate}"
    return f"{item.at:.6f} {item.host}  {describe(item)}"
