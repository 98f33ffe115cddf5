"""SMTP command by command: what is answered, and what state it leaves (RFC 5321 section 4)."""

import pytest
from smtp_talk import HOST, MESSAGE, TRANSACTION, exchange, smtp_service, talk

from pystack.apps.smtp import SmtpLimits
from pystack.core.errors import ConfigError

pytestmark = pytest.mark.trio


async def test_a_message_is_taken() -> None:
    service = smtp_service()
    async with talk(service, is_greeted=False) as client:
        assert await client.ask(
            "EHLO client.example", "MAIL FROM:<a@b>", f"RCPT TO:<c@{HOST}>", "DATA"
        ) == [
            f"250-{HOST} greets client.example\n250-PIPELINING\n250-SIZE 10485760\n250-8BITMIME\n"
            "250-SMTPUTF8\n250-STARTTLS\n250-ENHANCEDSTATUSCODES\n250 HELP",
            "250 2.1.0 a@b OK",
            f"250 2.1.5 c@{HOST} OK",
            "354 Go on, and end with a dot on a line of its own",
        ]
        await client.send(MESSAGE + b"..dots\r\n.\r\n")
        assert await client.reply() == "250 2.6.0 1.1 Message kept"
        assert await client.ask("QUIT") == ["221 2.0.0 Bye"]
        assert await client.reply() == ""
    (message,) = service.messages
    assert (message.sender, message.recipients) == ("a@b", (f"c@{HOST}",))
    assert message.data == MESSAGE + b".dots\r\n"
    assert message.trace().decode() == (
        "Return-Path: <a@b>\r\n"
        f"Delivered-To: c@{HOST}\r\n"
        f"Received: from client.example\r\n\tby {HOST} with ESMTP id 1.1\r\n"
        f"\tfor <c@{HOST}>;\r\n\tThu, 01 Jan 1970 00:00:01 +0000\r\n"
    )


async def test_all_at_once_is_answered_one_by_one() -> None:
    service = smtp_service()
    raw = (
        b"EHLO c\r\n" + TRANSACTION + MESSAGE + b".\r\n" + TRANSACTION + MESSAGE + b".\r\nQUIT\r\n"
    )
    answers = await exchange(service, raw)
    codes = [answer.splitlines()[-1][:3] for answer in answers]
    assert codes == ["250", *["250", "250", "354", "250"] * 2, "221"]
    assert [message.data for message in service.messages] == [MESSAGE] * 2


WRONG_ORDER = [
    (["MAIL FROM:<a@b>"], "503 5.5.1"),
    (["RCPT TO:<c@mail.example>"], "503 5.5.1"),
    (["DATA"], "503 5.5.1"),
    (["EHLO c", "RCPT TO:<c@mail.example>"], "503 5.5.1"),
    (["EHLO c", "DATA"], "503 5.5.1"),
    (["EHLO c", "MAIL FROM:<a@b>", "MAIL FROM:<a@b>"], "503 5.5.1"),
    (["EHLO c", "MAIL FROM:<a@b>", "DATA"], "503 5.5.1"),
    (["EHLO c", "MAIL FROM:<a@b>", "RCPT TO:<c@else>", "DATA"], "554 5.5.1"),
    (["EHLO c", "MAIL FROM:<a@b>", "RSET", "RCPT TO:<c@mail.example>"], "503 5.5.1"),
    (["EHLO c", "MAIL FROM:<a@b>", "EHLO c", "RCPT TO:<c@mail.example>"], "503 5.5.1"),
    (["EHLO c", "MAIL FROM:<a@b>", "HELO c", "RCPT TO:<c@mail.example>"], "503 5.5.1"),
    (["STARTTLS"], "503 5.5.1"),
]


@pytest.mark.parametrize(("commands", "answer"), WRONG_ORDER)
async def test_commands_in_a_wrong_order(commands: list[str], answer: str) -> None:
    async with talk(smtp_service(), is_greeted=False) as client:
        assert (await client.ask(*commands))[-1][:9] == answer


