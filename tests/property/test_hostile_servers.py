"""Whatever a server says, a client of ours ends with a status of its own, and in its time."""

import io
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
import trio
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

sys.path.append(str(Path(__file__).parent.parent / "network"))
from get_runs import handling, run_get  # type: ignore[import-not-found, unused-ignore]

from pystack.apps.clients.desk import Source
from pystack.apps.clients.job import GetOptions
from pystack.apps.clients.trouble import Status

OPTIONS = GetOptions(
    compressed=True,
    follow=True,
    insecure=True,
    include=True,
    max_time_s=30.0,
    mail_from="a@b.example",
    mail_rcpt=("c@d.example",),
)
URLS = {
    "http": ("http://server/", 80, None),
    "http2": ("http://server/", 80, "2-prior-knowledge"),
    "https": ("https://server/", 443, None),
    "ws": ("ws://server/", 80, None),
    "ftp": ("ftp://server/x", 21, None),
    "smtp": ("smtp://server/", 25, None),
}
SAID = (
    b"HTTP/1.1 200 OK\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
    b"HTTP/1.1 302 Go\r\nLocation: //[\r\n\r\n",
    b"HTTP/1.1 302 Go\r\nLocation: \xff\r\n\r\n",
    b"Content-Length: 5\r\n",
    b"Content-Length: -1\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Content-Encoding: gzip\r\n",
    b"Content-Encoding: br\r\n",
    b"\r\n",
    b"\n",
    b"ffffffffffffffff\r\n",
    b"0\r\n\r\n",
    b"220 x\r\n",
    b"220-x\r\n",
    b"250-SIZE x\r\n250 STARTTLS\r\n",
    b"230 in\r\n",
    b"229 (|||99999|)\r\n",
    b"227 (1,2,3,4,999,0)\r\n",
    b"150 comes\r\n",
    b"354 go\r\n",
    b"\x00\x00\x00\x04\x00\x00\x00\x00\x00",  # HTTP/2: SETTINGS
    b"\x00\x00\x08\x07\x00\x00\x00\x00\x00" + bytes(8),  # GOAWAY
    b"\x00\x00\x04\x03\x00\x00\x00\x00\x01\x00\x00\x00\x08",  # RST_STREAM
    b"\x00\x00\x01\x01\x05\x00\x00\x00\x01\x88",  # HEADERS: 200, and no more
    b"\x00\xff\xff\x00\x00\x00\x00\x00\x01",
    b"\x81\x05hello",
    b"\x88\x02\x03\xe8",
    b"\x15\x03\x03\x00\x02\x02\x28",  # a fatal alert of TLS
)
_MORE = st.lists(st.one_of(st.sampled_from(SAID), st.binary(max_size=40)), max_size=8)
PARTS = st.tuples(st.sampled_from(SAID), _MORE).map(lambda both: [both[0], *both[1]])


@pytest.mark.parametrize("name", list(URLS))
@settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(parts=PARTS, first=st.booleans(), stays=st.booleans())
@example(parts=[b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 30_000], first=False, stays=False)
@example(parts=[b"HTTP/1.1 302 Go\r\nLocation: //[\r\n\r\n"], first=False, stays=False)
@example(parts=[b"2" * 100_000], first=True, stays=True)
def test_it_is_a_status_and_no_more(
    name: str, parts: list[bytes], first: bool, stays: bool
) -> None:
    url, port, http = URLS[name]

    async def handle(stream: trio.SocketStream) -> None:
        if not first:
            await stream.receive_some()
        for part in parts:
            await stream.send_all(part)
            await trio.sleep(0.01)
        if stays:
            await trio.sleep(60)

    async def tolerant(stream: trio.SocketStream) -> None:
        with suppress(trio.BrokenResourceError):  # the client has had enough
            await handle(stream)

    def source() -> Source:
        return Source(io.BytesIO(b"a line\n"), size_bytes=7, is_virtual=True)

    run = run_get(
        handling(tolerant, port),
        url,
        options=replace(OPTIONS, http=http),
        source=source if name in ("ws", "smtp") else None,
    )
    assert run.one.exit_status in {int(status) for status in Status}
    assert (run.one.exit_status == 0) == (run.one.error == "")
    assert run.one.total_s <= 30.0 + 10.0
