"""The control connection: states in one byte, JSON with its length in front, errors by number.

Whatever the other end sends is bounded in size, and raises nothing but `Iperf3Error`.
"""

import json
import math
from enum import IntEnum
from random import Random
from typing import Final

import trio

from pystack.core.errors import PystackError

PORT: Final = 5201
COOKIE_BYTES: Final = 37  # 36 characters and a zero
MAX_PARAMETERS_BYTES: Final = 64 * 1024
MAX_RESULTS_BYTES: Final = 256 * 1024  # of a client: 256 streams, 200 bytes each
MAX_SERVER_RESULTS_BYTES: Final = 4 * 1024 * 1024  # what a server says in words is in there
# JSON of so many commas takes some ms to be read: a megabyte of brackets would take 100
MAX_COMMAS: Final = 25_000
STEP_S: Final = 30.0  # what the other end gets for each step of the conversation

_COOKIE_CHARACTERS: Final = "abcdefghijklmnopqrstuvwxyz234567"
_LENGTH_BYTES: Final = 4


class State(IntEnum):
    """What one end tells the other to be at; the negative ones as a signed byte."""

    TEST_START = 1
    TEST_RUNNING = 2
    TEST_END = 4
    PARAM_EXCHANGE = 9
    CREATE_STREAMS = 10
    SERVER_TERMINATE = 11
    CLIENT_TERMINATE = 12
    EXCHANGE_RESULTS = 13
    DISPLAY_RESULTS = 14
    IPERF_DONE = 16
    ACCESS_DENIED = -1
    SERVER_ERROR = -2


class Problem(IntEnum):
    """Errors by iperf3's numbers: those that a server may tell its client."""

    NUM_STREAMS = 6
    DURATION = 5
    BLOCK_SIZE = 7
    OMIT = 12
    UNIMPLEMENTED = 13
    UDP_BLOCK_SIZE = 20
    REVERSE_BIDIR = 25
    MESSAGE = 110
    RECV_PARAMS = 114
    RECV_RESULTS = 117
    CLIENT_TERMINATED = 119
    SERVER_TERMINATED = 120
    ACCESS_DENIED = 121
    STREAM_ID = 205


_SENTENCES: Final = {
    Problem.NUM_STREAMS: "number of parallel streams too large",
    Problem.DURATION: "test duration too long",
    Problem.BLOCK_SIZE: "block size too large or too small",
    Problem.OMIT: "bogus value for --omit",
    Problem.UNIMPLEMENTED: "an option that is not implemented here",
    Problem.UDP_BLOCK_SIZE: "block size invalid",
    Problem.REVERSE_BIDIR: "cannot be both reverse and bidirectional",
    Problem.MESSAGE: "received an unknown control message",
    Problem.RECV_PARAMS: "unable to receive parameters from client",
    Problem.RECV_RESULTS: "unable to receive results",
    Problem.CLIENT_TERMINATED: "the client has terminated",
    Problem.SERVER_TERMINATED: "the server has terminated",
    Problem.ACCESS_DENIED: "the server is busy running a test. try again later",
    Problem.STREAM_ID: "stream number not known to both ends",
}


class Iperf3Error(PystackError):
    """A test that could not be carried out."""

    def __init__(self, problem: int, detail: str = "") -> None:
        sentence = _SENTENCES[Problem(problem)] if problem in _SENTENCES else f"error {problem}"
        super().__init__(f"{sentence}: {detail}" if detail else sentence)
        self.problem = problem


class GoneError(Iperf3Error):
    """The other end has reset the connection, or is not there any more."""

    def __init__(self, error: trio.BrokenResourceError) -> None:
        super().__init__(Problem.MESSAGE, f"the other end went away: {error}")


def make_cookie(rng: Random) -> bytes:
    """Return a cookie that nobody else has."""
    return "".join(rng.choices(_COOKIE_CHARACTERS, k=COOKIE_BYTES - 1)).encode() + b"\0"


