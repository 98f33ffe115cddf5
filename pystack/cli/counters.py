"""The command `pystack counters`."""

from collections.abc import Iterable
from textwrap import fill
from typing import Annotated

import typer

from pystack.core.counters import explanations
from pystack.core.errors import ConfigError
from pystack.core.suggest import nearest


def counters_command(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NAME...", help="A counter, or the beginning of its name (tcp_syn)."
        ),
    ] = None,
) -> None:
    """Explain counters and reasons for drops; all of them if none is named."""
    print("\n".join(explained(names or [""])))


def explained(beginnings: Iterable[str]) -> list[str]:
    """Return what is known of the counters whose names begin so. Raises ConfigError for none."""
    known = explanations()
    lines: list[str] = []
    for beginning in beginnings:
        chosen = [name for name in known if name.startswith(beginning)]
        if not chosen:
            near = nearest(beginning, known)
            hint = f"; did you mean {near!r}?" if near else "; `pystack counters` lists them"
            raise ConfigError(f"no counter's name begins with {beginning!r}{hint}")
        for name in chosen:
            lines.append(f"{name} ({known[name].source})")
            lines.append(
                fill(known[name].sentence, 96, initial_indent="    ", subsequent_indent="    ")
            )
    return lines
