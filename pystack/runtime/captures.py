"""Captures of what runs: of a host that is in no network, and with the secrets of TLS."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Unpack

from pystack.core.addresses import format_ip, without_zone
from pystack.observe.scene import CaptureWords, OpenFile, Scene, make_capture, open_at_once
from pystack.runtime.driver.driver import wall_clock_offset_s

if TYPE_CHECKING:
    from pystack.observe.captures.capture import Capture
    from pystack.runtime.bare_host import BareHost


def collect_secrets() -> Callable[[], bytes]:
    """Collect the secrets of TLS in this Trio run from now on; return what gives the new ones."""
    from pystack.runtime.key_log import key_log  # only where somebody wants them: it needs OpenSSL

    return key_log().collect()


def scene_of(host: BareHost, say: Callable[[str], object] = print) -> Scene:
    """Return what observers may know of a host that is in no network."""
    driver = host.driver
    open_file: OpenFile = open_at_once
    if not driver.is_virtual:
        from pystack.runtime.driver.spool import open_spool

        open_file = open_spool
    return Scene(
        say=say,
        began_at=driver.now(),
        wall_clock_offset_s=wall_clock_offset_s(driver),
        has_hosts=False,
        open_file=open_file,
        names=lambda: _names(host),
        describe=lambda place: f"{place.rpartition('/')[2]} of {host.name}",
        interface_at=lambda place, name: place if name == host.name else None,
        scheduler=None if driver.is_virtual else driver.scheduler,
        secrets=collect_secrets,
    )


def capture_alone(
    host: BareHost, path: str, interface: str | None = None, **words: Unpack[CaptureWords]
) -> Capture:
    """Write what a host in no network sends and receives; `interface`: on that one alone."""
    if interface is None:
        own = [each.name for each in host.interfaces if each.name != "lo"]
        interface = own[0] if len(own) == 1 else None
    capture = make_capture(scene_of(host), path, host=host.name, interface=interface, **words)
    host.observe(capture)
    capture.when_closed.append(lambda: host.unobserve(capture))
    return capture


def _names(host: BareHost) -> dict[str, str]:
    """Return its name by its addresses, but those that each host has."""
    return {
        format_ip(without_zone(own.address)): host.name
        for interface in host.interfaces
        if interface.name != "lo"
        for own in interface.addresses
    }
