"""One run of one script: event after event, in virtual time."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final

from pystack.testing.packetdrill import calls, checks
from pystack.testing.packetdrill.code import Interpreter
from pystack.testing.packetdrill.compare import belongs_together, compare, joined
from pystack.testing.packetdrill.cookies import keys_of
from pystack.testing.packetdrill.errors import MismatchError
from pystack.testing.packetdrill.files import Outcome, Program, Steps
from pystack.testing.packetdrill.inject import packet_of
from pystack.testing.packetdrill.script import (
    Call,
    Code,
    Command,
    Event,
    Packet,
    Script,
    TcpPart,
    TimeKind,
    When,
)
from pystack.testing.packetdrill.seen import Seen, line_of, seen
from pystack.testing.packetdrill.settings import Settings
from pystack.testing.packetdrill.subject import Subject
from pystack.testing.packetdrill.sysctls import (
    INITIAL,
    Sysctls,
    device_mtus,
    forgets_paths,
    run_command,
)
from pystack.testing.packetdrill.world import START, World

# How long a packet is waited for beyond its time, to tell when it came after all; packets of any
# time, and calls that have to wait, have as long.
PATIENCE_S: Final = 3600.0


@dataclass(slots=True)
class Result:
    """What came of one script."""

    path: str
    problem: str | None = None  # the first line of what went wrong; None: it passed
    line: int = 0
    details: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)  # what was ignored
    trace: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Tell whether the host did all that the script says."""
        return self.problem is None


@dataclass(slots=True)
class _Waiting:
    """A call that has not returned yet."""

    event: Event
    call: Call
    steps: Steps
    until_s: float | None  # when it is to return; None: the script waits for it, however long