ANSWERS = [
    ("HELO", "501 5.5.4"),
    ("EHLO a b", "501 5.5.4"),
    ("EHLO [10.0.0.300]", "501 5.5.4"),
    ("EHLO [10.0.0.3]", "250-mail."),
    ("HELO c", "250 mail."),
    ("NOOP", "250 2.0.0"),
    ("NOOP and more", "250 2.0.0"),
    ("noop", "250 2.0.0"),
    ("NOOP \t ", "250 2.0.0"),
    ("RSET", "250 2.0.0"),
    ("RSET now", "501 5.5.4"),
    ("VRFY c", "252 2.1.5"),
    ("VRFY", "501 5.5.4"),
    ("EXPN list", "502 5.5.1"),
    ("HELP", "214-2.0.0"),
    ("HELP MAIL", "214-2.0.0"),
    ("QUIT now", "501 5.5.4"),
    ("", "500 5.5.2"),
    (" NOOP", "500 5.5.2"),
    ("NOOPS", "500 5.5.2"),
    ("BDAT 10 LAST", "500 5.5.2"),
    ("AUTH PLAIN", "500 5.5.2"),
    (b"NO\xc3\xb6P", "500 5.5.2"),
    (b"VRFY \xff", "501 5.5.2"),
    ("MAIL", "501 5.5.4"),
    ("MAIL FROM", "501 5.5.4"),
    ("MAIL TO:<a@b>", "501 5.5.4"),
    ("MAIL FROM:a@b", "501 5.5.4"),
    ("MAIL FROM: <a@b>", "501 5.5.4"),
    ("MAIL FROM:<a@b>x", "501 5.5.4"),
    ("MAIL FROM:<>", "250 2.1.0"),
    ("mail from:<a@b>", "250 2.1.0"),
    ("MAIL FROM:<a@b> ", "250 2.1.0"),
    ("MAIL FROM:<a@b> SIZE=10485760", "250 2.1.0"),
    ("MAIL FROM:<a@b> SIZE=10485761", "552 5.3.4"),
    ("MAIL FROM:<a@b> SIZE=99999999999999999999", "552 5.3.4"),
    ("MAIL FROM:<a@b> SIZE=999999999999999999999", "501 5.5.4"),
    ("MAIL FROM:<a@b> SIZE=-1", "501 5.5.4"),
    ("MAIL FROM:<a@b> SIZE=\u0661", "501 5.5.4"),
    ("MAIL FROM:<a@b> SIZE", "501 5.5.4"),
    ("MAIL FROM:<a@b> BODY=8bitmime", "250 2.1.0"),
    ("MAIL FROM:<a@b> BODY=BINARYMIME", "501 5.5.4"),
    ("MAIL FROM:<a@b> SMTPUTF8=1", "501 5.5.4"),
    ("MAIL FROM:<a@b> AUTH=<>", "555 5.5.4"),
    ("MAIL FROM:<\u00fc@b>", "553 5.6.7"),
    ("MAIL FROM:<\u00fc@b> SMTPUTF8", "250 2.1.0"),
    (b"MAIL FROM:<\xfc@b>", "501 5.5.2"),
]


@pytest.mark.parametrize(("command", "answer"), ANSWERS)
async def test_what_is_answered(command: str | bytes, answer: str) -> None:
    async with talk(smtp_service()) as client:
        assert (await client.ask(command))[0][:9] == answer
        assert (await client.ask("NOOP")) == ["250 2.0.0 OK"]


async def test_parameters_are_for_those_who_have_said_ehlo() -> None:
    async with talk(smtp_service(), is_greeted=False) as client:
        assert (await client.ask("HELO c", "MAIL FROM:<a@b> SIZE=1"))[-1][:9] == "501 5.5.4"
        assert (await client.ask("MAIL FROM:<a@b>"))[-1][:9] == "250 2.1.0"


