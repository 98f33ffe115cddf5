"""`pystack get` over HTTP in virtual time: curl's instants, statuses and manner."""

import gzip
import hashlib
import io
import zlib
from dataclasses import replace

import pytest
import trio
from get_runs import Run, answering, handling, run_get, serving

import pystack
from pystack.apps.clients.desk import Source
from pystack.apps.clients.job import GetOptions
from pystack.apps.clients.transfer import written_out
from pystack.link.link import Link
from pystack.runtime.host import Host

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
GET = "http://server/"


def out(text: str, run: Run) -> str:
    return "".join(part for _, part in written_out(text, run.transfers[-1], lambda name: None))


def test_each_step_has_its_instant() -> None:
    run = run_get(answering(OK), GET, delay="40ms")
    assert (run.one.exit_status, run.body) == (0, b"hi")
    # 80 ms for ARP, 80 for the handshake, 80 for the request; the FIN is nobody's business.
    text = "%{time_namelookup} %{time_connect} %{time_appconnect} %{time_pretransfer} "
    text += "%{time_starttransfer} %{time_total}"
    assert out(text, run) == "0.000000 0.160000 0.000000 0.160000 0.240000 0.240000"
    text = "%{http_code} %{http_version} %{num_connects} %{size_download} %{speed_download} "
    text += "%{remote_ip}:%{remote_port} %{local_ip} %{method} %{scheme}"
    assert out(text, run) == "200 1.1 1 2 8 10.0.0.2:80 10.0.0.1 GET HTTP"


def test_a_second_url_goes_by_the_same_connection() -> None:
    run = run_get(serving("http"), GET, GET, delay="40ms")
    first, second = run.transfers
    assert (first.num_connects, second.num_connects) == (1, 0)
    assert second.times_s["connect"] == 0.0
    assert out("%{time_starttransfer}", run) == "0.080000"
    assert (second.local_ip, second.local_port) == (first.local_ip, first.local_port)
    assert (second.remote_ip, second.remote_port) == ("10.0.0.2", 80)
    assert any("Re-used existing connection" in line for line in run.talk)


def test_verbose_is_curls_with_the_worlds_instants() -> None:
    run = run_get(answering(OK), f"{GET}page?x=1", delay="40ms")
    assert run.talk == [
        "00:00:00.000000 *   Trying 10.0.0.2:80...",
        "00:00:00.160000 * Connected to server (10.0.0.2) port 80 (#0)",
        "00:00:00.160000 > GET /page?x=1 HTTP/1.1",
        "00:00:00.160000 > Host: server",
        f"00:00:00.160000 > User-Agent: pystack/{pystack.__version__}",
        "00:00:00.160000 > Accept: */*",
        "00:00:00.160000 > ",
        "00:00:00.240000 < HTTP/1.1 200 OK",
        "00:00:00.240000 < Content-Length: 2",
        "00:00:00.240000 < ",
        "00:00:00.240000 * Connection #0 to host server left intact",
    ]


def test_the_same_seed_is_the_same_transfer() -> None:
    words = {"delay": "20ms", "jitter": "10ms", "loss": "10%"}
    runs = [
        run_get(serving("http"), "http://server/bytes/100000", seed=seed, **words)
        for seed in (5, 5, 6)
    ]
    assert [run.one.size_download for run in runs] == [100_000] * 3
    assert runs[0].talk == runs[1].talk
    assert runs[0].one.total_s == runs[1].one.total_s != runs[2].one.total_s