class Run:
    """One run of one script."""

    def __init__(self, script: Script, settings: Settings, result: Result) -> None:
        self._script = script
        self._settings = settings
        self._result = result
        self._sysctls = Sysctls(dict(INITIAL))
        self._world = World(settings)
        self._world.on_step = self._step
        self._program = Program(self._world, settings, self._sysctls)
        self._subject = Subject(settings, self._world)
        self._program.on_subject = self._subject.choose
        self._python = Interpreter(script.path)
        self._waiting: _Waiting | None = None
        self._failure: MismatchError | None = None  # in a call, while time ran
        self._before_s = 0.0  # when the event before this one was, for the tolerance

    def play(self) -> None:
        """Go through all events; what goes wrong ends the run and stands in the result."""
        script, result = self._script, self._result
        event: Event | None = None
        try:
            if script.init_command is not None:
                self._command(script.init_command.text, script.init_line)
            for event in script.events:
                result.line = event.line
                self._play(event)
                self._before_s = self._world.elapsed_s
            self._finish()
        except MismatchError as mismatch:
            shown = event.line if event is not None else script.init_line
            result.line = result.line or shown
            result.problem = mismatch.what
            if event is not None and not mismatch.details:
                result.details.append(f"script: {event.source}")
            result.details += mismatch.details
        finally:
            self._world.close()

    def _play(self, event: Event) -> None:
        start_s = self._start_s(event.when)
        match event.action:
            case Packet(inbound=True) as packet:
                self._wait_until(start_s)
                self._inject(packet)
            case Packet() as packet:
                self._expect(event, packet, start_s)
            case Call() as call:
                self._finish_call()
                self._wait_until(start_s)
                self._call(event, call, start_s)
            case Command(text):
                self._wait_until(start_s)
                self._command(text, event.line)
            case Code(text):
                self._wait_until(start_s)
                self._trace("python", text.strip().splitlines()[0] if text.strip() else "")
                self._python.run(text, event, self._subject.connection(), self._world.now)
        self._raise_failure()

    # time

    def _start_s(self, when: When) -> float:
        if when.kind is TimeKind.RELATIVE:
            return self._world.elapsed_s + when.start_s
        return when.start_s

    def _wait_until(self, elapsed_s: float) -> None:
        self._world.run_until(max(elapsed_s, self._world.elapsed_s))
        self._raise_failure()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure

    # packets

    def _inject(self, packet: Packet) -> None:
        flow = self._subject.for_inbound(packet)
        self._trace("inject", line_of(packet))
        self._world.deliver(packet_of(packet, flow))
        self._step()

    def _expect(self, event: Event, packet: Packet, start_s: float) -> None:
        limit_s = max(start_s, self._world.elapsed_s) + PATIENCE_S
        actual = self._next_seen(packet, limit_s)
        shown = checks.shown_line(packet, event.when, start_s)
        if actual is None:
            raise MismatchError("no packet came", f"expected: {shown}", f"script:   {event.source}")
        size = packet.part.size if isinstance(packet.part, TcpPart) else 0
        while not self._settings.strict_segments and 0 < _payload_bytes(actual) < size:
            following = self._peek()
            if following is None or not belongs_together(actual, following):
                break
            self._world.sent.popleft()
            self._trace("sent", checks.shown_seen(following))
            actual = joined(actual, following)
        flow = self._subject.flow
        assert flow is not None
        try:
            patterned = self._program.patterned
            compare(packet, actual, flow, self._settings, patterned=patterned)
            checks.check_time(
                event.when, start_s, actual.at_s, self._before_s, self._settings, "the packet"
            )
        except MismatchError as mismatch:
            details = (
                f"expected: {shown}",
                f"came:     {checks.shown_seen(actual)}",
                f"script:   {event.source}",
            )
            if "packet" not in self._settings.non_fatal:
                raise MismatchError(mismatch.what, *details) from None
            self._result.remarks.append(f"{self._script.path}:{event.line}: {mismatch.what}")

    def _next_seen(self, packet: Packet, limit_s: float) -> Seen | None:
        """Return the next packet of the connection that the line is about."""
        while True:
            sent = self._world.run_to_next_packet(limit_s)
            self._raise_failure()
            if sent is None:
                return None
            flow = self._subject.for_outbound(packet, sent.packet)
            if flow is None:
                self._trace("other", f"{len(sent.packet.raw)} bytes of another connection")
                continue
            actual = seen(sent.packet, flow, sent.at - START)
            self._trace("sent", checks.shown_seen(actual))
            return actual

    def _peek(self) -> Seen | None:
        if not self._world.sent:
            self._world.settle()
        if not self._world.sent or self._subject.flow is None:
            return None
        sent = self._world.sent[0]
        if not self._subject.owns(sent.packet):
            return None
        return seen(sent.packet, self._subject.flow, sent.at - START)

    # calls

    def _call(self, event: Event, call: Call, start_s: float) -> None:
        until_s = None
        if call.end_s is not None:
            relative = event.when.kind is TimeKind.RELATIVE
            base_s = start_s - event.when.start_s if relative else 0.0
            until_s = base_s + call.end_s
        self._trace("call", event.source)
        self._waiting = _Waiting(event, call, calls.start(self._program, call), until_s)
        self._step()
        if until_s is None:
            self._finish_call()
        self._world.settle()

    def _step(self) -> bool:
        """Let the call that waits look whether it can go on."""
        waiting = self._waiting
        if waiting is None:
            return False
        try:
            next(waiting.steps)
        except StopIteration as stop:
            self._waiting = None
            try:
                self._check_call(waiting, stop.value)
            except MismatchError as mismatch:
                self._failure = self._failure or mismatch
        except MismatchError as mismatch:
            self._waiting = None
            self._failure = self._failure or mismatch
        return False

    def _check_call(self, waiting: _Waiting, outcome: Outcome) -> None:
        source = waiting.event.source
        self._trace("return", str(outcome))
        try:
            checks.check_outcome(waiting.call, outcome, self._settings)
            if waiting.until_s is not None:
                checks.check_time(
                    When(TimeKind.ABSOLUTE),
                    waiting.until_s,
                    self._world.elapsed_s,
                    self._before_s,
                    self._settings,
                    f"the return of {waiting.call.name}",
                )
        except MismatchError as mismatch:
            if "syscall" in self._settings.non_fatal:
                line = waiting.event.line
                self._result.remarks.append(f"{self._script.path}:{line}: {mismatch.what}")
                return
            self._result.line = waiting.event.line
            raise MismatchError(mismatch.what, *mismatch.details, f"script: {source}") from None

    def _finish_call(self) -> None:
        """Let time run until the call that waits has returned."""
        waiting = self._waiting
        if waiting is not None:
            until_s = self._world.elapsed_s + PATIENCE_S
            if waiting.until_s is not None:
                until_s = waiting.until_s + PATIENCE_S
            while self._waiting is not None and self._world.scheduler.next_at() < math.inf:
                next_s = self._world.scheduler.next_at() - START
                if next_s > until_s:
                    break
                self._world.run_until(next_s)
        self._raise_failure()
        if self._waiting is not None:
            event = self._waiting.event
            self._result.line = event.line
            self._waiting = None
            raise MismatchError(
                "the call does not return: nothing is to happen that it waits for",
                f"script: {event.source}",
            )

    # the rest

    def _command(self, text: str, line: int) -> None:
        self._trace("shell", text.strip())
        for mtu_bytes in device_mtus(text):
            self._world.set_mtu(mtu_bytes)
        for remark in run_command(text, self._sysctls):
            self._result.remarks.append(f"{self._script.path}:{line}: {remark}")
        cookies = self._world.cookies
        if forgets_paths(text):
            cookies.clear()
        cookies.keys = keys_of(self._sysctls.values.get("tcp_fastopen_key", "")) or cookies.keys

    def _finish(self) -> None:
        self._finish_call()
        self._world.settle()
        if not self._settings.strict:
            return
        flow = self._subject.flow
        left = [sent for sent in self._world.sent if self._subject.owns(sent.packet)]
        if left and flow is not None:
            shown = [checks.shown_seen(seen(one.packet, flow, one.at - START)) for one in left]
            raise MismatchError(
                "sent, and expected by no line", *(f"came:     {line}" for line in shown)
            )

    def _trace(self, what: str, text: str) -> None:
        if self._settings.verbose:
            for line in text.splitlines() or [""]:
                self._result.trace.append(f"{self._world.elapsed_s:12.6f} {what:>7} {line}")


def _payload_bytes(actual: Seen) -> int:
    return actual.part.size if isinstance(actual.part, TcpPart) else 0
