"""`pystack get` over https, WebSocket, FTP and SMTP in virtual time."""

import io
import ssl
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import trio
import trustme
from get_runs import Handler, handling, run_get, scripted, serving
from hypothesis import given
from hypothesis import strategies as st

from pystack.apps.clients.desk import Source
from pystack.apps.clients.job import GetOptions
from pystack.apps.clients.smtp import Stuffing

INSECURE = GetOptions(insecure=True)


def said(data: bytes, size: bool = True) -> Callable[[], Source]:
    return lambda: Source(io.BytesIO(data), size_bytes=len(data) if size else None, is_virtual=True)


# https


@pytest.mark.parametrize(("http", "version"), [(None, "2"), ("2", "2"), ("1.1", "1.1")])
def test_tls_takes_a_round_trip_and_agrees_on_a_version(http: str | None, version: str) -> None:
    options = replace(INSECURE, http=http)
    run = run_get(serving("https"), "https://server/bytes/9", options=options, delay="40ms")
    assert (run.one.exit_status, len(run.body), run.one.http_version) == (0, 9, version)
    times = run.one.times_s
    assert times["connect"] == pytest.approx(0.16)
    assert times["appconnect"] == pytest.approx(0.24)
    assert times["starttransfer"] == pytest.approx(0.32)
    assert any(
        f"ALPN: server accepted {'h2' if version == '2' else 'http/1.1'}" in line
        for line in run.talk
    )


def test_whom_to_trust_is_asked(tmp_path: Path) -> None:
    ca = tmp_path / "ca.pem"
    prepare = serving("https", ca=ca)
    run = run_get(prepare, "https://server/bytes/9")
    assert (run.one.exit_status, run.one.error) == (
        60,
        "SSL certificate problem: unable to get local issuer certificate",
    )
    # The network's own: its file is there when the servers are.
    run = run_get(prepare, "https://server/bytes/9", options=GetOptions(trusted=(ca,)))
    assert run.one.exit_status == 0


def test_a_name_that_the_certificate_has_not_is_60(tmp_path: Path) -> None:
    ca = tmp_path / "ca.pem"
    urls = [f"https://{name}/bytes/3" for name in ("server", "10.0.0.2", "server.eth0")]
    run = run_get(serving("https", ca=ca), *urls, options=GetOptions(cacert=ca))
    assert [transfer.exit_status for transfer in run.transfers] == [0, 0, 60]
    assert run.transfers[2].error == (
        "SSL: no alternative certificate subject name matches target host name 'server.eth0'"
    )


def test_tls_to_who_speaks_none_is_35() -> None:
    run = run_get(serving("http:443"), "https://server/", options=INSECURE)
    assert run.one.exit_status == 35
    assert run.one.error.startswith("SSL connect error: ")


def test_a_handshake_that_stops_is_28() -> None:
    async def silent(stream: trio.SocketStream) -> None:
        await trio.sleep_forever()

    options = replace(INSECURE, connect_timeout_s=3.0)
    run = run_get(handling(silent, 443), "https://server/", options=options)
    assert (run.one.exit_status, run.one.total_s) == (28, 3.0)


def test_a_clear_reply_of_a_server_with_tls_is_heard() -> None:
    run = run_get(serving("https:80"), "http://server/")
    assert (run.one.exit_status, run.one.http_code) == (0, 400)
    assert b"That is HTTP in clear" in run.body


def test_a_connection_that_is_used_again_has_the_same_ends() -> None:
    for options in (INSECURE, replace(INSECURE, http="1.1")):
        run = run_get(serving("https"), *["https://server/bytes/9"] * 2, options=options)
        first, second = run.transfers
        assert (first.num_connects, second.num_connects) == (1, 0)
        assert second.local_port == first.local_port > 0
        assert (second.remote_ip, second.remote_port) == ("10.0.0.2", 443)


