"""Running a lab's file: its network, its timeline and its programs, in real or in virtual time.

A program is an async function `program(host, *args)` in a module beside the file. One that takes
`task_status` is a service, as for `nursery.start`: it runs in the background, and everything else
waits until it has started. The lab ends when all other programs have; without any, it goes on.

What runs on a host when its power goes starts again when the timeline brings that back, services
first, as on a machine that boots.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from subprocess import DEVNULL
from typing import TYPE_CHECKING, Final

import trio

from pystack.core.addresses import format_ip
from pystack.core.errors import ConfigError
from pystack.core.plugins import Chosen
from pystack.core.suggest import counted
from pystack.link.port import Port
from pystack.runtime.device.privileges import as_who_called_sudo
from pystack.runtime.device.tap_device import check_name
from pystack.runtime.driver.exception_groups import unwrapped
from pystack.runtime.driver.signals import ending_signals, signals_heard
from pystack.runtime.driver.virtual import run as run_in_virtual_time
from pystack.runtime.host import Host, Router
from pystack.runtime.lab.attach import Namespace
from pystack.runtime.lab.construct import check_real_time, construct
from pystack.runtime.lab.functions import (
    ProgramError,
    ProgramFn,
    import_programs,
    is_service,
    offered,
)
from pystack.runtime.network import Network
from pystack.runtime.network_link import NetworkLink
from pystack.runtime.ports import PORTS
from pystack.topology.building import turned
from pystack.topology.drawing import tell
from pystack.topology.machines import machine_of, part_of
from pystack.topology.reading import describe
from pystack.topology.spec import (
    EventSpec,
    LabSpec,
    LinkSpec,
    NodeSpec,
    ProgramSpec,
    Words,
)

if TYPE_CHECKING:
    from pystack.runtime.control.control import Control

_STDERR: Final = 2

# Starts the services of a host (`pystack.apps` knows them); they are given by their words, of
# which names of files are relative to the path.
ServeFn = Callable[[Host, Sequence[str | Words], Path, int], Awaitable[None]]

# As for `nursery.start`
BesideFn = Callable[..., Awaitable[None]]

# A program from outside that runs instead of all those of the lab that are to end. Its services are
# there, its timeline happens, and it ends when the guest does.
Guest = Callable[[Network], Awaitable[object]]


@dataclass(frozen=True, slots=True, kw_only=True)
class LabOptions:
    """How a lab is to be run."""

    virtual: bool = False
    machine: str | None = None  # which of the lab's machines this is; None: all of it is here
    for_s: float | None = None  # None: until its programs end, or a signal comes
    seed: int | None = None  # None: the file's; if it has none, a new one
    pcap: str | None = None  # None: no capture
    pcap_ring: str | None = None  # keep the last of so much; None: all, in one file
    pcap_secrets: bool = False  # with what decrypts TLS
    pcap_snaplen: int | None = None  # the most bytes of a frame; None: all of it
    observe: tuple[str, ...] = ()  # observers, besides the file's
    # What is told of a program that failed, after which the others go on; None: it ends the lab.
    on_failure: Callable[[ProgramError], object] | None = None
    guest: Guest | None = None  # None: the lab's own programs run
    beside_guest: bool = False  # they run all the same, and are over when the guest is
    prepare: Guest | None = None  # what is done when all nodes are up, and nothing has begun
    # Runs beside everything, and ends the lab when it returns; None: signals that ask for it do
    watch: Callable[[], Awaitable[object]] | None = None
    # What runs beside the lab and is over with it, started when all services answer: given the
    # network and its control (None: it has none), it starts with a line to be shown.
    beside: BesideFn | None = None
    control: str | None = None  # path of a socket for control, "": the usual one; None: none
    paused: bool = False  # time stands still when the programs begin
    # Is given what tells for how long the programs have run, as `for_s` counts; from any thread
    on_running: Callable[[Callable[[], float]], object] | None = None
    # What programs that are to end are given if they name it, and who is told what they return
    offers: Mapping[str, object] = field(default_factory=dict)
    on_result: Callable[[ProgramSpec, object], object] | None = None


def run_lab(
    spec: LabSpec, options: LabOptions, serve: ServeFn, on_line: Callable[[str], None]
) -> None:
    """Run a lab to its end. `on_line` gets what happens, line by line, `ready:` first.

    Raises ConfigError, DeviceError; ProgramError, also at the end, where a program had failed and
    the others went on; DeadlockError in virtual time.
    """
    lab = _Lab(spec, options, serve, on_line)
    try:
        if options.virtual:
            run_in_virtual_time(lab.run, seed=lab.seed or 0)
        else:
            watch = options.watch
            trio.run(lab.until_signal if watch is None else partial(lab.while_watched, watch))
    except BaseExceptionGroup as group:
        error = unwrapped(group)
    else:
        if lab.failures and options.guest is None:
            raise ProgramError(f"{spec.path}: failed: {', '.join(lab.failures)}")
        return
    raise error


class _Lab:
    """One run of a lab. What can be found wrong before anything happens is found in `__init__`."""

    def __init__(
        self,
        spec: LabSpec,
        options: LabOptions,
        serve: ServeFn,
        on_line: Callable[[str], None],
    ) -> None:
        self._of_all = spec
        self._spec = spec = _part_of(spec, options)  # what is to be seen to here
        self._options = options
        self._serve = serve
        self._on_line = on_line
        self.seed = spec.seed if options.seed is None else options.seed
        self._links: list[tuple[LinkSpec, NetworkLink]] = []
        functions = import_programs(spec)
        self._services = [item for item in functions if is_service(item[2])]
        self._programs = [item for item in functions if not is_service(item[2])]
        self._commands = [
            (node.name, program)
            for node in spec.nodes.values()
            for program in node.programs
            if program.command
        ]
        if options.guest is not None and not options.beside_guest:
            self._programs, self._commands = [], []
        # For each host, one for each time that its power comes back: everything has started again.
        self.failures: list[str] = []  # of those that may not fail, in words
        self._boots: dict[str, list[trio.Event]] = {}
        self._power_ons: Counter[str] = Counter()
        if options.virtual:
            self._check_virtual()

    def _check_virtual(self) -> None:
        check_real_time(self._spec, ports_of(self._spec))
        if self._options.machine is not None:
            raise ConfigError("a lab on several machines lives in real time: no --virtual")
        ends = self._programs or self._options.guest is not None
        if not ends and self._options.for_s is None:
            raise ConfigError(
                f"{self._spec.path} has no program that ends, and in virtual time it would never "
                "end: say how long, with --for"
            )

    async def until_signal(self) -> None:
        """Run in real time, until it ends, or SIGINT, SIGTERM or SIGHUP comes."""
        with signals_heard(ending_signals()) as signals:
            await self.while_watched(aiter(signals).__anext__)

    async def while_watched(self, watch: Callable[[], Awaitable[object]]) -> None:
        """Run in real time, until it ends or `watch` returns."""
        async with trio.open_nursery() as nursery:

            async def see() -> None:
                await watch()
                nursery.cancel_scope.cancel()

            nursery.start_soon(see)
            await self.run()
            nursery.cancel_scope.cancel()

    async def run(self) -> None:
        """Build the network, and run what is on it."""
        async with Network(seed=self.seed, epoch=self._spec.epoch, **self._spec.subnets) as net:
            self._links = construct(net, self._of_all, self._options.machine)
            with as_who_called_sudo():
                if self._options.pcap is not None:
                    net.capture(
                        self._options.pcap,
                        ring=self._options.pcap_ring,
                        secrets=self._options.pcap_secrets,
                        snaplen=self._options.pcap_snaplen,
                    )
                for observer in (*self._spec.observe, *self._options.observe):
                    net.observe(observer, say=self._on_line)
            net.settle()
            for node in self._spec.nodes.values():
                host = net.hosts.get(node.name)
                if node.advertise and isinstance(host, Router):
                    host.advertise()
                if node.autoconfigure and host is not None:
                    host.autoconfigure()
            for node in self._spec.nodes.values():
                await self._start_served(net, node)
            for node in self._spec.nodes.values():
                await self._start_services(net, node)
            for attached in net.attached.values():
                await attached.up()
            if self._options.guest is None:  # it has the floor
                self._tell_ready(net)
            if self._options.prepare is not None:
                await self._options.prepare(net)
            # To bring namespaces up takes a while, in real time: it is not the timeline's.
            origin = net.opened_at if net.driver.is_virtual else net.now()
            for event in self._spec.timeline:
                self._plan(net, event, origin)
            if self._options.on_running is not None:
                self._options.on_running(_stopwatch(net))
            with self._controlled(net) as control:
                await self._start_beside(net, control)
                with trio.move_on_after(
                    float("inf") if self._options.for_s is None else self._options.for_s
                ):
                    await self._run_programs(net)

    @contextmanager
    def _controlled(self, net: Network) -> Iterator[Control | None]:
        """Let it be controlled while its programs run, if that is wanted."""
        if self._options.control is None:
            yield None
            return
        from pystack.runtime.control.control import Control  # few want it
        from pystack.runtime.control.server import offered

        control = Control(net)
        control.world.power_on = partial(self._power_on_by_hand, net)
        if self._options.paused:
            net.pause()
        kind = "exec" if self._options.beside_guest else "lab"
        name = "-".join(dict.fromkeys([kind, Path(self._spec.path).stem]))
        with offered(control, name, self._options.control or None) as path:
            self._on_line(f"control: {path}")
            yield control

    def _power_on_by_hand(self, net: Network, name: str) -> None:
        """Restore a node's power; what it serves is there again, its other programs are not."""
        was_off = name in net.hosts and not net.hosts[name].stack.powered
        net.power_on(name)
        if was_off and self._restarts(name):
            assert net.nursery is not None
            net.nursery.start_soon(self._boot, net, self._spec.nodes[name], trio.Event())

    async def _start_served(self, net: Network, node: NodeSpec) -> None:
        if node.serve:
            folder = Path(self._spec.path).parent
            await self._serve(net.hosts[node.name], node.serve, folder, net.seed)

    async def _start_beside(self, net: Network, control: Control | None) -> None:
        assert net.nursery is not None
        if self._options.beside is not None:
            self._on_line(await net.nursery.start(self._options.beside, net, control))

    async def _start_services(self, net: Network, node: NodeSpec) -> None:
        for name, program, function in self._services:
            if name == node.name:
                host = net.hosts[name]
                await host.start(self._whole(program, function), host)

    async def _boot(self, net: Network, node: NodeSpec, is_up: trio.Event) -> None:
        """Start the services of a host whose power is back, then let its programs go on."""
        try:
            await self._start_served(net, node)
            await self._start_services(net, node)
        except trio.BrokenResourceError:
            if net.hosts[node.name].stack.powered:
                raise
        is_up.set()

    async def _run_programs(self, net: Network) -> None:
        """Run all programs that are to end, to their end; for ever where there are none."""
        guest = self._options.guest
        if guest is not None and not self._options.beside_guest:
            await guest(net)
            return
        if guest is None and not self._programs and not self._commands:
            await trio.sleep_forever()
        async with trio.open_nursery() as nursery:
            for name, program, function in self._programs:
                nursery.start_soon(self._run_program, net.hosts[name], program, function)
            for name, program in self._commands:
                nursery.start_soon(self._run_command, net, name, program)
            if guest is not None:
                await guest(net)
                nursery.cancel_scope.cancel()

    async def _run_program(self, host: Host, program: ProgramSpec, function: ProgramFn) -> None:
        boots = self._boots.get(host.name, [])
        while True:
            try:
                words = offered(function, self._options.offers)
                result = await host.run(partial(self._whole(program, function), host, **words))
                if self._options.on_result is not None:
                    self._options.on_result(program, result)
                return
            except ProgramError as error:
                cause = error.__cause__
                if program.may_fail:
                    what = f"{type(cause).__name__}: {cause}"
                    self._on_line(f"{host.name}: {program.run} failed: {what}")
                elif self._options.on_failure is not None:
                    self._options.on_failure(error)
                    self.failures.append(f"{program.run} on {host.name}")
                else:
                    raise
                return
            except trio.BrokenResourceError:  # its own errors are ProgramErrors: the power went
                self._on_line(f"{host.name} has no power: {program.run} ended")
            # Power may have come back at the same instant, before this task has its turn.
            number = self._power_ons[host.name] - host.stack.powered
            if not 0 <= number < len(boots):  # below: somebody restored it by hand
                return
            await boots[number].wait()

    async def _run_command(self, net: Network, name: str, program: ProgramSpec) -> None:
        namespace = net.attached[name]
        assert isinstance(namespace, Namespace)
        try:
            if self._options.beside_guest:
                # The guest has the terminal, and standard output.
                beside = await namespace.open_process(
                    program.command, stdin=DEVNULL, stdout=_STDERR, own_session=True
                )
                status = await beside.wait()
            else:
                done = await namespace.run(program.command, capture=False, check=False)
                status = done.returncode
        except OSError as error:
            raise ConfigError(
                f"{self._spec.path}:{program.line}: cannot run {program.run}: {error.strerror}"
            ) from None
        if status:
            how = f"status {status}"
            self._on_line(f"{name}: {program.run} ended with {how}")
            if not program.may_fail:
                self.failures.append(f"{program.run} on {name} ({how})")

    def _whole(self, program: ProgramSpec, function: ProgramFn) -> ProgramFn:
        """Return the function with its arguments, and with errors that say whose they are."""

        async def run(host: Host, **words: object) -> object:
            try:
                return await function(host, *program.args, **words)
            except Exception as error:
                if isinstance(error, trio.BrokenResourceError) and not host.stack.powered:
                    raise
                raise self._failed(program, host) from error

        return run

    def _failed(self, program: ProgramSpec, host: Host) -> ProgramError:
        return ProgramError(
            f"{self._spec.path}:{program.line}: the program {program.run} on {host.name} failed"
        )

    def _plan(self, net: Network, event: EventSpec, origin: float) -> None:
        if event.action == "power_on" and event.node in net.hosts and self._restarts(event.node):
            self._boots.setdefault(event.node, []).append(trio.Event())

        def happen() -> None:
            self._on_line(tell(event))
            self._do(net, event)

        net.at(origin + event.at_s, happen)

    def _do(self, net: Network, event: EventSpec) -> None:
        """Let one entry of the timeline happen."""
        match event.action:
            case "partition":
                net.partition(*event.groups, **event.words)  # type: ignore[arg-type]
            case "heal":
                net.heal()
            case "power_off":
                assert event.node is not None
                net.power_off(event.node, **event.words)  # type: ignore[arg-type]
            case "power_on":
                assert event.node is not None
                self._power_on(net, event.node)
            case _:
                assert event.link is not None
                for spec, link in self._links:
                    if {spec.a, spec.b} == set(event.link):
                        is_turned = event.link[0] != spec.a
                        if event.action == "set":
                            link.set(**turned(event.words, is_turned=is_turned))  # type: ignore[arg-type]
                        else:
                            direction = event.direction and next(
                                iter(turned({event.direction: None}, is_turned=is_turned))
                            )
                            getattr(link, event.action)(direction)

    def _power_on(self, net: Network, name: str) -> None:
        was_off = name in net.hosts and not net.hosts[name].stack.powered
        net.power_on(name)
        if name in self._boots:
            is_up = self._boots[name][self._power_ons[name]]
            self._power_ons[name] += 1
            if was_off:
                assert net.nursery is not None
                net.nursery.start_soon(self._boot, net, self._spec.nodes[name], is_up)
            else:
                is_up.set()

    def _restarts(self, name: str) -> bool:
        return self._spec.nodes[name].restart

    def _tell_ready(self, net: Network) -> None:
        how = "virtual time" if self._options.virtual else "real time"
        nodes = counted(len(self._spec.nodes), "node")
        links = counted(len(self._spec.links), "link")
        self._on_line(f"ready: {self._spec.path}: {nodes}, {links}, seed {net.seed}, {how}")
        for node in net.topology.nodes.values():
            if given := node.given:
                addresses = " ".join(
                    f"{format_ip(address)}/{prefix.length}" for address, prefix in given
                )
                machine = machine_of(self._spec.machines, node.name)
                is_here = node.name in self._spec.nodes
                self._on_line(f"  {node.name} {addresses}{'' if is_here else f' (on {machine})'}")


