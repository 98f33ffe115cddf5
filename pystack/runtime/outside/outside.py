"""A host as the way to the real network: whatever is sent there for the world, the machine sends.

The host takes what is for addresses that it has no route to, as Linux does with AnyIP and TPROXY
(`stack/intercept.py`), and joins it to sockets of whoever runs this: connections, datagrams, pings,
questions for names. Nothing of it takes root.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol, TypedDict, Unpack

from pystack.core.addresses import Ip, Prefix, format_ip, is_link_local, is_v6, parse_ip
from pystack.core.errors import ConfigError
from pystack.core.ranges import Range
from pystack.runtime.outside import published
from pystack.runtime.outside.connections import Connections
from pystack.runtime.outside.echoes import Echoes
from pystack.runtime.outside.ground import Ground, allowance_of_process
from pystack.runtime.outside.names import Names
from pystack.runtime.outside.published import Published, PublishSpec
from pystack.runtime.outside.reach import Reach, is_forbidden, loopback_for
from pystack.runtime.outside.resolv_conf import ResolvConf, Watched, given
from pystack.runtime.outside.sessions import Sessions
from pystack.runtime.socket.seal import unsealed
from pystack.runtime.splice.poller import Poller
from pystack.stack.icmp_core import Trouble

if TYPE_CHECKING:
    from contextlib import ExitStack

    import trio

    from pystack.core.counters import Counters
    from pystack.runtime.driver.driver import Driver
    from pystack.runtime.host import Host
    from pystack.stack.host import Host as StackHost
    from pystack.stack.intercept import HeldDatagram, HeldEcho, HeldSyn
    from pystack.topology.topology import Topology

_LAST: Final = 0xFE  # of the link's block: where the machine's loopback is, if it is nowhere else


class OutsideWords(TypedDict, total=False):
    """What `Network.outside` is told."""

    # True: the machine's loopback is at the addresses of the host's link that end in 254 and ::fe.
    # Or which addresses it has inside, one of each IP version at most. False: it is nowhere.
    reach_loopback: bool | str | Sequence[str]
    resolvers: Sequence[str] | None  # whom to ask for names; None: whom /etc/resolv.conf says
    dns: bool  # False: nobody answers at port 53 of the host
    publish: str | Sequence[str]  # ports of the machine that lead inwards: see `Network.publish`
    to: Addressed | str | None  # to whom these lead
    sockets: int | None  # how many real sockets there may be; None: what the process may have


class Addressed(Protocol):
    """A host of the network, or a namespace."""

    @property
    def addresses(self) -> tuple[str, ...]:
        """Return its addresses."""
        ...


class Lab(Protocol):
    """What is needed of a network."""

    nursery: trio.Nursery | None
    resources: ExitStack

    @property
    def driver(self) -> Driver:
        """Return what lets its time pass."""
        ...

    @property
    def topology(self) -> Topology:
        """Return what it is made of."""
        ...


class Outside:
    """One host's way to the real network: its interceptor. Made by `Network.outside`."""

    def __init__(
        self,
        host: StackHost,
        poller: Poller,
        topology: Topology,
        *,
        loopbacks: Sequence[Ip] = (),
        resolver: ResolvConf | None = None,
        sockets: int | None = None,
    ) -> None:
        """`loopbacks`: addresses inside that stand for the machine's loopback.

        `resolver`: whom to ask for names; None: whom the machine asks. `sockets`: how many real
        ones there may be at once; None: as many as the process may have, but for a few.
        """
        reach = Reach({address: loopback_for(address) for address in loopbacks})
        allowance = allowance_of_process() if sockets is None else sockets
        self._host = host
        self._topology = topology
        self._reach = reach
        self._resolver: Callable[[], ResolvConf] = Watched().now
        if resolver is not None:
            self._resolver = partial(_itself, resolver)
        self.ground = ground = Ground(host, poller, reach, allowance)
        self.sessions = Sessions(ground)
        self.echoes = Echoes(ground)
        self.connections = Connections(ground)
        self.names = Names(ground, self.connections, self._resolver)
        self.published = Published(ground, self.connections)
        self._is_open = True
        host.interceptor = self
        topology.lead_out(host.name)
        for address in loopbacks:
            with suppress(ConfigError):  # it is on no link: whoever has a route sends it here
                host.add_proxy(address)

    @property
    def counters(self) -> Counters:
        """Return the counters of the host; those of what goes outside begin with `outside_`."""
        return self._host.counters

    @property
    def loopbacks(self) -> tuple[str, ...]:
        """Return the addresses at which the machine's loopback is reached from inside."""
        return tuple(map(format_ip, self._reach.loopbacks))

    def resolv_conf(self) -> str:
        """Return the text of /etc/resolv.conf for programs inside: the host is whom they ask.

        The domains to search and the options are the machine's.
        """
        own = [
            own.address
            for interface in self._host.interfaces
            if interface.neighbors is not None
            for own in interface.addresses
            if not is_link_local(own.address)
        ]
        return self._resolver().text_for(sorted(own, key=is_v6))

    def publish(self, specs: str | Sequence[str], to: Addressed | str) -> list[PublishSpec]:
        """Let ports of the machine lead inwards: see `Network.publish`."""
        return _publish(self.published, self._topology, specs, to)

    def close(self) -> None:
        """End all that goes outside, with resets. A second time is nothing."""
        if not self._is_open:
            return
        self._is_open = False
        now = self._host.scheduler.now
        if self._host.interceptor is self:
            self._host.interceptor = None
            self._topology.lead_out(self._host.name, leads=False)
            for address in self._reach.loopbacks:
                self._host.remove_proxy(address)
        self.published.close(now)
        self.names.close(now)
        self.connections.close(now)
        self.sessions.close()
        self.echoes.close()

    # the interceptor's part

    def covers(self, dst: Ip) -> bool:
        """Take what the host has no route for, but a default one: what is of no lab."""
        if dst in self._reach.loopbacks:
            return True
        route = self._host.routes.lookup(dst)
        return route is None or route.prefix.length == 0

    def syn_arrived(self, syn: HeldSyn, now: float) -> None:
        """Somebody wants to connect."""
        real = self._reach.outside_of(syn.local)
        if real is None:
            self.counters.add("outside_forbidden")
            syn.unreachable(Trouble.PROHIBITED, now)
        else:
            self.connections.syn_arrived(syn, real, now)

    def datagram_arrived(self, datagram: HeldDatagram, now: float) -> None:
        """Somebody sends a datagram."""
        real = self._reach.outside_of(datagram.dst)
        if real is None:
            self.counters.add("outside_forbidden")
            datagram.refuse(Trouble.PROHIBITED, now)
        else:
            self.sessions.datagram_arrived(datagram, real, now)

    def echo_arrived(self, echo: HeldEcho, now: float) -> None:
        """Somebody pings."""
        real = self._reach.outside_of(echo.dst)
        if real is None:
            self.counters.add("outside_forbidden")
            echo.refuse(Trouble.PROHIBITED, now)
        else:
            self.echoes.echo_arrived(echo, real, now)


