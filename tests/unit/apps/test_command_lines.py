"""Lines of commands: what is one, what is none, what is pipelined, and how long anybody waits."""

from collections.abc import Awaitable, Callable

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st
from test_turns import MOST_CALLS, ticking

from pystack.apps import lines as lines_module
from pystack.apps.lines import (
    BadLineError,
    DeafPeerError,
    EndlessLineError,
    LineError,
    LineRules,
    Lines,
    LineTooLongError,
    SilentPeerError,
    split_command,
)
from pystack.core.errors import ConfigError

pytestmark = pytest.mark.trio

STRICT = LineRules(max_bytes=20)
LAX = LineRules(max_bytes=20, lf_ends=True, refused=b"\0")


async def read_all(lines: Lines) -> list[bytes | type[Exception]]:
    """Return every line, and the class of the error for what is none."""
    found: list[bytes | type[Exception]] = []
    while True:
        try:
            line = await lines.next_line(1)
        except LineError as error:
            found.append(type(error))
            continue
        if line is None:
            return found
        found.append(line)


async def lines_of(raw: bytes, rules: LineRules, cut: int = 0) -> list[bytes | type[Exception]]:
    client, server = trio.testing.lockstep_stream_pair()
    found: list[bytes | type[Exception]] = []

    async def send() -> None:
        for part in (raw[:cut], raw[cut:]):
            if part:
                await client.send_all(part)
        await client.aclose()

    async def read() -> None:
        found.extend(await read_all(Lines(server, rules)))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(send)
        nursery.start_soon(read)
    return found


@pytest.mark.parametrize(
    ("raw", "strict", "lax"),
    [
        (b"a\r\n\r\nb c\r\n", [b"a", b"", b"b c"], [b"a", b"", b"b c"]),
        (b"a\nb\r\n", [BadLineError, b"b"], [b"a", b"b"]),
        (b"a\rb\r\nc\r\n", [BadLineError, b"c"], [b"a\rb", b"c"]),
        (b"a\r\r\nc\r\n", [BadLineError, b"c"], [b"a\r", b"c"]),
        (b"a\0\r\nc\r\n", [BadLineError, b"c"], [BadLineError, b"c"]),
        (b"\n\r\n", [BadLineError, b""], [b"", b""]),
        (b"1234567890abcdefgh\r\nc\r\n", [b"1234567890abcdefgh", b"c"], None),
        (b"1234567890abcdefghi\r\nc\r\n", [LineTooLongError, b"c"], None),
        (b"x" * 50_000 + b"\r\nc\r\n", [LineTooLongError, b"c"], None),
        (b"a\r\nno end", [b"a"], None),
        (b"x" * 50, [LineTooLongError], None),
        (b"\xff\r\n", [b"\xff"], None),
    ],
)
async def test_what_is_a_line(
    raw: bytes,
    strict: list[bytes | type[Exception]],
    lax: list[bytes | type[Exception]] | None,
) -> None:
    """Also cut in two anywhere near an end."""
    for cut in {0, 1, 2, 3, 4, 19, 20, 21, len(raw) - 4, len(raw) - 3, len(raw) - 2, len(raw) - 1}:
        assert await lines_of(raw, STRICT, cut) == strict
        assert await lines_of(raw, LAX, cut) == (strict if lax is None else lax)


@given(st.binary(max_size=60), st.integers(0, 60))
async def test_where_the_bytes_are_cut_makes_no_difference(raw: bytes, cut: int) -> None:
    raw = raw.replace(b"\x01", b"\r\n")
    assert await lines_of(raw, STRICT, cut) == await lines_of(raw, STRICT)


async def test_a_line_that_never_ends_is_not_read_for_ever() -> None:
    client, server = trio.testing.memory_stream_pair()
    lines = Lines(server, STRICT)
    await client.send_all(bytes(2 * lines_module.MAX_SKIPPED_BYTES))
    with pytest.raises(EndlessLineError):
        await lines.next_line(1)


async def test_a_line_that_comes_byte_by_byte_has_its_time_and_no_more(
    autojump_clock: trio.testing.MockClock,
) -> None:
    client, server = trio.testing.memory_stream_pair()

    async def trickle() -> None:
        for _ in range(10):
            await client.send_all(b"a")
            await trio.sleep(1)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(trickle)
        with pytest.raises(SilentPeerError):
            await Lines(server, STRICT).next_line(5)
        assert trio.current_time() == 5
        nursery.cancel_scope.cancel()


async def test_replies_to_a_batch_go_out_together() -> None:
    client, server = trio.testing.memory_stream_pair()
    lines = Lines(server, STRICT)
    await client.send_all(b"a\r\nb\r\nc")
    for _ in range(2):
        line = await lines.next_line(1)
        assert line is not None
        await lines.reply(b"200 " + line + b"\r\n")
    with trio.move_on_after(0.01):
        await lines.next_line(1)
    assert await client.receive_some() == b"200 a\r\n200 b\r\n"
    assert lines.take_rest() == b"c"