RECIPIENTS = [
    ("<c@mail.example>", "250 2.1.5"),
    ("<c@MAIL.Example>", "250 2.1.5"),
    ("<c@[10.77.0.2]>", "250 2.1.5"),
    ("<c@[IPv6:FD77::2]>", "250 2.1.5"),
    ("<postmaster>", "250 2.1.5"),
    ("<@relay.example:c@mail.example>", "250 2.1.5"),
    ('<"c d"@mail.example>', "250 2.1.5"),
    ("<c@mine.example>", "250 2.1.5"),
    ("<c@else.example>", "550 5.7.1"),
    ("<c@[10.77.0.3]>", "550 5.7.1"),
    ("<c@sub.mail.example>", "550 5.7.1"),
    ("<@mail.example:c@else.example>", "550 5.7.1"),
    ("<c%else.example@other.example>", "550 5.7.1"),
    ("<>", "501 5.5.4"),
    ("<c@mail.example> NOTIFY=NEVER", "555 5.5.4"),
    ("<\u00fc@mail.example>", "553 5.6.7"),
]


@pytest.mark.parametrize(("path", "answer"), RECIPIENTS)
async def test_mail_is_taken_for_this_host_and_nobody_else(path: str, answer: str) -> None:
    async with talk(smtp_service(None, "Mine.example")) as client:
        assert (await client.ask("MAIL FROM:<a@b>", f"RCPT TO:{path}"))[-1][:9] == answer


async def test_who_asks_for_it_gets_mail_for_anybody() -> None:
    service = smtp_service(None, "*")
    async with talk(service) as client:
        await client.ask("MAIL FROM:<a@b>", "RCPT TO:<c@else.example>", "DATA")
        await client.send(MESSAGE + b".\r\n")
        assert (await client.reply())[:3] == "250"
    assert service.messages[0].recipients == ("c@else.example",)


@pytest.mark.parametrize("domain", ["", "a b", "<a>", "@example.com", "[1.2.3]", "a,*", "*.com"])
async def test_a_domain_that_is_none_is_found_when_the_service_is_built(domain: str) -> None:
    with pytest.raises(ConfigError, match="is not a domain"):
        smtp_service(None, domain)


async def test_the_address_of_others_letters_is_kept_as_it_is() -> None:
    service = smtp_service()
    async with talk(service) as client:
        await client.ask("MAIL FROM:<\u00fc@b> SMTPUTF8", f"RCPT TO:<\u00e9@{HOST}>", "DATA")
        await client.send(MESSAGE + b".\r\n")
        assert (await client.reply())[:3] == "250"
    (message,) = service.messages
    assert (message.sender, message.protocol) == ("\u00fc@b", "UTF8SMTP")
    assert "Return-Path: <\u00fc@b>" in message.trace().decode("utf-8")


async def test_of_several_recipients_none_learns_of_the_others_from_received() -> None:
    service = smtp_service()
    async with talk(service, is_greeted=False) as client:
        await client.ask("HELO c", "MAIL FROM:<>", f"RCPT TO:<c@{HOST}>", f"RCPT TO:<d@{HOST}>")
        await client.ask("DATA")
        await client.send(MESSAGE + b".\r\n")
        assert (await client.reply())[:3] == "250"
    trace = service.messages[0].trace().decode()
    assert trace.startswith("Return-Path: <>\r\n")
    assert "with SMTP id" in trace
    assert "for <" not in trace


async def test_a_message_has_so_many_recipients_and_no_more() -> None:
    service = smtp_service(limits=SmtpLimits(recipients=3))
    async with talk(service) as client:
        await client.ask("MAIL FROM:<a@b>")
        answers = await client.ask(*[f"RCPT TO:<c{number}@{HOST}>" for number in range(5)])
        assert [answer[:9] for answer in answers] == ["250 2.1.5"] * 3 + ["452 4.5.3"] * 2
        await client.ask("DATA")
        await client.send(b".\r\n")
        assert (await client.reply())[:3] == "250"
    assert len(service.messages[0].recipients) == 3


