"""The option `--observe`, which `pystack up` and `pystack lab run` share."""

from typing import Annotated, TypeAlias

import typer

from pystack.observe.registry import OBSERVERS

Observe: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        metavar="'NAME WORDS'",
        help="Observer to attach: 'log packets', 'ladder', 'pcap file FILE', or one that a plug-in "
        "adds. May be repeated.",
    ),
]


def checked(observers: list[str] | None) -> tuple[str, ...]:
    """Return what was asked for. Raises ConfigError for what there is not."""
    for text in observers or ():
        OBSERVERS.read(text)
    return tuple(observers or ())
