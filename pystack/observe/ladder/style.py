"""The style sheet of ladders: light and dark, colours by kind. A page may set the variables."""

from __future__ import annotations

from typing import Final

from pystack.observe.palette import COLOURS as PAGE
from pystack.observe.palette import variables

# Name -> its colour on light paper, and on dark paper
COLOURS: Final[dict[str, tuple[str, str]]] = {
    "paper": ("#ffffff", PAGE["paper"][1]),
    "ink": PAGE["ink"],
    "soft": PAGE["soft"],
    "neighbor": PAGE["link"],
    "handshake": PAGE["tcp"],
    "data": PAGE["net"],
    "ack": PAGE["soft"],
    "again": PAGE["bad"],
    "fin": ("#6b4a9c", "#c3a3f0"),
    "rst": PAGE["bad"],
    "icmp": ("#7a4b00", "#e0c060"),
    "dns": PAGE["http"],
    "udp": ("#0b62b8", "#7cc0ff"),
    "tls": PAGE["sec"],
    "other": PAGE["soft"],
    "lost": PAGE["bad"],
    "cwnd": PAGE["tcp"],
    "flight": PAGE["net"],
}
_RULES: Final = """
.pystack-ladder{background:var(--l-paper);color:var(--l-ink)}
.pystack-ladder text{fill:var(--l-ink);font:12px ui-monospace,SFMono-Regular,Menlo,Consolas,
"DejaVu Sans Mono",monospace;paint-order:stroke;stroke:var(--l-paper);stroke-width:3px;
stroke-linejoin:round}
.pystack-ladder .l-name{font-weight:600}
.pystack-ladder .l-soft{fill:var(--l-soft);font-size:11px}
.pystack-ladder .l-life{stroke:var(--l-soft);stroke-width:1.5;opacity:.6}
.pystack-ladder .l-gap{stroke:var(--l-soft);stroke-width:1;stroke-dasharray:2 5}
.pystack-ladder .l-arrow line{stroke:var(--l-c);stroke-width:1.6}
.pystack-ladder .l-arrow path{fill:var(--l-c)}
.pystack-ladder .l-arrow text{fill:var(--l-c)}
.pystack-ladder .l-arrow .l-soft{fill:var(--l-soft)}
.pystack-ladder .l-many line{stroke-width:3.4}
.pystack-ladder .l-open line{stroke-dasharray:6 4}
.pystack-ladder .l-arrow .l-cross{fill:none;stroke:var(--l-lost);stroke-width:2.4}
.pystack-ladder .l-note circle{fill:var(--l-paper);stroke:var(--l-ink);stroke-width:1.6}
.pystack-ladder .l-drop circle,.pystack-ladder .l-repair circle{stroke:var(--l-lost)}
.pystack-ladder .l-drop text,.pystack-ladder .l-repair text{fill:var(--l-lost)}
.pystack-ladder .l-cwnd,.pystack-ladder .l-flight{fill:none;stroke-width:1.6}
.pystack-ladder .l-cwnd{stroke:var(--l-cwnd);stroke-dasharray:5 3}
.pystack-ladder .l-flight{stroke:var(--l-flight)}
.pystack-ladder .l-cwnd-name{fill:var(--l-cwnd)}
.pystack-ladder .l-flight-name{fill:var(--l-flight)}
"""


def svg_style() -> str:
    """Return the CSS of all ladders, for a page that embeds fragments."""
    light, dark = variables(COLOURS, "l-")
    kinds = "".join(
        f".pystack-ladder .l-{name}{{--l-c:var(--l-{name})}}\n"
        for name in COLOURS
        if name not in ("paper", "ink", "soft", "lost", "cwnd", "flight")
    )
    # :where has no weight: a page sets colours of its own by the class.
    return (
        f":where(.pystack-ladder){{{light}}}\n"
        f"@media(prefers-color-scheme:dark){{:where(.pystack-ladder){{{dark}}}}}"
        f"{_RULES}{kinds}"
    )


def chosen_style() -> str:
    """Return the same for a page whose reader chooses: by `data-theme` of its root."""
    light, dark = variables(COLOURS, "l-")
    ladder = ".pystack-ladder"
    return f"{svg_style()}\n:root {ladder}{{{light}}}\n:root[data-theme=dark] {ladder}{{{dark}}}\n"
