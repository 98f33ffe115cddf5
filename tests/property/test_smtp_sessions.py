"""Whatever an SMTP client sends, in whatever pieces: proper replies, and no message made up."""

import re
from contextlib import suppress

import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from pystack.apps.options import ServiceOptions
from pystack.apps.smtp import Message, SmtpLimits, SmtpService

pytestmark = pytest.mark.trio

LIMITS = SmtpLimits(size_bytes=60, line_bytes=64, recipients=2, errors=4)
PIECES = [
    b"EHLO c\r\n",
    b"HELO [10.0.0.1]\r\n",
    b"MAIL FROM:<a@b>\r\n",
    b"MAIL FROM:<> SIZE=9 BODY=8BITMIME\r\n",
    b"RCPT TO:<c@h>\r\n",
    b"RCPT TO:<d@else>\r\n",
    b"DATA\r\n",
    b"RSET\r\n",
    b"NOOP\r\n",
    b"QUIT\r\n",
    b"text\r\n",
    b"..\r\n",
    b".\r\n",
    b".\n",
    b"\n",
    b"\r",
    b"\0",
    b"x" * 61 + b"\r\n",
    b"x" * 70,
    b"\xff\xc3\xa9\r\n",
]
WHOLE = b"".join(PIECES[index] for index in (2, 4, 6, 10, 12))
sessions = st.lists(st.sampled_from([*PIECES, WHOLE]), max_size=25).map(b"".join)


async def outcome(raw: bytes, cuts: list[int]) -> tuple[bytes, list[Message]]:
    """Return all that the server said, and the messages that it has kept."""
    options = ServiceOptions(host_name="h", utc_now=lambda: 1.5)
    service = SmtpService(options, LIMITS)
    client, server = trio.testing.memory_stream_pair()
    said = b""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(service.handle_tcp, server)
        begin = 0
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            for cut in [*sorted(cuts), len(raw)]:
                await client.send_all(raw[begin:cut])
                begin = cut
                await trio.testing.wait_all_tasks_blocked()
            await client.send_eof()
        with suppress(trio.BrokenResourceError):
            async for part in client:
                said += part
    return said, service.messages


def expected_messages(raw: bytes) -> list[bytes]:
    """Return the texts that may be kept, by another way: line by line, on clean lines alone."""
    found: list[bytes] = []
    for text in re.findall(rb"(?=DATA\r\n((?:[^\r\n\0]*\r\n)*?)\.\r\n)", raw):
        lines = text.split(b"\r\n")[:-1]
        found.append(b"".join(line.removeprefix(b".") + b"\r\n" for line in lines))
    return found


@settings(max_examples=150, deadline=None)
@given(sessions, st.data())
async def test_where_a_session_is_cut_makes_no_difference(raw: bytes, data: st.DataObject) -> None:
    raw = b"EHLO c\r\n" + raw
    said, messages = await outcome(raw, [])
    for line in said.split(b"\r\n")[:-1]:
        assert re.fullmatch(rb"[2-5]\d\d[ -][^\r\n]*", line), said
    assert said.endswith(b"\r\n")
    possible = expected_messages(raw)
    assert all(message.data in possible for message in messages)
    assert said.count(b"Message kept") == len(messages)
    cuts = data.draw(st.lists(st.integers(0, len(raw)), max_size=12))
    assert await outcome(raw, cuts) == (said, messages)