async def test_what_is_gathered_is_bounded() -> None:
    client, server = trio.testing.memory_stream_pair()
    lines = Lines(server, STRICT)
    await lines.reply(bytes(lines_module.GATHER_BYTES))
    assert len(await client.receive_some()) == lines_module.GATHER_BYTES


async def test_a_peer_that_takes_no_reply_is_given_up(
    autojump_clock: trio.testing.MockClock,
) -> None:
    _, server = trio.testing.lockstep_stream_pair()
    lines = Lines(server, LineRules(send_s=7))
    await lines.reply(b"200\r\n")
    with pytest.raises(DeafPeerError):
        await lines.next_line(100)
    assert trio.current_time() == 7


async def test_nothing_of_a_stream_is_left_for_the_next() -> None:
    client, server = trio.testing.memory_stream_pair()
    safe_client, safe_server = trio.testing.memory_stream_pair()
    lines = Lines(server, STRICT)
    await client.send_all(b"STARTTLS\r\ninjected\r\nin")
    assert await lines.next_line(1) == b"STARTTLS"
    assert lines.take_rest() == b"injected\r\nin"
    assert lines.take_rest() == b""
    lines.change_stream(safe_server)
    await safe_client.send_all(b"jected\r\n")
    assert await lines.next_line(1) == b"jected"


async def test_bytes_may_be_looked_at_between_lines() -> None:
    client, server = trio.testing.memory_stream_pair()
    lines = Lines(server, STRICT)
    await client.send_all(b"DATA\r\nsome\nbytes\r\nNEXT\r\n")
    assert await lines.next_line(1) == b"DATA"
    assert await lines.peek(1) == b"some\nbytes\r\nNEXT\r\n"
    lines.consume(len(b"some\nbytes\r\n"))
    assert await lines.next_line(1) == b"NEXT"
    await client.send_eof()
    assert await lines.peek(1) == b""


async def closes_in_time(act: Callable[[], Awaitable[None]]) -> float:
    """Return how long the ending takes at most, from the server's side."""
    began_at = trio.current_time()
    await act()
    return trio.current_time() - began_at


async def test_the_last_reply_is_seen_though_the_peer_is_still_sending(
    autojump_clock: trio.testing.MockClock,
) -> None:
    client, server = trio.testing.memory_stream_pair()
    lines = Lines(server, STRICT)
    await client.send_all(b"more and more")
    await lines.reply(b"421 no\r\n")
    assert await closes_in_time(lines.finish) == lines_module.LINGER_S
    assert await client.receive_some() == b"421 no\r\n"


async def test_a_peer_that_ends_as_well_is_not_lingered_for(
    autojump_clock: trio.testing.MockClock,
) -> None:
    client, server = trio.testing.memory_stream_pair()
    await client.send_eof()
    assert await closes_in_time(Lines(server, STRICT).finish) == 0
    assert await client.receive_some() == b""


async def test_who_takes_nothing_at_the_end_is_cut(autojump_clock: trio.testing.MockClock) -> None:
    client, server = trio.testing.lockstep_stream_pair()
    lines = Lines(server, STRICT)
    await lines.reply(b"421 no\r\n")
    assert await closes_in_time(lines.finish) == lines_module.LINGER_S
    with pytest.raises((trio.BrokenResourceError, trio.ClosedResourceError)):
        await client.send_all(b"x")


async def test_the_last_word_goes_behind_the_replies_that_were_not_sent() -> None:
    client, server = trio.testing.memory_stream_pair()
    lines = Lines(server, STRICT)
    await lines.reply(b"250 kept\r\n")
    with trio.CancelScope() as scope:
        scope.cancel()
        await lines.last_word(b"421 closing\r\n")
    assert await client.receive_some() == b"250 kept\r\n421 closing\r\n"


@pytest.mark.parametrize("raw", [b"\r\n" * 20_000, b"\n" * 20_000, b"a\r\n" * 12_000])
async def test_however_many_lines_come_at_once_others_run_soon(raw: bytes) -> None:
    client, server = trio.testing.memory_stream_pair()
    await client.send_all(raw)
    await client.aclose()
    async with ticking() as ticker:
        await read_all(Lines(server, STRICT))
    assert ticker.most_calls < MOST_CALLS / 4


async def test_rules_that_no_line_can_keep_are_an_error() -> None:
    with pytest.raises(ConfigError, match="max_bytes is 0"):
        LineRules(max_bytes=0)
    with pytest.raises(ConfigError, match="send_s is -1"):
        LineRules(send_s=-1)


@pytest.mark.parametrize(
    ("line", "command"),
    [
        (b"noop", ("NOOP", b"")),
        (b"mail FROM:<a@b>", ("MAIL", b"FROM:<a@b>")),
        (b"STOR a  b ", ("STOR", b"a  b ")),
        (b"\xc3\xa9 a", ("", b"a")),
        (b"", ("", b"")),
    ],
)
async def test_a_command_is_a_verb_and_what_follows(
    line: bytes, command: tuple[str, bytes]
) -> None:
    assert split_command(line) == command
