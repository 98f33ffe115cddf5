"""TLS of the standard library in blocking programs: the same on Linux's loopback and on a host."""

import select
import socket
import ssl
import threading
import time
from collections.abc import Callable

import trio
from worlds import Certificates, in_virtual_time

import pystack

Said = list[object]
Side = Callable[[socket.socket, Said], None]


def on_linux(server: Side, client: Side) -> list[Said]:
    """Run both in threads of the machine; return what each has said."""
    said: list[Said] = [[], []]
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            made, _ = listening.accept()
            with made:
                server(made, said[0])

        thread = threading.Thread(target=serve)
        thread.start()
        with socket.create_connection(listening.getsockname()) as made:
            client(made, said[1])
        thread.join()
    return said


def on_a_host(server: Side, client: Side) -> list[Said]:
    """Run both on hosts in virtual time."""
    said: list[Said] = [[], []]

    def serve() -> None:
        with socket.create_server(("", 443)) as listening:
            made, _ = listening.accept()
            with made:
                server(made, said[0])

    def ask() -> None:
        with socket.create_connection(("b", 443)) as made:
            client(made, said[1])

    run_both(serve, ask)
    return said


def run_both(serve: Callable[[], None], ask: Callable[[], None]) -> None:
    """Run one on b, and the other on a soon after; wait for both."""

    async def main() -> None:
        async with pystack.Network(seed=1) as net, trio.open_nursery() as nursery:
            net.link(net.host("a"), net.host("b"), delay="2ms")
            nursery.start_soon(net.hosts["b"].run_sync, serve)
            await trio.sleep(0.01)
            nursery.start_soon(net.hosts["a"].run_sync, ask)

    in_virtual_time(main)


def words_of(error: BaseException) -> tuple[str, int | None, str]:
    """Return what an error says, without the line of CPython's source."""
    number = error.errno if isinstance(error, OSError) else None
    return type(error).__name__, number, str(error).split("(_ssl.c")[0].strip()


def saying(said: Said, call: Callable[[], object]) -> None:
    """Say what a call returns, or raises."""
    try:
        said.append(call())
    except (OSError, ValueError) as error:
        said.append(words_of(error))


def same_on_both(server: Side, client: Side) -> list[Said]:
    """Check that both say the same on Linux and here; return it."""
    ours = on_a_host(server, client)
    assert ours == on_linux(server, client)
    return ours


def test_a_session_with_all_that_is_told_of_it(certificates: Certificates) -> None:
    def serve(made: socket.socket, said: Said) -> None:
        context = certificates.server
        context.set_alpn_protocols(["h2", "http/1.1"])
        with context.wrap_socket(made, server_side=True) as tls:
            said += [tls.recv(100), tls.version(), tls.selected_alpn_protocol(), tls.server_side]
            tls.sendall(b"y" * 300_000)
            saying(said, lambda: type(tls.unwrap()).__name__.startswith("SSL"))

    def ask(made: socket.socket, said: Said) -> None:
        context = certificates.client
        context.set_alpn_protocols(["http/1.1"])
        tls = context.wrap_socket(made, server_hostname="server")
        said += [isinstance(tls, ssl.SSLSocket), tls.send(b"hello"), tls.recv_into(bytearray(5))]
        left = 300_000 - 5
        while left:
            left -= len(tls.recv(65536))
        certificate = tls.getpeercert()
        assert certificate is not None
        said += [tls.cipher(), certificate["subjectAltName"], tls.pending(), tls.server_hostname]
        said += [
            tls.session_reused,
            len(tls.get_channel_binding("tls-unique") or b""),
            made.fileno(),
        ]
        saying(said, lambda: tls.recv(10))
        saying(said, lambda: tls.unwrap().recv(10))
        tls.close()

    server, client = same_on_both(serve, ask)
    assert server[:4] == [b"hello", "TLSv1.3", "http/1.1", True]
    assert client[:3] == [True, 5, 5]


