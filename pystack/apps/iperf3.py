"""The iperf3 service: what `iperf3 -c`, unmodified, measures against.

One test at a time, as `iperf3 -s` does it; whoever comes meanwhile is told so. A client that has
gone ends its test at once, and one that is silent gives way to the next that comes. The first
connection is the control connection; those that begin with its cookie carry the data. Over UDP a
stream is opened by a datagram, which has no cookie: it must come from the address that the test is
with.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

import trio

from pystack.apps.base import SendingSocket, Service
from pystack.apps.options import ServiceOptions
from pystack.core.counters import Counters
from pystack.runtime.iperf3 import datagrams, protocol, text
from pystack.runtime.iperf3.client import directions
from pystack.runtime.iperf3.flows import Flow, Quota, TcpFlow, UdpFlow
from pystack.runtime.iperf3.meter import Interval, Meter
from pystack.runtime.iperf3.parameters import MAX_TIME_S, Parameters
from pystack.runtime.iperf3.protocol import Iperf3Error, Problem, State
from pystack.runtime.iperf3.results import EndResult, stream_number
from pystack.runtime.streams import TcpStream

# So long may nothing move on any stream, and so much longer may a test take than it said.
STALL_S: Final = 60.0
MAX_OUTPUT_LINES: Final = 5000
INTERVAL_S: Final = 1.0
# For so long nothing may have been heard of a client when another comes; more than any round trip
SILENCE_S: Final = 5.0
_LOOK_S: Final = 1.0

_log: Final = logging.getLogger("pystack.apps")


class Iperf3(Service):
    """Serves tests, one after the other."""

    name: Final = "iperf3"
    tcp_port: Final = protocol.PORT
    udp_port: Final = protocol.PORT

    def __init__(self, _options: ServiceOptions) -> None:
        # iperf3_tests, iperf3_busy, iperf3_failed; iperf3_stray: datagrams of no test
        self.counters = Counters()
        self._test: _Test | None = None  # None: nobody is measuring
        self._socket: SendingSocket | None = None  # None: there is no UDP side

    def use_socket(self, socket: SendingSocket) -> None:
        """Take the socket that tests over UDP send by."""
        self._socket = socket

    async def handle_tcp(self, stream: trio.abc.HalfCloseableStream) -> None:
        """Be a test's control connection, or one of its streams."""
        if not isinstance(stream, TcpStream):
            raise TypeError("iperf3 looks at the connection below the stream")
        try:
            with _step(Problem.MESSAGE):
                cookie = await protocol.read_exactly(stream, protocol.COOKIE_BYTES)
            while (test := self._test) is not None:
                if await test.joined(stream, cookie):
                    return
                if not test.gives_way():
                    self.counters.add("iperf3_busy")
                    await protocol.send_state(stream, State.ACCESS_DENIED)
                    return
                await test.over.wait()
            await self._serve(_Test(stream, cookie, self._socket))
        except Iperf3Error as error:
            self.counters.add("iperf3_failed")
            _log.info("iperf3: %s port %d: %s", *stream.remote_address, error)

    async def _serve(self, test: _Test) -> None:
        self._test = test
        self.counters.add("iperf3_tests")
        try:
            await test.run()
        finally:
            self._test = None
            test.close()

    def answer_udp(self, payload: bytes, peer: tuple[str, int], now: float) -> bytes | None:
        """Give a datagram to its stream, or open one."""
        test = self._test
        if test is not None:
            flow = test.by_peer.get(peer)
            if flow is not None and len(payload) > len(datagrams.CONNECT):
                flow.datagram(payload, now)
                return None
            answer = datagrams.reply_to(payload)
            if answer is not None and (flow is not None or test.opened_udp(peer)):
                return answer
        self.counters.add("iperf3_stray")
        return None