async def open_published(
    lab: Lab, host: Host, specs: str | Sequence[str], to: Addressed | str
) -> list[PublishSpec]:
    """Let ports of the machine lead inwards from a host, until the network ends."""
    _check_real_time(lab)
    host_stack = host.stack
    if isinstance(host_stack.interceptor, Outside):
        return host_stack.interceptor.publish(specs, to)
    poller = await _poller(lab)
    ground = Ground(host_stack, poller, Reach(), allowance_of_process())
    connections = Connections(ground)
    ports = Published(ground, connections)

    def close() -> None:
        ports.close(host_stack.scheduler.now)
        connections.close(host_stack.scheduler.now)

    lab.resources.callback(close)
    return _publish(ports, lab.topology, specs, to)


def _publish(
    ports: Published, topology: Topology, specs: str | Sequence[str], to: Addressed | str
) -> list[PublishSpec]:
    texts = [specs] if isinstance(specs, str) else specs
    # All are read before any is opened.
    wanted = [each for text in texts for each in published.parse_publish(text)]
    target = partial(_address_of, topology, to)
    target(socket.AF_INET)
    with unsealed():
        return [opened for each in wanted for opened in ports.publish(each, target)]


def _address_of(topology: Topology, to: Addressed | str, family: socket.AddressFamily) -> Ip:
    """Return the address of a target, of this IP version where it has one. Raises ConfigError."""
    if isinstance(to, str):
        found = topology.resolve_all(to) or (parse_ip(to),)
    else:
        found = tuple(parse_ip(text) for text in to.addresses if "%" not in text)
    usable = [address for address in found if not is_link_local(address)]
    if not usable:
        raise ConfigError(f"{to!r} has no address that a port could lead to")
    v6 = family == socket.AF_INET6
    return next((address for address in usable if is_v6(address) is v6), usable[0])


