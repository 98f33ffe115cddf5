"""The live page of what a command runs: `--web`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pystack.core.extras import need

if TYPE_CHECKING:
    from pystack.runtime.lab.lab import BesideFn


def live_page(text: str, title: str) -> BesideFn:
    """Return what serves the page beside a lab, at an address ("": the usual). ConfigError."""
    for library in ("h11", "wsproto"):
        need(library, "the live page")
    from pystack.apps.live.web import Page, parse_address

    return Page(parse_address(text), title=title).run
