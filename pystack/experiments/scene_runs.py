"""What a scene has of the run that it is in: its seed, and where its capture may go."""

from __future__ import annotations

from pathlib import Path

from pystack.core.errors import ConfigError
from pystack.runtime.current import seed_of_run
from pystack.runtime.network import Network


def capture_at(net: Network, pcap: str) -> None:
    """Write all frames there; "": nowhere. Raises ConfigError, for what would be lost."""
    if pcap and not Path(pcap).is_absolute():
        raise ConfigError(
            f"pcap is {pcap!r}: say its whole path, for the folder of a run goes with it"
        )
    if pcap:
        net.capture(pcap)


def seed_of_scene(seed: int | None) -> int:
    """Return a seed that was given, or the run's; on its own a scene is the same each time."""
    if seed is None:
        seed = seed_of_run.get()
    return 1 if seed is None else seed