async def open_outside(lab: Lab, host: Host, **words: Unpack[OutsideWords]) -> Outside:
    """Make a host the way to the real network, until the network ends. See `Network.outside`."""
    unknown = words.keys() - OutsideWords.__annotations__.keys()
    if unknown:
        raise ConfigError(f"net.outside has no word {min(unknown)!r}")
    _check_real_time(lab)
    stack = host.stack
    if stack.interceptor is not None:
        raise ConfigError(f"{host.name} has a way outside already")
    sockets = words.get("sockets")
    Range(1, optional=True).check("sockets", sockets)
    resolvers, to = words.get("resolvers"), words.get("to")
    specs = words.get("publish", ())
    if specs and to is None:
        raise ConfigError("ports that are published lead to somebody: say to=NAMESPACE")
    for spec in [specs] if isinstance(specs, str) else specs:
        published.parse_publish(spec)
    outside = Outside(
        stack,
        await _poller(lab),
        lab.topology,
        loopbacks=_loopbacks(host, words.get("reach_loopback", False)),
        resolver=None if resolvers is None else given(resolvers),
        sockets=sockets,
    )
    lab.resources.callback(outside.close)
    if words.get("dns", True):
        try:
            outside.names.serve()
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            outside.close()
            raise ConfigError(
                f"{host.name} has a DNS server already: say dns=False, and its answers are that "
                "one's"
            ) from None
    if to is not None:
        outside.publish(specs, to)
    return outside


async def _poller(lab: Lab) -> Poller:
    """Return what waits for the sockets of all ways outside of a network; it runs."""
    kept = lab.driver.kept
    poller = kept.get(Poller)
    if not isinstance(poller, Poller):
        assert lab.nursery is not None
        with unsealed():  # whichever host's program asks for it, and so for what it calls back
            poller = kept[Poller] = Poller(lab.driver)
            await lab.nursery.start(poller.run)
    return poller


def _check_real_time(lab: Lab) -> None:
    if lab.driver.is_virtual:
        raise ConfigError(
            "the real network lives in real time, and this network in virtual time: run the "
            "program with trio.run instead of pystack.run"
        )


def _itself(resolver: ResolvConf) -> ResolvConf:
    return resolver


def _loopbacks(host: Host, wanted: object) -> list[Ip]:
    """Return the addresses that are to stand for the machine's loopback. Raises ConfigError."""
    if wanted is False:
        return []
    links = [
        (own.address, own.prefix)
        for interface in host.stack.interfaces
        if interface.neighbors is not None
        for own in interface.addresses
        if not is_link_local(own.address)
    ]
    if wanted is True:
        found = _usual(links)
        if not found:
            raise ConfigError(f"{host.name} has no link yet: join it with Network.link first")
        return found
    texts = [wanted] if isinstance(wanted, str) else wanted
    if not isinstance(texts, Sequence):
        raise ConfigError(f"reach_loopback is True, False or addresses, not {wanted!r}")
    found = [parse_ip(text) for text in texts]
    for address in found:
        text = format_ip(address)
        if is_forbidden(address):
            raise ConfigError(f"{text} cannot stand for the loopback: it is nobody's on a link")
        if address in host.stack.addresses:
            raise ConfigError(f"{text} cannot stand for the loopback: {host.name} has it")
    if len({is_v6(address) for address in found}) < len(found):
        raise ConfigError("the machine's loopback has one address inside of each IP version")
    return found


def _usual(links: Sequence[tuple[Ip, Prefix]]) -> list[Ip]:
    """Return for each version the address of the first link's block that ends in 254 or ::fe.

    Where the host has that itself, or the block is too small for it, the one before it.
    """
    own = {address for address, _ in links}
    found: dict[bool, Ip] = {}
    for _, prefix in links:
        if prefix.is_v6 in found or prefix.length > (126 if prefix.is_v6 else 30):
            continue
        last = Ip(prefix.network | _LAST) if prefix.is_v6 else Ip(prefix.broadcast - 1)
        while last in own or last not in prefix:
            last = Ip(last - 1)
        found[prefix.is_v6] = last
    return list(found.values())