async def read_exactly(stream: trio.abc.ReceiveStream, size_bytes: int) -> bytes:
    """Return so many bytes. Iperf3Error: the other end hung up before, or is gone."""
    data = bytearray()
    while len(data) < size_bytes:
        try:
            more = await stream.receive_some(size_bytes - len(data))
        except trio.BrokenResourceError as error:
            raise GoneError(error) from error
        if not more:
            raise Iperf3Error(Problem.MESSAGE, "the other end hung up")
        data += more
    return bytes(data)


async def send_state(stream: trio.abc.SendStream, state: State) -> None:
    """Tell the other end. Iperf3Error: it is gone."""
    await _send(stream, int(state).to_bytes(1, "big", signed=True))


async def receive_state(stream: trio.abc.ReceiveStream) -> State:
    """Return what the other end says. Iperf3Error: an error of its, or nothing that is known."""
    number = int.from_bytes(await read_exactly(stream, 1), "big", signed=True)
    try:
        state = State(number)
    except ValueError:
        raise Iperf3Error(Problem.MESSAGE, f"state {number}") from None
    if state is State.ACCESS_DENIED:
        raise Iperf3Error(Problem.ACCESS_DENIED)
    if state is State.SERVER_TERMINATE:
        raise Iperf3Error(Problem.SERVER_TERMINATED)
    if state is State.SERVER_ERROR:
        numbers = await read_exactly(stream, 8)  # its own, and the system's errno
        raise Iperf3Error(int.from_bytes(numbers[:4], "big"))
    return state


async def expect_state(stream: trio.abc.ReceiveStream, expected: State) -> None:
    """Wait for the one state that has to come now. Iperf3Error."""
    state = await receive_state(stream)
    if state is not expected:
        raise Iperf3Error(Problem.MESSAGE, f"{state.name} where {expected.name} was due")


async def send_error(stream: trio.abc.SendStream, problem: int) -> None:
    """Tell a client why there will be no test."""
    state = int(State.SERVER_ERROR).to_bytes(1, "big", signed=True)
    await _send(stream, state + problem.to_bytes(4, "big") + bytes(4))


async def send_json(stream: trio.abc.SendStream, value: dict[str, object]) -> None:
    """Send an object."""
    data = json.dumps(value, separators=(",", ":")).encode()
    await _send(stream, len(data).to_bytes(_LENGTH_BYTES, "big") + data)


async def receive_json(
    stream: trio.abc.ReceiveStream, max_bytes: int, problem: Problem
) -> dict[str, object]:
    """Return the object that the other end sends. Iperf3Error (of the kind of `problem`)."""
    size_bytes = int.from_bytes(await read_exactly(stream, _LENGTH_BYTES), "big")
    if not 0 < size_bytes <= max_bytes:
        raise Iperf3Error(problem, f"{size_bytes} bytes of JSON")
    try:
        data = await read_exactly(stream, size_bytes)
        value = json.loads(data) if data.count(b",") <= MAX_COMMAS else None
    except (ValueError, RecursionError):
        raise Iperf3Error(problem, "what came is not JSON") from None
    if not isinstance(value, dict):
        raise Iperf3Error(problem, "what came is not a JSON object")
    return value


async def _send(stream: trio.abc.SendStream, data: bytes) -> None:
    try:
        await stream.send_all(data)
    except trio.BrokenResourceError as error:
        raise GoneError(error) from error


def number_in(value: dict[str, object], name: str, problem: Problem, default: float = 0.0) -> float:
    """Return a number of an object, the default where there is none. Iperf3Error.

    A negative one may have come through C's unsigned 64-bit integers, as -1 does in iperf3 3.12.
    """
    found = value.get(name, default)
    if isinstance(found, bool):
        found = int(found)
    if not isinstance(found, int | float) or abs(found) > 2**64 or not math.isfinite(found):
        raise Iperf3Error(problem, f"{name} is not a number")
    return found - 2**64 if found >= 2**63 else found


def flag_in(value: dict[str, object], name: str) -> bool:
    """Return whether an object has something that is true, or not 0."""
    found = value.get(name, False)
    return isinstance(found, bool | int | float) and bool(found)