async def test_too_many_errors_end_the_session() -> None:
    async with talk(smtp_service()) as client:
        answers = await client.ask(*["NONSENSE"] * 10)
        assert {answer[:3] for answer in answers} == {"500"}
        await client.send(b"NONSENSE\r\nNOOP\r\n")
        assert await client.rest() == ["421 4.7.0 Too many errors: closing"]


async def test_a_message_makes_errors_forgotten_and_a_refused_recipient_is_none() -> None:
    service = smtp_service()
    async with talk(service) as client:
        for _ in range(3):
            await client.ask(*["NONSENSE"] * 9)
            await client.ask("MAIL FROM:<a@b>", *["RCPT TO:<c@else>"] * 20, f"RCPT TO:<c@{HOST}>")
            await client.ask("DATA")
            await client.send(b".\r\n")
            assert (await client.reply())[:3] == "250"
    assert len(service.messages) == 3


@pytest.mark.parametrize("line", ["GET / HTTP/1.1", "POST /mail HTTP/1.0", "CONNECT a:25"])
async def test_a_browser_is_sent_away_before_its_form_can_give_commands(line: str) -> None:
    service = smtp_service()
    raw = line.encode() + b"\r\n\r\nEHLO c\r\n" + TRANSACTION + MESSAGE + b".\r\n"
    assert [answer[:9] for answer in await exchange(service, raw)] == ["421 4.7.0"]
    assert service.messages == []


HELD_BYTES = len(MESSAGE) + 3 * 64 + len("a@bcc@mail.example")  # envelope and greeting too


@pytest.mark.parametrize(
    "limits", [SmtpLimits(kept_bytes=3 * HELD_BYTES - 1), SmtpLimits(kept_messages=2)]
)
async def test_memory_holds_the_last_messages(
    limits: SmtpLimits, caplog: pytest.LogCaptureFixture
) -> None:
    service = smtp_service(limits=limits)
    raw = b"EHLO c\r\n" + (TRANSACTION + MESSAGE + b".\r\n") * 5
    assert [answer[:3] for answer in (await exchange(service, raw))[4::4]] == ["250"] * 5
    assert [message.ident for message in service.messages] == ["1.4", "1.5"]
    assert [record.message for record in caplog.records if record.levelname == "WARNING"] == [
        "smtp: memory is full: from now on the oldest messages are forgotten"
    ]
    service.messages.clear()
    await exchange(service, raw)
    assert [message.ident for message in service.messages] == ["1.9", "1.10"]


async def test_recipients_count_for_what_memory_holds() -> None:
    """A hundred long ones are 30 KB: ten thousand messages of a line would take 300 MB."""
    one = b"MAIL FROM:<a@b>\r\n"
    for number in range(100):
        domain = b".".join([b"d" * 60] * 3)
        one += b"RCPT TO:<%03d%s@%s>\r\n" % (number, b"x" * 60, domain)
    service = smtp_service(None, "*", limits=SmtpLimits(kept_bytes=100_000))
    raw = b"EHLO c\r\n" + (one + b"DATA\r\n.\r\n") * 5
    assert (await exchange(service, raw)).count("250 2.6.0 1.5 Message kept") == 1
    assert [message.ident for message in service.messages] == ["1.3", "1.4", "1.5"]
    assert all(len(message.recipients) == 100 for message in service.messages)


async def test_a_message_that_memory_cannot_hold_is_a_452() -> None:
    service = smtp_service(limits=SmtpLimits(kept_bytes=len(MESSAGE) - 1))
    raw = b"EHLO c\r\n" + TRANSACTION + MESSAGE + b".\r\n"
    assert (await exchange(service, raw))[-1][:9] == "452 4.3.1"


async def test_the_log_says_what_has_come(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    await exchange(smtp_service(), b"EHLO c\r\n" + TRANSACTION + MESSAGE + b".\r\n")
    assert caplog.messages == [
        f"smtp: {len(MESSAGE)} bytes from <a@b> for <c@mail.example>: 250 2.6.0 1.1 Message kept"
    ]


async def test_limits_are_positive() -> None:
    with pytest.raises(ConfigError, match="limit errors is 0"):
        SmtpLimits(errors=0)