def _part_of(spec: LabSpec, options: LabOptions) -> LabSpec:
    """Return what of a lab is to be seen to here. Raises ConfigError."""
    if options.machine is None:
        return spec
    if spec.seed is None and options.seed is None:
        raise ConfigError(
            f"{spec.path} has no seed, and all machines need the same, for MAC addresses come from "
            "it: say seed = 7 there, or --seed"
        )
    return part_of(spec, options.machine)


def _stopwatch(net: Network) -> Callable[[], float]:
    """Return what tells for how long it has run from now on, in virtual or in the machine's time.

    The network's own clock is for its own thread.
    """
    if net.driver.is_virtual:
        began_at, scheduler = net.now(), net.driver.scheduler
        return lambda: scheduler.now - began_at
    began_at = time.perf_counter()
    return lambda: time.perf_counter() - began_at


def check_devices(spec: LabSpec) -> None:
    """Raise ConfigError for interfaces that no device can be called after."""
    for node in spec.nodes.values():
        if node.kind == "tap":
            try:
                check_name(node.name)
            except ConfigError as error:
                raise ConfigError(f"{spec.path}:{node.line}: {error}") from None


def ports_of(spec: LabSpec) -> dict[str, Chosen[Port]]:
    """Return what is inside of each port node. Raises ConfigError."""
    found: dict[str, Chosen[Port]] = {}
    for node in spec.nodes.values():
        if node.kind == "port":
            words = node.words["port"]
            try:
                if not isinstance(words, str | Mapping):
                    raise ConfigError(f"port must be a text or a table, not {describe(words)}")
                found[node.name] = PORTS.read(words)
            except ConfigError as error:
                raise ConfigError(f"{spec.path}:{node.line}: {node.name}: {error}") from None
    return found
