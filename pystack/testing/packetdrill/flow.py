"""The connection that packets of a script belong to: its addresses, and its two ways to count.

A script counts sequence numbers from 0, the host from a number that nobody can guess. SYNs carry
the initial number itself, so both ways meet there; all other segments are counted from it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from pystack.core.addresses import Ip, is_v6

MASK: Final = 0xFFFFFFFF


@dataclass(slots=True)
class Numbers:
    """One direction's initial sequence number: as the script has it, and on the wire."""

    script: int = 0
    live: int | None = None  # None: nothing with it was seen yet

    def offset(self, *, syn: bool) -> int:
        """Return what is to be added to the script's number for that on the wire."""
        if self.live is None:
            return 0
        return (self.live - self.script if syn else self.live) & MASK


@dataclass(slots=True)
class Flow:
    """One connection, or one pair of UDP ports."""

    local_ip: Ip
    local_port: int
    remote_ip: Ip
    remote_port: int
    proto: int
    ours: Numbers = field(default_factory=Numbers)
    theirs: Numbers = field(default_factory=Numbers)
    syn_text_bytes: int = 0  # what our SYN carried
    offered: int | None = None  # number of a SYN that may begin a successor; None: there was none
    # Timestamps of the host: those of the script, and what they stood for
    ts_values: dict[int, int] = field(default_factory=dict)
    ts_base: tuple[int, int] | None = None  # script's and live value of the first; None: none yet

    @property
    def is_v6(self) -> bool:
        """Tell which version of IP its packets have."""
        return is_v6(self.local_ip)

    def outbound(self, ports: tuple[int, int] | None) -> tuple[int, int]:
        """Return source and destination port of what the host sends."""
        return ports or (self.local_port, self.remote_port)

    def inbound(self, ports: tuple[int, int] | None) -> tuple[int, int]:
        """Return source and destination port of what comes in."""
        return ports or (self.remote_port, self.local_port)

    def echo_to_live(self, script_echo: int) -> int:
        """Return the timestamp of the host that an echo in the script stands for."""
        if script_echo in self.ts_values:
            return self.ts_values[script_echo]
        if self.ts_base is None:
            return script_echo
        script, live = self.ts_base
        return (script_echo - script + live) & MASK

    def note_timestamp(self, script: int, live: int) -> int:
        """Learn what a timestamp of the script stands for; return the live one as a script's."""
        self.ts_values[script] = live
        if self.ts_base is None:
            self.ts_base = (script, live)
        return (live - self.ts_base[1] + self.ts_base[0]) & MASK
