"""The IPv6 addresses that an interface makes itself (RFC 4862, RFC 7217, RFC 8981).

They are tried out before they are used (duplicate address detection), live as long as the prefix
that they are made of, and can be temporary. How many there may be is bounded: whoever can send to
a link can tell of as many prefixes as there are numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from pystack.core.addresses import (
    LINK_LOCAL6,
    Ip,
    Prefix,
    eui64,
    format_ip,
    is_link_local,
    link_local,
    solicited_node,
    with_zone,
)
from pystack.core.rng import Random
from pystack.core.scheduler import Handle
from pystack.observe.observer import AddressChanged
from pystack.stack.interface import AddressState, InterfaceAddress
from pystack.stack.interface_ids import random_id, secret_of, stable_id
from pystack.wire import nd

if TYPE_CHECKING:
    from pystack.stack.host import Host
    from pystack.stack.interface import Interface

START_DELAY_S: Final = 1.0  # at most: MAX_RTR_SOLICITATION_DELAY (RFC 4861 section 10)
TWO_HOURS_S: Final = 7200.0  # RFC 4862 section 5.5.3 (e)
RETRIES: Final = 3  # IDGEN_RETRIES (RFC 7217 section 6), TEMP_IDGEN_RETRIES (RFC 8981 3.8)
RETRY_DELAY_S: Final = 1.0  # IDGEN_DELAY (RFC 7217 section 6)
ADDRESSES: Final = 16  # made of routers' prefixes; as Linux's max_addresses


@dataclass(slots=True)
class _Trial:
    """An address that is being tried out."""

    left: int  # questions still to ask
    tries: int = 0  # addresses before this one that were others'
    nonces: set[bytes] = field(default_factory=set)  # of our questions, which may come back
    timer: Handle | None = None  # None: not begun, or over


@dataclass(slots=True)
class _Temporary:
    """What a temporary address has beside an address (RFC 8981 section 3.4)."""

    made_at: float
    preferred_s: float  # at most, less the random part
    renewed: bool = False  # its successor has been made


class OwnAddresses:
    """The addresses of one interface that change by themselves."""

    __slots__ = (
        "_host",
        "_interface",
        "_on_changed",
        "_retries",
        "_rng",
        "_secret",
        "_temporary",
        "_trials",
    )

    def __init__(
        self, host: Host, interface: Interface, rng: Random, on_changed: Callable[[float], None]
    ) -> None:
        self._host = host
        self._interface = interface
        self._rng = rng
        self._on_changed = on_changed  # told where one lives for another time now
        self._secret = secret_of(host.seed, host.name)
        self._trials: dict[InterfaceAddress, _Trial] = {}
        self._temporary: dict[InterfaceAddress, _Temporary] = {}
        self._retries: dict[tuple[Prefix, bool], Handle] = {}  # another is to be tried instead

    def have_link_local(self, now: float, *, at_once: bool = False) -> None:
        """Make a link-local address, where there is none; `at_once`: without trying it out."""
        own = (each for each in self._interface.addresses if each.prefix.is_v6)
        if any(is_link_local(each.address) for each in own):
            return
        if at_once:
            address = self._address_of(LINK_LOCAL6, 0, is_temporary=False)
            self._host.add_address(self._interface, address, LINK_LOCAL6)
        else:
            self._make(LINK_LOCAL6, math.inf, math.inf, now, is_automatic=False)

    def clear(self, now: float) -> None:
        """Give up what was made of routers' prefixes, and what is tried out."""
        for timer in self._retries.values():
            timer.cancel()
        self._retries.clear()
        for own in list(self._interface.addresses):
            if own.is_automatic or not own.is_usable:
                self._remove(own, now)

    def ends(self) -> Iterator[float]:
        """Go through the instants at which an address changes by itself."""
        for own in self._interface.addresses:
            yield own.valid_until
            if own.state is AddressState.PREFERRED:
                yield own.preferred_until
        for own, temporary in self._temporary.items():
            if own.is_usable and not temporary.renewed:
                yield self._renewal_at(own)

    def expire(self, now: float) -> None:
        """Let addresses be what they have to be now."""
        for own in list(self._interface.addresses):
            if now >= own.valid_until:
                self._remove(own, now)
            else:
                self._age(own, now)
        self._succeed(now)

    def prefix_said(self, said: nd.PrefixInformation, now: float) -> None:
        """Take a prefix that addresses are to be made of (RFC 4862 section 5.5.3)."""
        prefix = said.prefix
        stable = self._stable(prefix)
        if stable is not None:
            self._renew(stable, said, now)
            self._renew_temporary(stable, now)
            return
        if not said.valid_s or (prefix, False) in self._retries:
            return  # nothing to make, or the next one is to be tried in a moment
        if self._have_all():
            return
        valid_until, preferred_until = until(said.valid_s, now), until(said.preferred_s, now)
        self._make(prefix, valid_until, preferred_until, now)
        if self._host.discovery.config.use_tempaddr:
            self._make_temporary(prefix, valid_until, preferred_until, now)

    # duplicate address detection (RFC 4862 section 5.4)

    def try_out(self, own: InterfaceAddress, now: float, *, tries: int = 0) -> None:
        """Have one more address, once nobody on the link is heard to have it.

        With `dad_transmits` 0 it may be used at once.
        """
        self._interface.add_address(own)
        transmits = self._host.discovery.config.dad_transmits
        if not transmits:
            self._ready(own, now)
            return
        own.state = AddressState.TENTATIVE
        trial = self._trials[own] = _Trial(transmits, tries)
        self._tell(own, "", now)
        # RFC 4862 5.4.2: with a delay, so that all who begin together do not speak together
        when = now + self._rng.uniform(0.0, START_DELAY_S)
        self._host.groups.report_within(
            self._interface, solicited_node(own.address), when - now, now
        )
        trial.timer = self._host.scheduler.call_at(when, lambda at: self._probe(own, at))

    def probe_heard(self, own: InterfaceAddress, nonce: bytes, now: float) -> str:
        """Take a question of DAD about an address that is tried out here; returns the drop."""
        trial = self._trials.get(own)
        if trial is None:
            return "nd_tentative_target"
        if nonce and nonce in trial.nonces:
            return "nd_looped_back"  # RFC 7527: it is ours, and comes from a loop
        return self.duplicate(own, now)

    def duplicate(self, own: InterfaceAddress, now: float) -> str:
        """Give up an address that another has; returns the drop. Another is tried in its place."""
        trial = self._trials.pop(own)
        if trial.timer is not None:
            trial.timer.cancel()
        self._become(own, AddressState.DUPLICATED, now)
        stays = own.prefix.length != 64 or (
            self._host.discovery.config.addr_gen_mode == "eui64" and not own.is_temporary
        )
        if stays or trial.tries >= RETRIES:
            # It is shown as what it is, and never used; RFC 4862 section 5.4.5.
            return "nd_duplicate_address"
        temporary = self._temporary.get(own)
        self._remove(own, now)

        def again(at: float) -> None:
            del self._retries[own.prefix, own.is_temporary]
            self._make(
                own.prefix,
                own.valid_until,
                own.preferred_until,
                at,
                tries=trial.tries + 1,
                is_automatic=own.is_automatic,
                temporary=temporary,
            )

        key = own.prefix, own.is_temporary
        if key in self._retries:
            self._retries[key].cancel()  # one in place of both
        self._retries[key] = self._host.scheduler.call_at(now + RETRY_DELAY_S, again)
        return "nd_duplicate_address"

    def _probe(self, own: InterfaceAddress, now: float) -> None:
        trial = self._trials[own]
        if not trial.left:
            del self._trials[own]
            self._ready(own, now)
            return
        trial.left -= 1
        nonce = self._rng.getrandbits(48).to_bytes(6, "big")
        trial.nonces.add(nonce)
        self._host.discovery.probe(self._interface, own.address, nonce, now)
        assert self._interface.neighbors is not None
        when = now + self._interface.neighbors.timing6.retrans_s
        trial.timer = self._host.scheduler.call_at(when, lambda at: self._probe(own, at))

    # addresses

    def _make(
        self,
        prefix: Prefix,
        valid_until: float,
        preferred_until: float,
        now: float,
        *,
        tries: int = 0,
        is_automatic: bool = True,
        temporary: _Temporary | None = None,
    ) -> None:
        """Make an address of a prefix, and try it out."""
        address = self._address_of(prefix, tries, is_temporary=temporary is not None)
        if self._interface.find(address) is not None:
            return  # given by hand
        own = InterfaceAddress(
            address,
            prefix,
            preferred_until=preferred_until,
            valid_until=valid_until,
            is_temporary=temporary is not None,
            is_automatic=is_automatic,
        )
        if temporary is not None:
            self._temporary[own] = temporary
        self.try_out(own, now, tries=tries)
        self._on_changed(now)

    def _address_of(self, prefix: Prefix, tries: int, *, is_temporary: bool) -> Ip:
        interface = self._interface
        if is_temporary:
            identifier = random_id(self._rng)
        elif self._host.discovery.config.addr_gen_mode == "eui64":
            identifier = eui64(interface.mac)
        else:
            identifier = stable_id(prefix, interface.name, tries, self._secret)
        if prefix == LINK_LOCAL6:
            return with_zone(link_local(identifier), interface.index)
        return Ip(prefix.network | identifier)

    def _ready(self, own: InterfaceAddress, now: float) -> None:
        own.state = AddressState.TENTATIVE
        deprecated = now >= own.preferred_until
        self._host.discovery.forget_redirect(own.address)
        self._host.assign(self._interface, own)
        self._become(own, AddressState.DEPRECATED if deprecated else AddressState.PREFERRED, now)
        self._on_changed(now)

    def _remove(self, own: InterfaceAddress, now: float) -> None:
        trial = self._trials.pop(own, None)
        if trial is not None and trial.timer is not None:
            trial.timer.cancel()
        self._temporary.pop(own, None)
        self._host.remove_address(self._interface, own)
        self._tell(own, own.state.value, now, gone=True)
        self._on_changed(now)

    def _become(self, own: InterfaceAddress, state: AddressState, now: float) -> None:
        old, own.state = own.state, state
        if old is not state:
            self._tell(own, old.value, now)

    def _tell(self, own: InterfaceAddress, old: str, now: float, *, gone: bool = False) -> None:
        host = self._host
        if host.observers:
            text = f"{format_ip(own.address)}/{own.prefix.length}"
            new = "" if gone else own.state.value
            host.notify(AddressChanged(now, host.name, self._interface.name, text, old, new))

    def _have_all(self) -> bool:
        """Tell whether there are as many addresses of routers' prefixes as there may be.

        Those that are to be tried next count too: whoever says that all are taken makes no room.
        """
        made = sum(own.is_automatic for own in self._interface.addresses)
        have_all = made + len(self._retries) >= ADDRESSES
        if have_all:
            self._host.counters.add("nd_too_many_addresses")
        return have_all

    def _stable(self, prefix: Prefix) -> InterfaceAddress | None:
        """Return the address that was made of a router's prefix; None: there is none."""
        own = (each for each in self._interface.addresses if each.prefix == prefix)
        return next((each for each in own if each.is_automatic and not each.is_temporary), None)

    def _renew(self, own: InterfaceAddress, said: nd.PrefixInformation, now: float) -> None:
        """Let an address live as long as its prefix is said to, but for the two-hour rule."""
        valid_until = until(said.valid_s, now)
        if valid_until > min(now + TWO_HOURS_S, own.valid_until):
            own.valid_until = valid_until
        elif own.valid_until > now + TWO_HOURS_S:
            # RFC 4862 section 5.5.3 (e): no one message may take an address away.
            own.valid_until = now + TWO_HOURS_S
        own.preferred_until = min(until(said.preferred_s, now), own.valid_until)
        self._age(own, now)

    def _age(self, own: InterfaceAddress, now: float) -> None:
        """Let an address that may be used be what it has to be now."""
        if own.is_usable:
            deprecated = now >= own.preferred_until
            self._become(
                own, AddressState.DEPRECATED if deprecated else AddressState.PREFERRED, now
            )

    # temporary addresses (RFC 8981)

    def _make_temporary(
        self, prefix: Prefix, valid_until: float, preferred_until: float, now: float
    ) -> None:
        config = self._host.discovery.config
        # The desynchronizing factor is 0.4 of it at most (section 3.8).
        preferred_s = config.temp_preferred_s * (1 - self._rng.uniform(0.0, 0.4))
        preferred_until = min(preferred_until, now + preferred_s)
        # Section 3.4 (5): not one that would have a successor at once, nor one too many
        if preferred_until - now <= self._regen_advance_s or self._have_all():
            return
        valid_until = min(valid_until, now + config.temp_valid_s)
        temporary = _Temporary(now, preferred_s)
        self._make(prefix, valid_until, preferred_until, now, temporary=temporary)

    def _renew_temporary(self, stable: InterfaceAddress, now: float) -> None:
        """Let temporary addresses live no longer than their prefix, nor than they may at all."""
        valid_s = self._host.discovery.config.temp_valid_s
        for own, temporary in self._temporary.items():
            if own.prefix == stable.prefix:
                most = temporary.made_at + temporary.preferred_s
                own.valid_until = min(stable.valid_until, temporary.made_at + valid_s)
                own.preferred_until = min(stable.preferred_until, most)
                self._age(own, now)

    def _succeed(self, now: float) -> None:
        """Make the successors of temporary addresses that are soon to be deprecated."""
        for own, temporary in list(self._temporary.items()):
            if temporary.renewed or not own.is_usable or now < self._renewal_at(own):
                continue
            temporary.renewed = True
            stable = self._stable(own.prefix)
            if stable is not None and stable.preferred_until > own.preferred_until:
                self._make_temporary(own.prefix, stable.valid_until, stable.preferred_until, now)

    def _renewal_at(self, own: InterfaceAddress) -> float:
        """Return when a successor is due: REGEN_ADVANCE before the end (section 3.8)."""
        return own.preferred_until - self._regen_advance_s

    @property
    def _regen_advance_s(self) -> float:
        assert self._interface.neighbors is not None
        retrans_s = self._interface.neighbors.timing6.retrans_s
        return 2.0 + RETRIES * self._host.discovery.config.dad_transmits * retrans_s


def until(lifetime_s: int, now: float) -> float:
    """Return when a lifetime ends that a message has said."""
    return math.inf if lifetime_s == nd.FOR_EVER else now + lifetime_s