def test_what_ends_without_close_notify_was_cut_and_is_not_whole() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("server").configure_cert(context)

    async def cut(stream: trio.SocketStream) -> None:
        tls = trio.SSLStream(stream, context, server_side=True, https_compatible=True)
        await tls.receive_some()
        await tls.send_all(b"HTTP/1.0 200 OK\r\n\r\nas long as it")
        await stream.aclose()

    run = run_get(handling(cut, 443), "https://server/", options=INSECURE)
    assert run.body == b"as long as it"
    assert (run.one.exit_status, run.one.error) == (
        56,
        "Recv failure: the connection was cut: it ended without a close_notify",
    )


# WebSocket


def test_a_line_in_is_a_message_and_a_message_a_line_out() -> None:
    lines = "one\nzwei \N{SNOWMAN}\n\nlast, without an end".encode()
    run = run_get(serving("http"), "ws://server/ws/echo", source=said(lines), delay="40ms")
    assert run.one.exit_status == 0
    assert run.body == lines + b"\n"
    assert (run.one.http_code, run.one.size_upload) == (101, len(lines) - 3)
    # ARP, handshake, upgrade, the messages with a ping, and the closing handshake.
    assert run.one.total_s == pytest.approx(0.40)
    assert run.talk[-1].endswith("WebSocket closed: 1000")


def test_so_it_is_with_tls_and_with_deflate() -> None:
    options = replace(INSECURE, compressed=True)
    data = b"to and fro " * 50 + b"\n"
    run = run_get(serving("https"), "wss://server/ws/echo", options=options, source=said(data))
    assert (run.one.exit_status, run.body) == (0, data)
    assert any("permessage-deflate" in line and "<" in line for line in run.talk)


def test_bytes_that_are_no_text_come_back_as_they_are() -> None:
    run = run_get(serving("http"), "ws://server/ws/echo", source=said(b"\xff\xfe\x00\n"))
    assert run.body == b"\xff\xfe\x00\n"


def test_a_page_that_is_no_web_socket_is_22() -> None:
    run = run_get(serving("http"), "ws://server/none", source=said(b"x\n"))
    assert (run.one.exit_status, run.one.http_code) == (22, 404)
    assert run.one.error == "Refused WebSockets upgrade: 404"


