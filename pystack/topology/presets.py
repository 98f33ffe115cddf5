"""Presets: the words of a link for common access lines, up and down apart.

They are models with round figures, each near a published measurement (docs/topology.md names them);
real lines differ from them, and from each other, by more than a factor of two. The queues are drop
tail and long, as those of real modems are. A word that is given beside a preset goes before it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Unpack

from pystack.core.errors import ConfigError
from pystack.core.suggest import suggest
from pystack.link.words import NetemWords


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """One kind of line. `up` is from the subscriber, the first node that `link` is given."""

    about: str
    up: NetemWords
    down: NetemWords


def _line(
    about: str,
    up: tuple[str, int],  # the rate, and the packets that wait for it
    down: tuple[str, int],
    **both: Unpack[NetemWords],
) -> Preset:
    (rate_up, limit_up), (rate_down, limit_down) = up, down
    return Preset(
        about=about,
        up={"rate": rate_up, "limit": limit_up, **both},
        down={"rate": rate_down, "limit": limit_down, **both},
    )


PRESETS: Final[Mapping[str, Preset]] = {
    "dsl": _line(
        "ADSL over a copper pair", ("1mbit", 50), ("8mbit", 150), delay="20ms", jitter="1ms"
    ),
    "cable": _line("DOCSIS 3", ("10mbit", 300), ("140mbit", 1500), delay="10ms", jitter="2ms"),
    "3g": _line(
        "HSPA+, good reception",
        ("1.6mbit", 100),
        ("6mbit", 300),
        delay="32ms",
        jitter="8ms",
        distribution="normal",
    ),
    "lte": _line(
        "LTE, good reception",
        ("12mbit", 300),
        ("20mbit", 500),
        delay="25ms",
        jitter="5ms",
        distribution="normal",
    ),
    "5g": _line(
        "5G in the middle band, good reception",
        ("15mbit", 400),
        ("100mbit", 1500),
        delay="9ms",
        jitter="3ms",
        distribution="normal",
    ),
    "wifi": _line(
        "a busy home or office: the hop through the air alone",
        ("100mbit", 500),
        ("100mbit", 500),
        delay="3ms",
        jitter="2ms",
        distribution="pareto",
        loss="0.1%",
    ),
    "satellite-geo": _line(
        "a geostationary satellite",
        ("3mbit", 150),
        ("20mbit", 800),
        delay="320ms",
        jitter="10ms",
        distribution="normal",
    ),
    "satellite-leo": _line(
        "satellites in a low orbit, as Starlink",
        ("12mbit", 200),
        ("100mbit", 1000),
        delay="22ms",
        jitter="5ms",
        distribution="normal",
        loss="0.4%",
    ),
    "dc": _line(
        "two servers of one data centre",
        ("10gbit", 1000),
        ("10gbit", 1000),
        delay="100us",
        jitter="10us",
    ),
}


def words_of(name: str | None) -> tuple[NetemWords, NetemWords]:
    """Return a preset's words up and down; none for None. ConfigError where there is no such."""
    if name is None:
        return {}, {}
    preset = PRESETS.get(name) if isinstance(name, str) else None
    if preset is None:
        raise ConfigError(f"there is no preset {name!r}{suggest(name, PRESETS)}")
    return preset.up, preset.down
