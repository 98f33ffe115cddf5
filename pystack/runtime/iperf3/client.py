"""The client: a test against any iperf3 server, `iperf3 -s` on the machine or one of ours.

    result = await host.iperf3("server", reverse=True, time_s=3)

In virtual time the figures are the same in every run with the same seed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final, Unpack

import trio

from pystack.core.errors import ConfigError
from pystack.runtime.iperf3 import datagrams, protocol, text
from pystack.runtime.iperf3.flows import Flow, Quota, TcpFlow, UdpFlow
from pystack.runtime.iperf3.meter import Interval, Meter
from pystack.runtime.iperf3.parameters import Iperf3Words, Parameters, checked
from pystack.runtime.iperf3.protocol import Iperf3Error, Problem, State
from pystack.runtime.iperf3.results import EndResult, StreamResult, stream_number

if TYPE_CHECKING:
    from pystack.runtime.host import Host
    from pystack.runtime.streams import TcpStream

_REPLY_S: Final = 1.0  # for the answer to a datagram that opens a stream; then it is sent again
_REPLY_TRIES: Final = 5
_PARTING_S: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Iperf3Result:
    """What a test has found. The rates are of all streams together, in bits per second."""

    parameters: Parameters
    flows: Sequence[Flow]
    intervals: Sequence[Interval]  # as seen by the client
    here: EndResult  # the client's
    there: EndResult  # the server's

    def _streams(self, *, of_sender: bool, up: bool) -> list[StreamResult]:
        """Return what the senders, or the receivers, of one direction have counted."""
        end = self.here if of_sender is up else self.there
        pairs = zip(self.flows, end.streams, strict=True)
        return [stream for flow, stream in pairs if flow.sends is up]

    def _total(self, *, of_sender: bool, up: bool | None = None) -> StreamResult:
        if up is None:  # the one direction that there is; of two, the one from the client
            up = not self.parameters.reverse
        return text.summed(self._streams(of_sender=of_sender, up=up))

    @property
    def sent(self) -> StreamResult:
        """Return all streams of the test's direction together, as their sender counts them.

        With `bidirectional`: of the direction from the client. See `sent_back`.
        """
        return self._total(of_sender=True)

    @property
    def received(self) -> StreamResult:
        """Return the same as their receiver counts them: bytes, jitter, lost datagrams."""
        return self._total(of_sender=False)

    @property
    def sent_back(self) -> StreamResult:
        """Return the direction from the server, of a bidirectional test, as the server counts."""
        return self._total(of_sender=True, up=False)

    @property
    def received_back(self) -> StreamResult:
        """Return the same as the client counts it."""
        return self._total(of_sender=False, up=False)

    def lines(self) -> list[str]:
        """Return the summary as iperf3 prints it."""
        here, there = self.here.streams, self.there.streams
        lines = [text.RULE, text.summary_head(self.parameters)]
        lines += text.summary_lines(self.parameters, self.flows, here, there, "C")
        if self.there.output:
            lines += ["", "Server output:", *self.there.output.splitlines()]
        return [*lines, "", "iperf Done."]

    def __str__(self) -> str:
        """Return the summary as iperf3 prints it."""
        return "\n".join(self.lines())


async def iperf3(
    host: Host,
    server: str,
    port: int,
    interval_s: float,
    on_line: Callable[[str], None] | None,  # None: nobody reads along
    **words: Unpack[Iperf3Words],
) -> Iperf3Result:
    """Run a test. See `Host.iperf3`."""
    parameters = checked(**words)
    if interval_s <= 0:
        raise ConfigError(f"iperf3: an interval of {interval_s:g} s is none")
    say = on_line or (lambda _line: None)
    async with AsyncExitStack() as until:
        control = await until.enter_async_context(await host.open_tcp_stream(server, port))
        cookie = protocol.make_cookie(host.stack.rng)
        try:
            with trio.fail_after(protocol.STEP_S):
                await control.send_all(cookie)
                await protocol.expect_state(control, State.PARAM_EXCHANGE)
                await protocol.send_json(control, parameters.pack())
                await protocol.expect_state(control, State.CREATE_STREAMS)
            flows: list[Flow] = []
            until.callback(_close_all, flows)
            say(f"Connecting to host {server}, port {port}")
            ends = control.local_address[0], control.remote_address
            for index, sends in enumerate(directions(parameters)):
                number = stream_number(index)
                opening = _open_udp if parameters.udp else partial(_open_tcp, cookie=cookie)
                flows.append(await opening(host, ends, number, parameters, sends=sends))
                say(text.connected(flows[-1]))
            return await _run(control, parameters, flows, interval_s, say)
        except trio.TooSlowError:
            raise Iperf3Error(Problem.MESSAGE, "the server says nothing") from None
        except (trio.BrokenResourceError, trio.ClosedResourceError, protocol.GoneError) as error:
            raise Iperf3Error(Problem.SERVER_TERMINATED, str(error)) from error


def _close_all(flows: Sequence[Flow]) -> None:
    for flow in flows:
        flow.close()


def directions(parameters: Parameters) -> list[bool]:
    """Return for each stream, in the order in which they are opened, whether the client sends."""
    if parameters.bidirectional:
        return [True] * parameters.parallel + [False] * parameters.parallel
    return [not parameters.reverse] * parameters.parallel


async def _open_tcp(
    host: Host,
    ends: tuple[str, tuple[str, int]],  # this host's address, the server's and its port
    number: int,
    parameters: Parameters,
    *,
    sends: bool,
    cookie: bytes,
) -> Flow:
    stream = await host.open_tcp_stream(*ends[1])
    stream.set_no_delay(no_delay=parameters.no_delay)
    await stream.send_all(cookie)
    return TcpFlow(stream, number, parameters, sends=sends)


async def _open_udp(
    host: Host,
    ends: tuple[str, tuple[str, int]],  # this host's address, the server's and its port
    number: int,
    parameters: Parameters,
    *,
    sends: bool,
) -> Flow:
    """Open a stream: one datagram to the server, one back. Either may be lost."""
    local, server = ends
    socket = await host.open_udp_socket()
    socket.connect(server)

    async def receive() -> bytes:
        return (await socket.receive_from())[0]

    for _ in range(_REPLY_TRIES):
        await socket.send(datagrams.CONNECT)
        with trio.move_on_after(_REPLY_S):
            # In a test from the server, another stream's first data may come in between.
            while not datagrams.is_reply(await receive()):
                pass
            return UdpFlow(
                lambda burst: socket.send_many_to_nowait(burst, server),
                receive,
                socket.close,
                number,
                parameters,
                sends=sends,
                local=(local, socket.address[1]),
                remote=server,
            )
    socket.close()
    raise Iperf3Error(Problem.MESSAGE, "no answer to what opens a stream over UDP")


async def _run(
    control: TcpStream,
    parameters: Parameters,
    flows: Sequence[Flow],
    interval_s: float,
    on_line: Callable[[str], None],
) -> Iperf3Result:
    with trio.fail_after(protocol.STEP_S):
        await protocol.expect_state(control, State.TEST_START)
        await protocol.expect_state(control, State.TEST_RUNNING)
    on_line(text.interval_head(parameters, sends=not parameters.reverse))

    def tell(interval: Interval) -> None:
        for line in text.interval_lines(
            parameters, flows, interval, "C", is_first=interval is meter.intervals[0]
        ):
            on_line(line)

    meter = Meter(flows, interval_s, parameters.omit_s, tell)
    await _transfer(control, parameters, flows, meter)
    counted = meter.finish()
    congestion = next((f.stream.info().congestion for f in flows if isinstance(f, TcpFlow)), "")
    here = EndResult(
        streams=counted,
        has_retransmits=not parameters.udp and any(flow.sends for flow in flows),
        congestion=congestion,
    )
    there = await _exchange(control, parameters, here)
    result = Iperf3Result(
        parameters=parameters, flows=flows, intervals=meter.intervals, here=here, there=there
    )
    for line in result.lines():
        on_line(line)
    return result


async def _transfer(
    control: TcpStream, parameters: Parameters, flows: Sequence[Flow], meter: Meter
) -> None:
    """Fill and drain the streams until the test is over, or the server says that it is."""
    quota = Quota(parameters)
    problem: Iperf3Error | None = None
    async with trio.open_nursery() as nursery:

        async def listen() -> None:
            nonlocal problem
            try:
                state = await protocol.receive_state(control)
                problem = Iperf3Error(Problem.MESSAGE, f"{state.name} in the middle of a test")
            except Iperf3Error as error:
                problem = error
            nursery.cancel_scope.cancel()

        async def run(flow: Flow) -> None:
            nonlocal problem
            try:
                await flow.run(quota)
            except (trio.BrokenResourceError, OSError) as error:
                problem = problem or Iperf3Error(Problem.SERVER_TERMINATED, str(error))
                nursery.cancel_scope.cancel()

        async def until_time() -> None:
            await trio.sleep(parameters.omit_s + parameters.time_s)
            nursery.cancel_scope.cancel()

        async def until_amount() -> None:
            senders = [flow for flow in flows if flow.sends]
            if senders:
                async with trio.open_nursery() as sending:
                    for flow in senders:
                        sending.start_soon(run, flow)
            else:
                await quota.received.wait()
            nursery.cancel_scope.cancel()

        nursery.start_soon(listen)
        nursery.start_soon(meter.run)
        if parameters.time_s and not parameters.has_amount:
            nursery.start_soon(until_time)
            running = flows
        else:
            nursery.start_soon(until_amount)
            running = [flow for flow in flows if not flow.sends]
        for flow in running:
            nursery.start_soon(run, flow)
    if problem is not None:
        raise problem


async def _exchange(control: TcpStream, parameters: Parameters, here: EndResult) -> EndResult:
    """End the test, tell the server what was counted here, and hear what was counted there."""
    with trio.fail_after(protocol.STEP_S):
        await protocol.send_state(control, State.TEST_END)
        await protocol.expect_state(control, State.EXCHANGE_RESULTS)
        await protocol.send_json(control, here.pack())
        value = await protocol.receive_json(
            control, protocol.MAX_SERVER_RESULTS_BYTES, Problem.RECV_RESULTS
        )
        there = EndResult.parse(value, [stream.number for stream in here.streams])
        await protocol.expect_state(control, State.DISPLAY_RESULTS)
        await protocol.send_state(control, State.IPERF_DONE)
    # A server is ready for the next test when it has closed this one.
    with trio.move_on_after(_PARTING_S):
        await control.receive_some()
    return there