class _Test:
    """One test, from the first byte after the cookie on."""

    def __init__(self, control: TcpStream, cookie: bytes, socket: SendingSocket | None) -> None:
        self.by_peer: dict[tuple[str, int], UdpFlow] = {}
        self._control = control
        self._cookie = cookie
        self._socket = socket
        self._parameters: Parameters | None = None  # None: not known yet
        self._flows: list[Flow] = []
        self._directions: list[bool] = []  # of the streams: True where the client sends
        self._changed = trio.Event()
        self.over = trio.Event()
        self._heard_at = trio.current_time()  # of the client, last
        self._scope = trio.CancelScope()
        self._lines: list[str] = []

    async def run(self) -> None:
        """Lead the client through the test. Raises Iperf3Error."""
        with self._scope:
            await self._run()
        if self._scope.cancelled_caught:
            await protocol.send_state(self._control, State.SERVER_TERMINATE)
            raise Iperf3Error(Problem.MESSAGE, "the client was silent, and another has come")

    def gives_way(self) -> bool:
        """End the test if nothing was heard of its client for a while; False: it goes on."""
        if trio.current_time() - self._heard_at < SILENCE_S:
            return False
        self._scope.cancel()
        return True

    async def _run(self) -> None:
        control = self._control
        with _step(Problem.RECV_PARAMS):
            await protocol.send_state(control, State.PARAM_EXCHANGE)
            parameters = await self._take_parameters()
        with _step(Problem.MESSAGE):
            await protocol.send_state(control, State.CREATE_STREAMS)
            await self._take_streams()
        await protocol.send_state(control, State.TEST_START)
        self._say("Accepted connection from {}, port {}".format(*control.remote_address))
        for flow in self._flows:
            self._say(text.connected(flow))
        self._say(text.interval_head(parameters, sends=not self._directions[0]))

        def tell(interval: Interval) -> None:
            for line in text.interval_lines(
                parameters, self._flows, interval, "S", is_first=interval is meter.intervals[0]
            ):
                self._say(line)

        await protocol.send_state(control, State.TEST_RUNNING)
        meter = Meter(self._flows, INTERVAL_S, parameters.omit_s, tell)
        await self._transfer(parameters, meter)
        with _step(Problem.RECV_RESULTS):
            await self._exchange(parameters, meter)

    def close(self) -> None:
        """Let the streams go."""
        for flow in self._flows:
            flow.close()
        self.over.set()

    async def joined(self, stream: TcpStream, cookie: bytes) -> bool:
        """Be a stream of this test until its end; False: it is none of its streams."""
        parameters = self._parameters
        if parameters is None or parameters.udp or cookie != self._cookie:
            return False
        if len(self._flows) == len(self._directions):
            return False
        stream.set_no_delay(no_delay=parameters.no_delay)
        index = len(self._flows)
        sends = not self._directions[index]
        self._add(TcpFlow(stream, stream_number(index), parameters, sends=sends))
        await self.over.wait()
        return True

    def opened_udp(self, peer: tuple[str, int]) -> bool:
        """Accept a connection as a stream of this test; False: it does not belong to it."""
        parameters, socket = self._parameters, self._socket
        if parameters is None or not parameters.udp or socket is None:
            return False
        if peer[0] != self._control.remote_address[0] or len(self._flows) == len(self._directions):
            return False
        index = len(self._flows)
        flow = UdpFlow(
            lambda burst: socket.send_many_to_nowait(burst, peer),
            None,
            lambda: None,
            stream_number(index),
            parameters,
            sends=not self._directions[index],
            local=(self._control.local_address[0], protocol.PORT),
            remote=peer,
        )
        self.by_peer[peer] = flow
        self._add(flow)
        return True

    def _add(self, flow: Flow) -> None:
        self._flows.append(flow)
        self._heard_at = trio.current_time()
        self._changed.set()
        self._changed = trio.Event()

    async def _take_streams(self) -> None:
        """Wait until the client has opened all of them. Iperf3Error: it has something to say."""
        problem: Iperf3Error | None = None
        async with trio.open_nursery() as nursery:

            async def listen() -> None:
                nonlocal problem
                problem = await self._heard()
                nursery.cancel_scope.cancel()

            nursery.start_soon(listen)
            while len(self._flows) < len(self._directions):
                await self._changed.wait()
            nursery.cancel_scope.cancel()
        if problem is not None:
            raise problem

    async def _heard(self) -> Iperf3Error:
        """Return what the client says where it should say nothing, in words."""
        try:
            state = await protocol.receive_state(self._control)
        except Iperf3Error as error:
            return error
        if state is State.CLIENT_TERMINATE:
            return Iperf3Error(Problem.CLIENT_TERMINATED)
        return Iperf3Error(Problem.MESSAGE, f"{state.name} before the test")

    async def _take_parameters(self) -> Parameters:
        try:
            value = await protocol.receive_json(
                self._control, protocol.MAX_PARAMETERS_BYTES, Problem.RECV_PARAMS
            )
            parameters = Parameters.parse(value)
            if parameters.udp and self._socket is None:
                raise Iperf3Error(Problem.UNIMPLEMENTED, "there is no UDP side")
        except Iperf3Error as error:
            await protocol.send_error(self._control, error.problem)
            raise
        self._heard_at = trio.current_time()
        self._directions = directions(parameters)
        self._parameters = parameters
        return parameters

    async def _transfer(self, parameters: Parameters, meter: Meter) -> None:
        """Fill and drain the streams until the client says that it is over."""
        problem: Iperf3Error | None = None
        quota = Quota(parameters)
        async with trio.open_nursery() as nursery:

            async def watch() -> None:
                nonlocal problem
                problem = await self._stalled(parameters)
                nursery.cancel_scope.cancel()

            nursery.start_soon(watch)
            nursery.start_soon(meter.run)
            for flow in self._flows:
                nursery.start_soon(_run_flow, flow, quota)
            try:
                await self._hear_the_end()
            except Iperf3Error as error:
                problem = error
            nursery.cancel_scope.cancel()
        if problem is not None:
            raise problem

    async def _hear_the_end(self) -> None:
        state = await protocol.receive_state(self._control)
        if state is State.CLIENT_TERMINATE:
            raise Iperf3Error(Problem.CLIENT_TERMINATED)
        if state is not State.TEST_END:
            raise Iperf3Error(Problem.MESSAGE, f"{state.name} in the middle of a test")

    async def _stalled(self, parameters: Parameters) -> Iperf3Error:
        """Return when nothing moves any more, or when the test should long be over."""
        is_timed = parameters.time_s and not parameters.has_amount
        time_s = parameters.time_s if is_timed else MAX_TIME_S
        with trio.move_on_after(parameters.omit_s + time_s + STALL_S):
            before = -1
            while True:
                moved = sum(flow.count().total_bytes for flow in self._flows)
                if moved != before:
                    before, self._heard_at = moved, trio.current_time()
                elif trio.current_time() - self._heard_at >= STALL_S:
                    break
                await trio.sleep(_LOOK_S)
        return Iperf3Error(Problem.DURATION, "the client does not end its test")

    async def _exchange(self, parameters: Parameters, meter: Meter) -> None:
        """Hear what the client has counted, tell what was counted here, and part."""
        control = self._control
        streams = meter.finish()
        # Before anything else is said: iperf3's client reads whole blocks, or to the end of data.
        for flow in self._flows:
            flow.close()
        await protocol.send_state(control, State.EXCHANGE_RESULTS)
        value = await protocol.receive_json(
            control, protocol.MAX_RESULTS_BYTES, Problem.RECV_RESULTS
        )
        EndResult.parse(value, [stream.number for stream in streams])
        self._say(text.RULE)
        self._say(text.summary_head(parameters))
        for line in text.summary_lines(parameters, self._flows, streams, None, "S"):
            self._say(line)
        tcp = next((flow for flow in self._flows if isinstance(flow, TcpFlow)), None)
        end = EndResult(
            streams=streams,
            has_retransmits=tcp is not None and any(flow.sends for flow in self._flows),
            congestion="" if tcp is None else tcp.stream.info().congestion,
            output="\n".join([*self._lines, ""]) if parameters.server_output else "",
        )
        await protocol.send_json(control, end.pack())
        await protocol.send_state(control, State.DISPLAY_RESULTS)
        with suppress(Iperf3Error):  # a client that hangs up instead has got all the same
            await protocol.expect_state(control, State.IPERF_DONE)

    def _say(self, line: str) -> None:
        _log.info("%s", line)
        if len(self._lines) < MAX_OUTPUT_LINES:
            self._lines.append(line)


async def _run_flow(flow: Flow, quota: Quota) -> None:
    """Fill or drain one stream; that it breaks is for the control connection to explain."""
    with suppress(trio.BrokenResourceError, trio.ClosedResourceError, OSError):
        await flow.run(quota)


@contextmanager
def _step(problem: Problem) -> Iterator[None]:
    """Give the client a bounded time. What it does not do by then is an Iperf3Error."""
    try:
        with trio.fail_after(protocol.STEP_S):
            yield
    except trio.TooSlowError:
        raise Iperf3Error(problem, "the client says nothing") from None