@pytest.mark.parametrize(
    ("reply", "then", "status", "sentence"),
    [
        (b"", "close", 52, "Empty reply from server"),
        (b"HTTP/1.1 200 OK\r\nContent-Le", "close", 52, "Empty reply from server"),
        (b"", "reset", 56, "Recv failure: Connection reset by peer"),
        (b"hello\r\n\r\n", "close", 1, "Received HTTP/0.9 when not allowed"),
        (OK[:-1], "close", 18, "transfer closed with 1 bytes remaining to read"),
        (OK[:-1], "reset", 56, "Recv failure: Connection reset by peer"),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
            "close",
            18,
            "transfer closed with outstanding read data remaining",
        ),
        (b"HTTP/1.1 200 OK\r\nBad Name: x\r\n\r\n", "close", 8, "Weird server reply: "),
        (b"HTTP/1.1 302 Go\r\nContent-Length: 0\r\n\r\n", "close", 0, ""),
    ],
)
def test_what_goes_wrong_has_curls_status(
    reply: bytes, then: str, status: int, sentence: str
) -> None:
    run = run_get(answering(reply, then=then), GET, delay="1ms")
    assert run.one.exit_status == status
    assert run.one.error.startswith(sentence)


@pytest.mark.parametrize("then", ["close", "reset"])
def test_a_kept_connection_that_ends_under_a_request_is_replaced(then: str) -> None:
    # The server has read the second request, and ends: nobody could have seen it before.
    run = run_get(answering(OK, b"", then=then), GET, GET, delay="40ms")
    first, second = run.transfers
    assert (second.exit_status, second.error, run.body) == (0, "", b"hi")
    assert second.remote_port == 80
    assert second.local_port != first.local_port
    assert out("%{num_connects} %{time_starttransfer}", run) == "1 0.240000"
    assert any("Connection died, retrying a fresh connect" in line for line in run.talk)


def test_what_was_posted_is_not_posted_again_unasked() -> None:
    run = run_get(answering(OK, b""), GET, GET, options=GetOptions(data=b"x=1"), delay="40ms")
    assert [each.exit_status for each in run.transfers] == [0, 52]


def test_a_connection_that_never_answers_is_not_tried_for_ever() -> None:
    run = run_get(answering(b""), GET, GET, delay="40ms")
    assert [each.exit_status for each in run.transfers] == [52, 52]
    assert [each.num_connects for each in run.transfers] == [1, 1]


def test_http_2_without_an_answer_is_an_empty_reply() -> None:
    options = GetOptions(http="2-prior-knowledge")
    run = run_get(answering(b""), GET, options=options, delay="1ms")
    assert (run.one.exit_status, run.one.error) == (52, "Empty reply from server")


async def _nobody(_server: Host, _link: Link) -> None:
    pass


def test_a_port_that_nobody_has_is_7_after_its_round_trips() -> None:
    run = run_get(_nobody, "http://server:81/", delay="40ms")
    assert run.one.exit_status == 7
    assert run.one.error == (
        "Failed to connect to server port 81 after 320 ms: Couldn't connect to server"
    )
    for address in ("10.0.0.2", "fd00::2"):  # each is found, and asked
        assert any(
            f"connect to {address} port 81 failed: Connection refused" in line for line in run.talk
        )


def test_a_name_that_nobody_has_is_6() -> None:
    run = run_get(_nobody, "http://serve/")
    assert (run.one.exit_status, run.one.error) == (6, "Could not resolve host: serve")


@pytest.mark.parametrize(
    ("options", "sentence", "ended_at"),
    [
        (
            GetOptions(connect_timeout_s=0.5),
            "Failed to connect to server port 80 after 500 ms: Timeout was reached",
            0.5,
        ),
        (
            GetOptions(max_time_s=0.75),
            "Operation timed out after 750 milliseconds with 0 bytes received",
            0.75,
        ),
    ],
)
def test_time_is_up_at_its_time(options: GetOptions, sentence: str, ended_at: float) -> None:
    run = run_get(_nobody, GET, options=options, loss="100%")
    assert (run.one.exit_status, run.one.error) == (28, sentence)
    assert run.one.total_s == ended_at