def test_what_follows_the_end_of_tls_is_plain(certificates: Certificates) -> None:
    def serve(made: socket.socket, said: Said) -> None:
        tls = certificates.server.wrap_socket(made, server_side=True)
        said.append(tls.recv(10))
        plain = tls.unwrap()
        plain.sendall(b"plainly said")
        said.append(plain.recv(10))
        plain.close()

    def ask(made: socket.socket, said: Said) -> None:
        tls = certificates.client.wrap_socket(made, server_hostname="server")
        tls.send(b"x")
        plain = tls.unwrap()
        said.append(plain.recv(100))
        plain.sendall(b"bye")
        plain.close()

    assert same_on_both(serve, ask) == [[b"x", b"bye"], [b"plainly said"]]


def test_a_certificate_that_nobody_knows(certificates: Certificates) -> None:
    def serve(made: socket.socket, said: Said) -> None:
        saying(said, lambda: certificates.server.wrap_socket(made, server_side=True))

    def ask(made: socket.socket, said: Said) -> None:
        context = ssl.create_default_context()
        saying(said, lambda: context.wrap_socket(made, server_hostname="server"))

    server, client = same_on_both(serve, ask)
    assert "CERTIFICATE_VERIFY_FAILED" in str(client)
    assert "TLSV1_ALERT_UNKNOWN_CA" in str(server)


def test_a_server_that_speaks_no_tls(certificates: Certificates) -> None:
    def serve(made: socket.socket, said: Said) -> None:
        made.recv(2000)
        made.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    def ask(made: socket.socket, said: Said) -> None:
        saying(said, lambda: certificates.client.wrap_socket(made, server_hostname="server"))

    assert "WRONG_VERSION_NUMBER" in str(same_on_both(serve, ask))


def test_a_server_that_goes_before_or_after_the_handshake(certificates: Certificates) -> None:
    def goes_before(made: socket.socket, said: Said) -> None:
        made.recv(2000)

    def goes_after(made: socket.socket, said: Said) -> None:
        certificates.server.wrap_socket(made, server_side=True).close()

    def ask(made: socket.socket, said: Said) -> None:
        saying(said, lambda: certificates.client.wrap_socket(made, server_hostname="server"))

    def ask_and_read(made: socket.socket, said: Said) -> None:
        tls = certificates.client.wrap_socket(made, server_hostname="server")
        saying(said, lambda: tls.recv(10))
        tls.close()

    def ask_and_read_exactly(made: socket.socket, said: Said) -> None:
        context = certificates.client
        tls = context.wrap_socket(made, server_hostname="server", suppress_ragged_eofs=False)
        saying(said, lambda: tls.recv(10))
        tls.close()

    same_on_both(goes_before, ask)
    assert same_on_both(goes_after, ask_and_read)[1] == [b""]
    said = str(same_on_both(goes_after, ask_and_read_exactly))
    # CPython before 3.11.4 has OpenSSL take the end without a goodbye for a proper one.
    is_ignored = certificates.client.options & ssl.OP_IGNORE_UNEXPECTED_EOF
    assert ("EOF occurred" in said) != bool(is_ignored)


def test_timeouts_say_what_has_timed_out(certificates: Certificates) -> None:
    def stays_silent(made: socket.socket, said: Said) -> None:
        while made.recv(2000):
            pass

    def serves_in_silence(made: socket.socket, said: Said) -> None:
        with certificates.server.wrap_socket(made, server_side=True) as tls:
            said.append(tls.recv(10))

    def ask(made: socket.socket, said: Said) -> None:
        made.settimeout(0.05)
        saying(said, lambda: certificates.client.wrap_socket(made, server_hostname="server"))

    def ask_and_read(made: socket.socket, said: Said) -> None:
        tls = certificates.client.wrap_socket(made, server_hostname="server")
        tls.settimeout(0.05)
        saying(said, lambda: tls.recv(10))
        tls.close()

    ours, real = on_a_host(stays_silent, ask), on_linux(stays_silent, ask)
    for each in (ours, real):  # CPython's words begin with a line of its source
        assert "handshake operation timed out" in str(each)
    assert "The read operation timed out" in str(same_on_both(serves_in_silence, ask_and_read))


