"""SMTP over streams: time-outs, limits, TLS, waiting for the disk, and whoever means no good."""

import ssl
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
import trio
import trio.testing
from smtp_talk import HOST, MESSAGE, TRANSACTION, Talk, exchange, files, smtp_service, talk
from test_smtp_content import FALSE_ENDS, SMUGGLED
from test_turns import MOST_CALLS, ticking

from pystack.apps.lines import LAST_WORD_S, DeafPeerError
from pystack.apps.options import ServiceOptions, TlsOptions
from pystack.apps.smtp import SmtpLimits
from pystack.apps.smtp.service import SmtpService
from pystack.apps.tls import TlsError, tls_client
from pystack.core.errors import ConfigError

pytestmark = pytest.mark.trio

EHLO = b"EHLO c\r\n"
END = b".\r\n"


# time-outs


async def test_a_client_that_says_nothing_is_sent_away(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with talk(smtp_service(limits=SmtpLimits(command_s=7))) as client:
        assert await client.rest() == ["421 4.4.2 Waited too long: closing"]
        assert trio.current_time() == 7


async def test_a_command_that_comes_in_drops_has_no_more_time(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with talk(smtp_service(limits=SmtpLimits(command_s=7))) as client:
        for _ in range(6):
            await client.send(b"N")
            await trio.sleep(1)
        assert await client.rest() == ["421 4.4.2 Waited too long: closing"]
        assert trio.current_time() == 7


async def test_a_message_that_stops_is_not_kept(autojump_clock: trio.testing.MockClock) -> None:
    service = smtp_service(limits=SmtpLimits(content_s=7))
    async with talk(service) as client:
        await client.send(TRANSACTION + MESSAGE)
        assert [answer[:3] for answer in await client.rest()] == ["250", "250", "354", "421"]
        assert 7 <= trio.current_time() < 8  # its bytes have earned a little
    assert service.messages == []


async def test_a_byte_now_and_then_is_no_way_to_hold_a_connection(
    autojump_clock: trio.testing.MockClock,
) -> None:
    service = smtp_service(limits=SmtpLimits(content_s=20))
    async with talk(service) as client:
        await client.send(TRANSACTION)
        await client.replies(3)

        async def trickle() -> None:
            with suppress(trio.BrokenResourceError):
                while True:
                    await client.send(b"a")
                    await trio.sleep(5)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(trickle)
            assert (await client.reply())[:3] == "421"
            assert trio.current_time() < 21
            nursery.cancel_scope.cancel()


async def test_a_message_may_take_long_if_it_keeps_to_the_least_rate(
    autojump_clock: trio.testing.MockClock,
) -> None:
    service = smtp_service(limits=SmtpLimits(content_s=20))
    async with talk(service) as client:
        await client.send(TRANSACTION)
        for _ in range(20):
            await client.send(b"a" * 1000 + b"\r\n")  # 8 s worth
            await trio.sleep(7)
        await client.send(END)
        assert [code[:3] for code in await client.replies(4)] == ["250", "250", "354", "250"]


async def test_who_takes_no_replies_is_cut(autojump_clock: trio.testing.MockClock) -> None:
    client, server = trio.testing.lockstep_stream_pair()
    with pytest.raises(DeafPeerError):
        await smtp_service(limits=SmtpLimits(send_s=7)).handle_tcp(server)
    assert trio.current_time() == 7
    with pytest.raises((trio.BrokenResourceError, trio.ClosedResourceError)):
        await client.send_all(b"x")


@pytest.mark.parametrize("said", [b"", b"EHL", EHLO, EHLO + TRANSACTION, EHLO + TRANSACTION + b"x"])
async def test_who_ends_its_side_anywhere_leaves_nothing(said: bytes) -> None:
    service = smtp_service()
    await exchange(service, said)
    assert service.messages == []


async def test_who_waits_is_told_when_the_service_ends() -> None:
    client, server = trio.testing.memory_stream_pair()
    conversation = Talk(client)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(smtp_service().handle_tcp, server)
        await conversation.reply()
        await conversation.ask("EHLO c")
        await conversation.send(b"MAIL FR")
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    await server.aclose()
    assert await conversation.rest() == ["421 4.3.2 The service ends: closing"]


async def test_a_reply_that_is_half_sent_is_not_followed_by_another(
    autojump_clock: trio.testing.MockClock,
) -> None:
    _, server = trio.testing.lockstep_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(smtp_service().handle_tcp, server)
        await trio.testing.wait_all_tasks_blocked()
        began_at = trio.current_time()
        nursery.cancel_scope.cancel()
    assert trio.current_time() - began_at < LAST_WORD_S


# hostile bytes


@pytest.mark.parametrize("false_end", FALSE_ENDS)
async def test_nothing_is_smuggled(false_end: bytes) -> None:
    service = smtp_service(None, "*")
    raw = EHLO + TRANSACTION + b"text" + false_end + SMUGGLED + b"\r\n.\r\nQUIT\r\n"
    answers = await exchange(service, raw)
    assert [answer[:9] for answer in answers[1:]] == [
        "250 2.1.0",
        "250 2.1.5",
        "354 Go on",
        "554 5.6.0",
        "221 2.0.0",
    ]
    assert service.messages == []


async def test_who_ends_lines_with_lf_alone_is_told_so_soon(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """It waits for an answer behind a dot that ends nothing."""
    async with talk(smtp_service()) as client:
        await client.send(TRANSACTION)
        await client.replies(3)
        await client.send(b"Subject: x\n\ntext\n.\n")
        (answer,) = await client.rest()
        assert answer == "554 5.6.0 Not taken: CR or LF stands by itself: lines end with CR LF"
        assert trio.current_time() == SmtpLimits().refused_s


@pytest.mark.parametrize(
    ("raw", "codes"),
    [
        (b"NOOP\nNOOP\r\n", ["500 5.5.2", "250 2.0.0"]),
        (b"NOOP\rNOOP\r\n", ["500 5.5.2"]),
        (b"NO\0OP\r\n", ["500 5.5.2"]),
        (b"x" * 2046 + b"\r\nNOOP\r\n", ["500 5.5.2", "250 2.0.0"]),
        (b"x" * 2047 + b"\r\nNOOP\r\n", ["500 5.5.6", "250 2.0.0"]),
        (b"x" * 500_000 + b"\r\nNOOP\r\n", ["500 5.5.6", "250 2.0.0"]),
        (b"x" * 5_000_000 + b"\r\nNOOP\r\n", ["500 5.5.6"]),
        (b"\x16\x03\x01\x02\x00\x01\x00" + bytes(200) + b"\r\n", ["500 5.5.2"]),
        (b"\r\n" * 20, ["500 5.5.2"] * 10 + ["421 4.7.0"]),
        (bytes(range(256)) * 100, ["500 5.5.2"] * 10 + ["421 4.7.0"]),
    ],
)
async def test_nonsense_is_answered_with_the_protocols_own_codes(
    raw: bytes, codes: list[str]
) -> None:
    assert [answer[:9] for answer in await exchange(smtp_service(), raw)] == codes


async def test_a_message_beyond_size_is_refused_and_the_session_goes_on() -> None:
    service = smtp_service(limits=SmtpLimits(size_bytes=1000))
    raw = EHLO + TRANSACTION + b"x" * 999 + b"\r\n" + END + TRANSACTION + MESSAGE + END
    codes = [answer[:9] for answer in await exchange(service, raw)]
    assert codes[4] == "552 5.3.4"
    assert codes[-1] == "250 2.6.0"
    assert len(service.messages) == 1


async def test_a_message_without_end_is_not_read_for_ever() -> None:
    limits = SmtpLimits(size_bytes=1000, refused_bytes=200_000)
    async with talk(smtp_service(limits=limits)) as client:
        await client.send(TRANSACTION + b"x\r\n" * 200_000)
        assert [answer[:9] for answer in (await client.rest())[3:]] == ["552 5.3.4"]


async def test_all_messages_under_way_share_the_room() -> None:
    service = smtp_service(limits=SmtpLimits(held_bytes=1500))
    async with talk(service) as one, talk(service) as two:
        for client in (one, two):
            await client.send(TRANSACTION)
            await client.replies(3)
        await one.send((b"x" * 98 + b"\r\n") * 10)
        await trio.testing.wait_all_tasks_blocked()
        await two.send((b"x" * 98 + b"\r\n") * 10 + END)
        assert (await two.reply())[:9] == "452 4.3.1"
        await one.send(END)
        assert (await one.reply())[:9] == "250 2.6.0"
        await two.send(TRANSACTION + (b"x" * 98 + b"\r\n") * 10 + END)
        assert await two.replies(4) == ["250 2.1.0", "250 2.1.5", "354 Go on", "250 2.6.0"]


WORST = {
    "NOOP": b"NOOP\r\n" * 40_000,
    "nonsense": b"x\r\n" * 40_000,
    "recipients": b"MAIL FROM:<a@b>\r\n" + b"RCPT TO:<c@mail.example>\r\n" * 10_000,
    "long paths": b"VRFY " + b"a" * 2000 + b"\r\n" + (b"MAIL FROM:<" + b"a." * 900 + b"\r\n") * 9,
    "empty messages": (TRANSACTION + END) * 1500,
    "lines of dots": TRANSACTION + b"..\r\n" * 100_000 + END,
}


@pytest.mark.parametrize("name", WORST)
async def test_whatever_one_connection_sends_others_run_soon(name: str) -> None:
    async with ticking() as ticker:
        client, server = trio.testing.memory_stream_pair()

        async def read() -> None:
            async for _ in client:
                pass

        async with trio.open_nursery() as nursery:
            nursery.start_soon(smtp_service().handle_tcp, server)
            nursery.start_soon(read)
            await client.send_all(EHLO + WORST[name])
            await client.send_eof()
    assert ticker.most_calls < MOST_CALLS / 4


# TLS


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tls") / "ca.pem"


def tls_service(ca: Path) -> SmtpService:
    options = ServiceOptions(host_name=HOST, utc_now=lambda: 1.5, tls=TlsOptions(ca=ca))
    return SmtpService(options)


def trusting(ca: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(ca)
    return context


async def test_after_starttls_nothing_is_known_of_what_was_said_before(ca: Path) -> None:
    service = tls_service(ca)
    async with talk(service) as client:
        assert "STARTTLS" in (await client.ask("EHLO c"))[0]
        await client.ask("MAIL FROM:<a@b>", f"RCPT TO:<c@{HOST}>")
        assert await client.ask("STARTTLS") == ["220 2.0.0 Ready to start TLS"]
        stream = await tls_client(client.stream, trusting(ca), HOST)
        safe = Talk(stream)
        answers = await safe.ask("RCPT TO:<c@mail.example>", "DATA", "MAIL FROM:<a@b>", "EHLO c")
        assert [answer[:3] for answer in answers] == ["503", "503", "503", "250"]
        assert "STARTTLS" not in answers[-1]
        assert (await safe.ask("STARTTLS"))[0][:9] == "503 5.5.1"
        await safe.send(TRANSACTION + MESSAGE + END)
        assert [code[:3] for code in await safe.replies(4)] == ["250", "250", "354", "250"]
        assert await safe.ask("QUIT") == ["221 2.0.0 Bye"]
        assert await safe.reply() == ""
    assert service.messages[0].protocol == "ESMTPS"


async def test_what_is_injected_behind_starttls_is_never_obeyed(ca: Path) -> None:
    """CVE-2011-0411: put in by who is in the middle, it would count as said by TLS."""
    service = tls_service(ca)
    client, server = trio.testing.memory_stream_pair()
    async with trio.open_nursery() as nursery:

        async def serve() -> None:
            with pytest.raises(TlsError, match="in clear"):
                await service.handle_tcp(server)
            await server.aclose()

        nursery.start_soon(serve)
        conversation = Talk(client)
        await conversation.send(EHLO + b"STARTTLS\r\n" + EHLO + TRANSACTION + MESSAGE + END)
        answers = await conversation.rest()
    assert [answer[:3] for answer in answers] == ["220", "250", "220"]
    assert service.messages == []


@pytest.mark.parametrize("said", [b"EHLO c\r\n" * 5, b"\x15\x03\x01\x00\x02\x02\x28", b"\x80" * 99])
async def test_what_is_no_tls_ends_the_connection(ca: Path, said: bytes) -> None:
    client, server = trio.testing.memory_stream_pair()
    conversation = Talk(client)
    async with trio.open_nursery() as nursery:

        async def serve() -> None:
            with pytest.raises(TlsError):
                await tls_service(ca).handle_tcp(server)
            await server.aclose()

        nursery.start_soon(serve)
        await conversation.reply()
        await conversation.ask("EHLO c", "STARTTLS")
        await conversation.send(said)


async def test_tls_that_is_cut_off_ends_no_message(ca: Path) -> None:
    """Whoever is in the middle can end the connection, and must not be able to end the text."""
    service = tls_service(ca)
    async with talk(service) as client:
        await client.ask("STARTTLS")
        safe = Talk(await tls_client(client.stream, trusting(ca), HOST))
        await safe.ask("EHLO c")
        await safe.send(TRANSACTION + MESSAGE)
        await safe.replies(3)
        await client.stream.send_eof()  # a FIN, and no close_notify
        await trio.testing.wait_all_tasks_blocked()
    assert service.messages == []


async def test_starttls_needs_ehlo_and_nothing_behind_it(ca: Path) -> None:
    async with talk(tls_service(ca), is_greeted=False) as client:
        answers = await client.ask("STARTTLS", "HELO c", "STARTTLS", "EHLO c", "STARTTLS now")
        assert [answer[:3] for answer in answers] == ["503", "250", "503", "250", "501"]


async def test_without_the_extra_there_is_no_starttls_unless_it_is_asked_for(
    ca: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "trustme", None)
    async with talk(smtp_service()) as client:
        answers = await client.ask("EHLO c", "STARTTLS")
        assert "STARTTLS" not in answers[0]
        assert answers[1][:9] == "502 5.5.1"
    with pytest.raises(ConfigError, match="trustme"):
        tls_service(ca)


# the Maildir


async def test_messages_are_files_of_this_systems_manner(tmp_path: Path) -> None:
    service = smtp_service(tmp_path)
    codes = await exchange(service, EHLO + TRANSACTION + MESSAGE + b"..\r\n" + END)
    assert codes[-1][:3] == "250"
    (content,) = files(tmp_path)
    assert b"\r" not in content
    assert content.endswith(b"+0000\nSubject: hello\n\ntext\n.\n")
    assert content.startswith(b"Return-Path: <a@b>\nDelivered-To: c@mail.example\nReceived: ")
    assert service.messages == []


async def test_a_message_that_cannot_be_written_is_a_451(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "Maildir").write_text("in the way")
    answers = await exchange(
        smtp_service(tmp_path), EHLO + TRANSACTION + MESSAGE + END + b"NOOP\r\n"
    )
    assert [answer[:9] for answer in answers[-2:]] == ["451 4.3.0", "250 2.0.0"]
    (record,) = caplog.records
    assert "a message cannot be written" in record.message
    assert record.exc_info is None


@pytest.mark.parametrize("ticks", range(0, 60, 3))
async def test_cancelled_anywhere_it_leaves_whole_messages_alone(
    tmp_path: Path, ticks: int
) -> None:
    service = smtp_service(tmp_path)
    client, server = trio.testing.memory_stream_pair()
    await client.send_all(EHLO + (TRANSACTION + MESSAGE + END) * 3)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(service.handle_tcp, server)
        for _ in range(ticks):
            await trio.lowlevel.cancel_shielded_checkpoint()
        nursery.cancel_scope.cancel()
    if (tmp_path / "Maildir").exists():
        assert all(content.endswith(b"\n" + b"text\n") for content in files(tmp_path))
        assert list((tmp_path / "Maildir" / "tmp").iterdir()) == []


async def test_options_of_tls_that_are_wrong_are_found_when_it_is_built(tmp_path: Path) -> None:
    options = ServiceOptions(tls=TlsOptions(certificate=tmp_path / "none.pem"))
    with pytest.raises(ConfigError):
        SmtpService(replace(options, root=tmp_path))
