"""What iperf3's two ends tell each other: parameters, results, JSON and states."""

import json
import struct
from contextlib import suppress

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from pystack.core.errors import ConfigError
from pystack.runtime.iperf3 import protocol
from pystack.runtime.iperf3.parameters import Parameters, checked
from pystack.runtime.iperf3.protocol import Iperf3Error, Problem, State
from pystack.runtime.iperf3.results import EndResult, StreamResult, stream_number

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=10,
)
# As iperf3 3.12 sends it for `-c HOST -t 1 -R -P 2 --get-server-output`
OF_312 = (
    '{"tcp":true,"omit":0,"time":1,"num":0,"blockcount":0,"parallel":2,"reverse":true,'
    '"len":131072,"pacing_timer":1000,"get_server_output":1,"client_version":"3.12"}'
)


def test_the_parameters_of_a_client_are_understood() -> None:
    parameters = Parameters.parse(json.loads(OF_312))
    assert parameters == Parameters(
        reverse=True, parallel=2, time_s=1, server_output=True, counters_64bit=False, bitrate_bps=0
    )
    assert parameters.block_bytes == 131072


@pytest.mark.parametrize(
    "parameters",
    [
        Parameters(),
        Parameters(udp=True, bidirectional=True, bitrate_bps=5_000_000, title="a test"),
        Parameters(time_s=0, total_bytes=2**40, reverse=True, no_delay=True, omit_s=3),
        Parameters(time_s=0, total_blocks=7, block_bytes=1000, server_output=True),
    ],
)
def test_what_is_packed_is_parsed(parameters: Parameters) -> None:
    again = Parameters.parse(json.loads(json.dumps(parameters.pack())))
    if not parameters.udp:  # counters of datagrams are not spoken of
        again = Parameters.parse({**parameters.pack(), "udp_counters_64bit": 1})
    assert again == parameters


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"parallel": 129}, Problem.NUM_STREAMS),
        ({"parallel": 0}, Problem.NUM_STREAMS),
        ({"parallel": -1}, Problem.NUM_STREAMS),
        ({"time": 86401}, Problem.DURATION),
        ({"omit": 601}, Problem.OMIT),
        ({"len": 2**20 + 1}, Problem.BLOCK_SIZE),
        ({"len": -1}, Problem.BLOCK_SIZE),
        ({"tcp": False, "udp": True, "len": 15}, Problem.UDP_BLOCK_SIZE),
        ({"tcp": False, "udp": True, "len": 65508}, Problem.UDP_BLOCK_SIZE),
        ({"bidirectional": True}, Problem.REVERSE_BIDIR),
        ({"tcp": False, "sctp": True}, Problem.UNIMPLEMENTED),
        ({"num": -5}, Problem.RECV_PARAMS),
        ({"time": "long"}, Problem.RECV_PARAMS),
        ({"time": float("nan")}, Problem.RECV_PARAMS),
        ({"bandwidth": 10**400}, Problem.RECV_PARAMS),
    ],
)
def test_parameters_that_make_no_test_are_refused(
    change: dict[str, object], problem: Problem
) -> None:
    with pytest.raises(Iperf3Error) as caught:
        Parameters.parse({**json.loads(OF_312), **change})
    assert caught.value.problem == problem


@given(st.dictionaries(st.sampled_from([*json.loads(OF_312), "udp", "bandwidth"]), JSON))
def test_any_json_makes_a_test_within_bounds_or_none(value: dict[str, object]) -> None:
    try:
        parameters = Parameters.parse({**json.loads(OF_312), **value})
    except Iperf3Error:
        return
    assert 1 <= parameters.parallel <= 128
    assert 1 <= parameters.block_bytes <= 2**20


def test_a_user_is_told_at_once() -> None:
    with pytest.raises(ConfigError, match="number of parallel streams"):
        checked(parallel=0)


def test_minus_one_through_unsigned_64_bits_is_minus_one() -> None:
    stream = {"id": 1, "bytes": 10, "retransmits": 2**64 - 1, "jitter": 0, "errors": 0}
    value: dict[str, object] = {
        "sender_has_retransmits": 2**64 - 1,
        "streams": [{**stream, "packets": 0, "end_time": 1.5}],
    }
    found = EndResult.parse(value, [1])
    assert found.streams[0].retransmits == -1
    assert not found.has_retransmits
    assert found.streams[0].bitrate_bps == pytest.approx(80 / 1.5)


def test_results_that_are_packed_are_parsed() -> None:
    streams = [
        StreamResult(number=number, total_bytes=number * 10, retransmits=2, end_s=1.0)
        for number in map(stream_number, range(3))
    ]
    assert [stream.number for stream in streams] == [1, 3, 4]
    end = EndResult(streams=streams, has_retransmits=True, congestion="cubic", output="words")
    assert EndResult.parse(json.loads(json.dumps(end.pack())), [1, 3, 4]) == end


@given(JSON, st.lists(JSON, max_size=3))
def test_any_results_are_understood_or_refused(retransmits: object, streams: list[object]) -> None:
    value: dict[str, object] = {"sender_has_retransmits": retransmits, "streams": streams}
    with pytest.raises(Iperf3Error):
        EndResult.parse(value, [1, 3])


def test_results_of_another_stream_are_refused() -> None:
    end = EndResult(streams=[StreamResult(number=2, total_bytes=1)], has_retransmits=False)
    with pytest.raises(Iperf3Error) as caught:
        EndResult.parse(end.pack(), [1])
    assert caught.value.problem == Problem.STREAM_ID


@pytest.mark.parametrize(
    "data",
    [
        struct.pack("!I", 0),
        struct.pack("!I", 2**32 - 1),
        struct.pack("!I", 1001) + b"x" * 1001,
        struct.pack("!I", 5) + b"[1,2]",
        struct.pack("!I", 5) + b"{\xff}  ",
        struct.pack("!I", 900) + b"[" * 900,
        struct.pack("!I", 10) + b"{",
    ],
)
@pytest.mark.trio
async def test_json_that_is_none_is_refused(data: bytes) -> None:
    here, there = trio.testing.memory_stream_pair()
    await there.send_all(data)
    await there.send_eof()
    with pytest.raises(Iperf3Error):
        await protocol.receive_json(here, 1000, Problem.RECV_PARAMS)


@given(st.binary(min_size=1, max_size=20))
def test_any_byte_is_a_state_or_an_error(data: bytes) -> None:
    async def main() -> None:
        here, there = trio.testing.memory_stream_pair()
        await there.send_all(data)
        await there.send_eof()
        with suppress(Iperf3Error):
            assert await protocol.receive_state(here) in State

    trio.run(main)


@pytest.mark.trio
async def test_an_error_of_the_server_says_which() -> None:
    here, there = trio.testing.memory_stream_pair()
    await protocol.send_error(there, Problem.NUM_STREAMS)
    with pytest.raises(Iperf3Error, match="number of parallel streams too large"):
        await protocol.receive_state(here)
    await there.send_all(b"\xfe" + struct.pack("!II", 999, 0))
    with pytest.raises(Iperf3Error, match="error 999"):
        await protocol.receive_state(here)
    await protocol.send_state(there, State.ACCESS_DENIED)
    with pytest.raises(Iperf3Error, match="busy"):
        await protocol.receive_state(here)