def test_one_that_does_not_block_wants_to_read_and_write(certificates: Certificates) -> None:
    full: list[threading.Event] = []  # one for each of the two worlds

    def serve(made: socket.socket, said: Said) -> None:
        full.append(threading.Event())
        with certificates.server.wrap_socket(made, server_side=True) as tls:
            assert full[-1].wait(30)  # until the client has met with a full buffer
            left = 4_000_000
            while left:
                left -= len(tls.recv(65536))
            tls.send(b"done")

    def ask(made: socket.socket, said: Said) -> None:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16384)
        made.setblocking(False)
        with certificates.client.wrap_socket(
            made, server_hostname="server", do_handshake_on_connect=False
        ) as tls:
            wanted = set()

            def until(call: Callable[[], object]) -> object:
                while True:
                    try:
                        return call()
                    except ssl.SSLWantReadError as error:
                        wanted.add(words_of(error))
                        select.select([tls], [], [])
                    except ssl.SSLWantWriteError as error:
                        wanted.add(words_of(error))
                        full[-1].set()
                        select.select([], [tls], [])

            said.append(until(tls.do_handshake))
            view, done = memoryview(bytes(4_000_000)), 0
            while done < len(view):
                sent = until(lambda: tls.send(view[done:]))  # noqa: B023
                assert isinstance(sent, int)
                done += sent
            said.append(until(lambda: tls.recv(10)))
            said.append(sorted(wanted, key=str))

    same_on_both(serve, ask)


def test_files_over_tls_and_a_resumed_session(certificates: Certificates) -> None:
    def serve(made: socket.socket, said: Said) -> None:
        with (
            certificates.server.wrap_socket(made, server_side=True) as tls,
            tls.makefile("rw") as file,
        ):
            said.append(file.readline())
            file.write("answer\n")

    def ask(made: socket.socket, said: Said) -> None:
        tls = certificates.client.wrap_socket(made, server_hostname="server")
        with tls, tls.makefile("rw") as file:
            file.write("question\n")
            file.flush()
            said += [file.readline(), tls.session is not None, tls.session_reused]

    assert same_on_both(serve, ask) == [["question\n"], ["answer\n", True, False]]


def test_the_certificate_of_a_server_by_name(certificates: Certificates) -> None:
    found = []

    def serve() -> None:
        with socket.create_server(("", 443)) as listening:
            made, _ = listening.accept()
            with made:
                certificates.server.wrap_socket(made, server_side=True).close()

    def ask() -> None:
        found.append(ssl.get_server_certificate(("b", 443), timeout=5))

    run_both(serve, ask)
    assert found[0].startswith("-----BEGIN CERTIFICATE-----")


def test_tls_over_a_pair(certificates: Certificates) -> None:
    found: list[bytes] = []

    def program() -> None:
        one, other = socket.socketpair()

        def serve() -> None:
            with certificates.server.wrap_socket(other, server_side=True) as tls:
                tls.sendall(tls.recv(10).upper())

        thread = threading.Thread(target=serve)
        thread.start()
        with certificates.client.wrap_socket(one, server_hostname="server") as tls:
            tls.sendall(b"hello")
            found.append(tls.recv(10))
        thread.join()

    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            await net.host("a").run_sync(program)

    in_virtual_time(main)
    assert found == [b"HELLO"]


def test_what_timed_out_and_is_sent_again_arrives_once(certificates: Certificates) -> None:
    blocks = [number.to_bytes(4, "big") * 4096 for number in range(400)]  # a record each

    def read_late(made: socket.socket, said: Said) -> None:
        with certificates.server.wrap_socket(made, server_side=True) as tls:
            text = bytearray()
            time.sleep(2)
            while data := tls.recv(1 << 16):
                text += data
            said.append(bytes(text) == b"".join(blocks))
            tls.unwrap()

    def send_again(made: socket.socket, said: Said) -> None:
        with certificates.client.wrap_socket(made, server_hostname="server") as tls:
            tls.settimeout(0.3)
            refused = 0
            for block in blocks:
                while True:
                    try:
                        assert tls.send(block) == len(block)
                        break
                    except TimeoutError:
                        refused += 1
            said.append(refused > 0)
            tls.unwrap()

    assert on_a_host(read_late, send_again) == [[True], [True]]