def test_a_body_that_stops_runs_out_of_time_with_what_came() -> None:
    part = answering(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", then="hang")
    run = run_get(part, GET, options=GetOptions(max_time_s=2.0))
    assert (run.one.exit_status, run.body) == (28, b"abc")
    assert run.one.error.endswith("after 2000 milliseconds with 3 bytes received")


def test_fail_gives_no_body() -> None:
    run = run_get(serving("http"), "http://server/none", options=GetOptions(fail=True))
    assert (run.one.exit_status, run.body) == (22, b"")
    assert run.one.error == "The requested URL returned error: 404"
    run = run_get(serving("http"), "http://server/none")
    assert (run.one.exit_status, run.one.http_code) == (0, 404)
    assert run.body


def test_a_head_alone_and_a_head_with_its_body() -> None:
    url = "http://server/bytes/10"
    run = run_get(serving("http"), url, options=GetOptions(head=True))
    assert run.one.method == "HEAD"
    assert run.body.startswith(b"HTTP/1.1 200 OK\r\n")
    assert run.body.endswith(b"\r\n\r\n")
    assert run.one.size_download == 0
    assert run.one.size_header == len(run.body)
    run = run_get(serving("http"), url, options=GetOptions(include=True))
    assert len(run.body) == run.one.size_header + 10


def redirecting(*steps: str) -> Run:
    replies = {
        "/1": "302 Found\r\nLocation: /2",
        "/2": "307 Go\r\nLocation: http://server/3",
        "/3": "200 OK",
        "/loop": "301 Again\r\nLocation: loop",
        "/away": "302 Found\r\nLocation: ftp://server/",
        "/lost": "302 Found\r\nLocation: http://nobody/",
    }
    seen: list[str] = []

    async def handle(stream: trio.SocketStream) -> None:
        data = b""
        async for chunk in stream:
            data += chunk
            while b"\r\n\r\n" in data:
                head, _, data = data.partition(b"\r\n\r\n")
                lines = head.decode().split("\r\n")
                length = sum(int(line[16:]) for line in lines if line.startswith("Content-Length"))
                while len(data) < length:
                    data += await stream.receive_some()
                body, data = data[:length], data[length:]
                method, path, _ = lines[0].split()
                seen.append(f"{method} {body.decode()}".strip())
                reply = f"HTTP/1.1 {replies[path]}\r\nContent-Length: 2\r\n\r\nhi"
                await stream.send_all(reply.encode())

    run = run_get(
        handling(handle),
        *steps,
        options=GetOptions(follow=True, max_redirects=5, data=b"x=1"),
        delay="40ms",
    )
    run.talk = seen
    return run


def test_redirections_are_followed_as_curl_does() -> None:
    run = redirecting("http://server/1")
    assert run.talk == ["POST x=1", "GET", "GET"]
    assert run.body == b"hi"
    text = "%{num_redirects} %{num_connects} %{url_effective} %{time_redirect} %{time_connect} "
    text += "%{time_starttransfer} %{time_total} %{size_download}"
    assert out(text, run) == "2 1 http://server/3 0.320000 0.160000 0.400000 0.400000 2"


def test_a_redirection_may_keep_what_was_posted() -> None:
    run = redirecting("http://server/2")
    assert run.talk == ["POST x=1", "POST x=1"]


@pytest.mark.parametrize(
    ("path", "status", "sentence"),
    [
        ("loop", 47, "Maximum (5) redirects followed"),
        ("away", 1, "Protocol 'ftp' not supported in a redirection"),
        ("lost", 6, "Could not resolve host: nobody"),
    ],
)
def test_redirections_that_lead_nowhere(path: str, status: int, sentence: str) -> None:
    run = redirecting(f"http://server/{path}")
    assert (run.one.exit_status, run.one.error) == (status, sentence)


@pytest.mark.parametrize(
    ("location", "status", "told"),
    [
        ("//[", 3, ""),
        ("http://server:99999/", 3, "http://server:99999/"),
        ("javascript:x", 3, "javascript:x"),
        ("gopher://x/", 1, "gopher://x/"),
        ("\xff", 47, "http://server/\xff"),
        ("#part", 47, "http://server/#part"),
    ],
)
def test_locations_that_are_none(location: str, status: int, told: str) -> None:
    head = f"HTTP/1.1 302 Go\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n"
    reply = head.encode("latin-1")
    run = run_get(answering(reply, reply), GET, options=GetOptions(follow=True, max_redirects=1))
    assert run.one.exit_status == status
    run = run_get(answering(reply), GET)
    assert (run.one.exit_status, run.one.redirect_url) == (0, told)


def test_without_following_it_is_told_where_it_would_go() -> None:
    reply = b"HTTP/1.1 302 Go\r\nLocation: ../b?c\r\nContent-Length: 0\r\n\r\n"
    run = run_get(answering(reply), "http://server/a/x")
    assert out("%{http_code} %{redirect_url}", run) == "302 http://server/b?c"


def test_what_logs_in_is_for_the_first_host_alone() -> None:
    seen: list[bytes] = []

    async def handle(stream: trio.SocketStream) -> None:
        seen.append(await stream.receive_some())
        location = b"Location: http://server:8080/\r\n" if len(seen) == 1 else b""
        code = b"302 Go" if len(seen) == 1 else b"200 OK"
        await stream.send_all(
            b"HTTP/1.1 " + code + b"\r\n" + location + b"Content-Length: 0\r\n\r\n"
        )

    async def prepare(server: Host, _link: Link) -> None:
        await server.start(trio.serve_tcp, handle, 80)
        await server.start(trio.serve_tcp, handle, 8080)

    run_get(prepare, "http://me:s%20e@server/", options=GetOptions(follow=True))
    assert b"Authorization: Basic bWU6cyBl\r\n" in seen[0]
    assert b"Host: server\r\n" in seen[0]
    assert b"Authorization" not in seen[1]
    assert b"Host: server:8080\r\n" in seen[1]


def asked(options: GetOptions) -> bytes:
    seen: list[bytes] = []

    async def handle(stream: trio.SocketStream) -> None:
        seen.append(await stream.receive_some())
        if options.data is not None:
            seen.append(await stream.receive_some())
        await stream.send_all(OK)

    run_get(handling(handle), GET, options=options)
    return b"".join(seen)


def test_header_lines_take_the_place_of_ours() -> None:
    headers = ("host: other", "Accept:", "X-Empty;", "X-Two: 1", "X-Two: 2")
    request = asked(GetOptions(headers=headers, user_agent="me/1", range_text="0-4"))
    assert request == (
        b"GET / HTTP/1.1\r\nhost: other\r\nUser-Agent: me/1\r\nRange: bytes=0-4\r\nX-Empty: \r\n"
        b"X-Two: 1\r\nX-Two: 2\r\n\r\n"
    )


def test_what_is_posted_has_its_length_and_type() -> None:
    request = asked(GetOptions(data=b"a=1&b=2"))
    assert request.startswith(b"POST / HTTP/1.1\r\n")
    assert b"Content-Length: 7\r\nContent-Type: application/x-www-form-urlencoded\r\n" in request
    assert request.endswith(b"\r\n\r\na=1&b=2")


@pytest.mark.parametrize("size_bytes", [300_000, None])
def test_an_upload_arrives_whole(size_bytes: int | None) -> None:
    data = bytes(range(256)) * 1200

    def source() -> Source:
        return Source(
            io.BytesIO(data),
            size_bytes=len(data) if size_bytes is not None else None,
            is_virtual=True,
        )

    run = run_get(serving("http"), "http://server/upload", source=source, delay="5ms")
    assert run.one.exit_status == 0
    assert (run.one.method, run.one.size_upload) == ("PUT", len(data))
    assert hashlib.sha256(data).hexdigest().encode() in run.body


@pytest.mark.parametrize("coding", ["gzip", "deflate", "raw"])
def test_compressed_is_unfolded_and_counted_as_it_came(coding: str) -> None:
    text = b"to and fro, " * 20_000
    packed = gzip.compress(text) if coding == "gzip" else zlib.compress(text)
    if coding == "raw":
        packed = packed[2:-4]
    named = b"deflate" if coding == "raw" else coding.encode()
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: %s\r\nContent-Length: %d\r\n\r\n"
    reply = head % (named, len(packed)) + packed
    run = run_get(answering(reply), GET, options=GetOptions(compressed=True))
    assert run.body == text
    assert run.one.size_download == len(packed)
    assert run_get(answering(reply), GET).body == packed  # nobody asked for it


@pytest.mark.parametrize(
    ("encoding", "body"),
    [(b"br", b"x"), (b"gzip", b"no gzip"), (b"gzip", gzip.compress(b"x", mtime=0)[:-2])],
)
def test_a_coding_that_cannot_be_read_is_61(encoding: bytes, body: bytes) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: %s\r\nContent-Length: %d\r\n\r\n"
    reply = head % (encoding, len(body)) + body
    run = run_get(answering(reply), GET, options=GetOptions(compressed=True))
    assert run.one.exit_status == 61


def test_a_server_that_answers_early_and_hangs_up_is_heard() -> None:
    async def handle(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.send_all(
            b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nno!"
        )
        await stream.aclose()

    def source() -> Source:
        return Source(io.BytesIO(bytes(5_000_000)), size_bytes=5_000_000, is_virtual=True)

    run = run_get(handling(handle), GET, source=source, delay="5ms")
    assert (run.one.exit_status, run.one.http_code) == (0, 413)


def test_one_of_several_addresses_that_is_dead_costs_half_of_the_time() -> None:
    """Until names have several addresses by the DNS, they have them by the resolver's hook."""
    run = Run()

    class Both(trio.abc.HostnameResolver):
        async def getaddrinfo(self, host: object, port: object, *rest: object) -> list:  # type: ignore[type-arg]
            return [(2, 1, 6, "", (address, 0)) for address in ("10.0.0.77", "10.0.0.2")]

        async def getnameinfo(self, sockaddr: object, flags: int) -> tuple[str, str]:
            raise NotImplementedError

    async def prepare(server: Host, _link: Link) -> None:
        await answering(OK)(server, _link)
        trio.socket.set_custom_hostname_resolver(Both())

    run = run_get(prepare, GET, options=GetOptions(connect_timeout_s=4.0))
    assert (run.one.exit_status, run.one.remote_ip) == (0, "10.0.0.2")
    assert run.one.times_s["connect"] == pytest.approx(2.0, abs=0.01)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ({"head": True, "data": b""}, "say one"),
        ({"headers": ("no header",)}, "is no header"),
        ({"headers": ("a: b\r\nc: d",)}, "is no header"),
        ({"headers": ("na\N{SNOWMAN}me: x",)}, "is no header"),
        ({"headers": (": x",)}, "is no header"),
        ({"max_redirects": -1}, "--max-redirs -1"),
        ({"max_time_s": 0.0}, "--max-time 0"),
        ({"connect_timeout_s": float("nan")}, "--connect-timeout nan"),
    ],
)
def test_options_that_cannot_be_are_refused(words: dict[str, object], sentence: str) -> None:
    with pytest.raises(pystack.ConfigError, match=sentence):
        replace(GetOptions(), **words)  # type: ignore[arg-type]


def test_two_hundred_seeds_on_a_bad_line_are_whole_or_a_clean_error() -> None:
    statuses = set()
    for seed in range(200):
        run = run_get(
            serving("http"),
            "http://server/bytes/20000",
            options=GetOptions(max_time_s=20.0),
            seed=seed,
            delay="10ms",
            jitter="5ms",
            loss="10%",
            corrupt="2%",
            duplicate="2%",
        )
        assert (run.one.exit_status == 0) == (run.one.size_download == 20_000)
        statuses.add(run.one.exit_status)
    assert statuses <= {0, 7, 28}  # 7: ARP was lost three times