@pytest.mark.parametrize(
    ("reply", "status"),
    [(b"", 52), (b"SSH-2.0-x\r\n\r\n", 8), (b"HTTP/1.1 101 Go\r\nUpgrade: websocket\r\n\r\n", 8)],
)
def test_replies_that_are_no_upgrade(reply: bytes, status: int) -> None:
    async def handle(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.send_all(reply)

    run = run_get(handling(handle), "ws://server/", source=said(b"x\n"))
    assert run.one.exit_status == status


def accepting(after: Handler) -> Handler:
    """Upgrade, then do something else."""
    from base64 import b64encode
    from hashlib import sha1

    async def handle(stream: trio.SocketStream) -> None:
        head = bytes(await stream.receive_some()).decode()
        [key] = [line[19:] for line in head.split("\r\n") if line.startswith("Sec-WebSocket-Key")]
        token = b64encode(sha1(f"{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest())
        await stream.send_all(
            b"HTTP/1.1 101 Go\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + token + b"\r\n\r\n"
        )
        await after(stream)

    return handle


def test_a_ping_that_crosses_our_close_is_not_answered() -> None:
    async def ping_late(stream: trio.SocketStream) -> None:
        await trio.sleep(6)  # the client has begun to close
        await stream.send_all(b"\x89\x02hi")
        await trio.sleep(1)
        await stream.send_all(b"\x88\x02\x03\xe8")

    run = run_get(handling(accepting(ping_late)), "ws://server/", source=said(b""))
    assert (run.one.exit_status, run.one.error) == (0, "")


def test_a_server_that_closes_with_trouble_says_why() -> None:
    async def close(stream: trio.SocketStream) -> None:
        await stream.send_all(b"\x81\x02hi" + b"\x88\x06\x03\xf3oops")
        await trio.sleep(1)

    run = run_get(handling(accepting(close)), "ws://server/", source=said(b""))
    assert (run.one.exit_status, run.body) == (56, b"hi\n")
    assert run.one.error == "WebSocket closed by the server: 1011 oops"


def test_a_connection_that_ends_without_a_close_is_56() -> None:
    async def leave(stream: trio.SocketStream) -> None:
        await stream.send_all(b"\x81\x02hi")

    run = run_get(handling(accepting(leave)), "ws://server/", source=said(b"x\n"))
    assert (run.one.exit_status, run.body) == (56, b"hi\n")


def test_a_server_that_says_nothing_any_more_is_28() -> None:
    async def hang(stream: trio.SocketStream) -> None:
        await trio.sleep_forever()

    run = run_get(handling(accepting(hang)), "ws://server/", source=said(b"x\n"))
    assert (run.one.exit_status, run.one.total_s) == (28, 10.0)


def test_a_broken_frame_is_56() -> None:
    async def break_it(stream: trio.SocketStream) -> None:
        await stream.send_all(b"\xff\xff\xff\xff")
        await trio.sleep(1)

    run = run_get(handling(accepting(break_it)), "ws://server/", source=said(b""))
    text = "WebSocket closed by the server: 1002 Invalid opcode 0xf"
    assert (run.one.exit_status, run.one.error) == (56, text)


# FTP


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "dir").mkdir()
    (tmp_path / "dir" / "a b.txt").write_text("some text in a file")
    (tmp_path / "big").write_bytes(bytes(range(256)) * 2000)
    return tmp_path


def test_a_file_a_part_of_it_and_its_size(files: Path) -> None:
    prepare = serving("ftp", root=files)
    url = "ftp://server/dir/a%20b.txt"
    run = run_get(prepare, url, delay="10ms")
    assert (run.one.exit_status, run.body, run.one.http_code) == (0, b"some text in a file", 226)
    assert run_get(prepare, url, options=GetOptions(range_text="10-")).body == b"in a file"
    assert run_get(prepare, url, options=GetOptions(range_text="5-8")).body == b"text"
    run = run_get(prepare, url, options=GetOptions(head=True))
    assert run.body == b"Content-Length: 19\r\nAccept-ranges: bytes\r\n"
    run = run_get(prepare, "ftp://server/big", delay="5ms", loss="3%")
    assert run.body == (files / "big").read_bytes()


def test_a_file_that_ends_before_the_range_is_36() -> None:
    # vsftpd takes any REST, sends nothing and says that all is well.
    steps = (*LOGIN, ("TYPE", "200 k\r\n"), ("SIZE", "213 6\r\n"))
    run = run_get(scripted(*steps, port=21), "ftp://server/x", options=GetOptions(range_text="7-"))
    assert run.one.exit_status == 36
    assert run.one.error == "Offset (7) was beyond file size (6)"


def test_a_directory_is_listed(files: Path) -> None:
    run = run_get(serving("ftp", root=files), "ftp://server/dir/")
    assert run.one.exit_status == 0
    assert run.body.endswith(b" a b.txt\r\n")
    run = run_get(serving("ftp", root=files), "ftp://server/none/")
    assert (run.one.exit_status, run.one.error) == (
        9,
        "Server denied you to change to the given directory",
    )


def test_a_file_is_put_where_that_is_allowed(files: Path) -> None:
    prepare = serving("ftp", root=files, writable=True, accounts=["me:secret"])
    data = bytes(range(256)) * 300
    options = GetOptions(user="me:secret")
    run = run_get(prepare, "ftp://server/dir/new", options=options, source=said(data), delay="5ms")
    assert (run.one.exit_status, run.one.size_upload) == (0, len(data))
    assert (files / "dir" / "new").read_bytes() == data
    run = run_get(prepare, "ftp://me:wrong@server/big")
    assert (run.one.exit_status, run.one.error) == (67, "Access denied: 530")
    run = run_get(serving("ftp", root=files), "ftp://server/new", source=said(data))
    assert run.one.exit_status == 25
    assert run.one.error.startswith("Failed FTP upload: 55")


def test_ftp_over_tls_and_where_it_cannot_be_had(files: Path) -> None:
    options = replace(INSECURE, require_tls=True)
    run = run_get(serving("ftp", root=files), "ftp://server/big", options=options)
    assert run.body == (files / "big").read_bytes()
    assert any("> PROT P" in line for line in run.talk)
    plain = scripted((None, "220 hi\r\n"), ("AUTH TLS", "500 what?\r\n"), port=21)
    run = run_get(plain, "ftp://server/big", options=options)
    assert (run.one.exit_status, run.one.error) == (64, "Requested SSL level failed")


LOGIN = ((None, "220 hi\r\n"), ("USER", "331 ?\r\n"), ("PASS", "230-so\r\n 230 no\r\n230 in\r\n"))


@pytest.mark.parametrize(
    ("steps", "status"),
    [
        (((None, "SSH-2.0-OpenSSH\r\n"),), 8),
        (((None, "421 full\r\n"),), 8),
        (((None, "220 " + "x" * 9000),), 8),
        (((None, "220-x\r\n" * 1001),), 8),
        ((), 56),
        ((*LOGIN, ("TYPE", "200 k\r\n"), ("EPSV", "500 \r\n"), ("PASV", "500 \r\n")), 13),
        ((*LOGIN, ("TYPE", "200 k\r\n"), ("EPSV", "229 (|||0|)\r\n"), ("PASV", "227 x\r\n")), 13),
        ((*LOGIN, ("TYPE", "200 k\r\n"), ("EPSV", "229 (|||9|)\r\n")), 7),
    ],
)
def test_servers_that_are_not_what_they_should_be(
    steps: tuple[tuple[str | None, str], ...], status: int
) -> None:
    run = run_get(scripted(*steps, port=21), "ftp://server/x")
    assert run.one.exit_status == status, run.one.error


def test_data_is_fetched_from_the_server_itself_whatever_it_says() -> None:
    # FTP bounce: the address in 227 is another's.
    steps = (*LOGIN, ("TYPE", "200 k\r\n"), ("EPSV", "500 \r\n"))
    bounce = ("PASV", "227 Entering (10,0,0,77,1,1)\r\n")
    run = run_get(scripted(*steps, bounce, port=21), "ftp://server/x")
    assert run.one.exit_status == 7
    assert "Trying 10.0.0.2:257..." in run.talk[-3]


def test_a_name_cannot_be_two_commands() -> None:
    run = run_get(scripted(*LOGIN, ("TYPE", "200 k\r\n"), port=21), "ftp://server/x%0d%0aDELE%20y")
    assert run.one.exit_status != 0
    assert not any("DELE" in line and ">" in line for line in run.talk)


# SMTP

MAIL = GetOptions(mail_from="me@example.com", mail_rcpt=("you@example.org", "he@example.org"))
LETTER = b"Subject: x\n\n.\n..two\nend"


def test_a_message_is_delivered_with_its_dots(tmp_path: Path) -> None:
    prepare = serving("smtp", root=tmp_path, mail_for=["example.org"])
    run = run_get(prepare, "smtp://server/me", options=MAIL, source=said(LETTER), delay="10ms")
    assert (run.one.exit_status, run.one.http_code) == (0, 250), run.one.error
    [path] = (tmp_path / "Maildir" / "new").iterdir()
    assert path.read_bytes().replace(b"\r\n", b"\n").endswith(LETTER + b"\n")
    assert any("> EHLO me" in line for line in run.talk)


def test_a_message_by_tls(tmp_path: Path) -> None:
    prepare = serving("smtp", root=tmp_path, mail_for=["*"])
    options = replace(MAIL, insecure=True, require_tls=True)
    run = run_get(prepare, "smtp://server", options=options, source=said(LETTER, size=False))
    assert run.one.exit_status == 0, run.one.error
    assert any("> STARTTLS" in line for line in run.talk)


@pytest.mark.parametrize(
    ("change", "status", "sentence"),
    [
        ({"mail_rcpt": ("you@elsewhere.example",)}, 55, "RCPT failed: 55"),
        ({"mail_rcpt": ()}, 2, "a message by SMTP takes -T FILE"),
        ({"mail_from": "a>\r\nRCPT TO:<b"}, 2, "is not a mail address"),
        ({"user": "me:x"}, 67, "there is no logging in to SMTP here"),
    ],
)
def test_mail_that_is_not_taken(
    tmp_path: Path, change: dict[str, object], status: int, sentence: str
) -> None:
    options = replace(MAIL, **change)  # type: ignore[arg-type]
    prepare = serving("smtp", root=tmp_path, mail_for=["example.org"])
    run = run_get(prepare, "smtp://server", options=options, source=said(LETTER))
    assert run.one.exit_status == status
    assert sentence in run.one.error
    assert not list((tmp_path / "Maildir" / "new").glob("*"))


def test_a_server_that_knows_helo_alone_and_refuses_the_message() -> None:
    steps = (
        (None, "220 old\r\n"),
        ("EHLO", "502 what?\r\n"),
        ("HELO client", "250 hello\r\n"),
        ("MAIL FROM:<me@example.com>", "250 ok\r\n"),
        ("RCPT", "250 ok\r\n"),
        ("RCPT", "251 ok\r\n"),
        ("DATA", "354 go on\r\n"),
        *(("Subject", ""), ("", ""), ("..", ""), ("...two", ""), ("end", "")),
        (".", "554 no\r\n"),
    )
    run = run_get(scripted(*steps, port=25), "smtp://server", options=MAIL, source=said(LETTER))
    assert (run.one.exit_status, run.one.error) == (8, "the message was refused: 554")


def test_words_of_the_server_before_tls_are_not_believed() -> None:
    steps = (
        (None, "220 x\r\n"),
        ("EHLO", "250-x\r\n250 STARTTLS\r\n"),
        ("STARTTLS", "220 go\r\n250 injected\r\n"),
    )
    options = replace(MAIL, insecure=True, require_tls=True)
    run = run_get(scripted(*steps, port=25), "smtp://server", options=options, source=said(LETTER))
    assert (run.one.exit_status, run.one.error) == (
        35,
        "the server says more before TLS than it may",
    )


@given(
    st.lists(st.sampled_from([b".", b"a", b"\r", b"\n", b"\r\n", b"..", b"\r\n."]), max_size=30),
    st.integers(1, 5),
)
def test_stuffing_is_undone_by_who_follows_the_rule(parts: list[bytes], step: int) -> None:
    message = b"".join(parts)
    stuffing = Stuffing()
    wire = b"".join(stuffing.feed(message[at : at + step]) for at in range(0, len(message), step))
    wire += stuffing.end()
    lines = wire.split(b"\r\n")
    assert lines[-2:] == [b".", b""]
    assert not any(b"\r" in line or b"\n" in line for line in lines)
    assert b"." not in lines[:-2]
    shown = b"\r\n".join(line.removeprefix(b".") for line in lines[:-2])
    wanted = message.replace(b"\r\n", b"\n").replace(b"\r", b"\n").removesuffix(b"\n")
    assert shown == wanted.replace(b"\n", b"\r\n")


@pytest.mark.parametrize("protocol", ["ws", "ftp", "smtp"])
def test_seeds_on_a_bad_line_are_whole_or_a_clean_error(protocol: str, files: Path) -> None:
    services = {
        "ws": serving("http"),
        "ftp": serving("ftp", root=files),
        "smtp": serving("smtp", root=files, mail_for=["*"]),
    }
    url = {"ws": "ws://server/ws/echo", "ftp": "ftp://server/big", "smtp": "smtp://server"}
    source = {"ws": said(b"a line\n" * 200), "ftp": None, "smtp": said(LETTER)}
    bodies = {"ws": b"a line\n" * 200, "ftp": (files / "big").read_bytes(), "smtp": b""}
    statuses: list[int] = []
    for seed in range(40):
        run = run_get(
            services[protocol],
            url[protocol],
            options=replace(MAIL, max_time_s=60.0),
            source=source[protocol],
            seed=seed,
            delay="10ms",
            jitter="5ms",
            loss="10%",
            duplicate="2%",
        )
        statuses.append(run.one.exit_status)
        assert statuses[-1] in (0, 7, 28), (seed, run.one.error)
        if statuses[-1] == 0:
            assert run.body == bodies[protocol]
    assert statuses.count(0) > 30
