"""Who a server is: certificates that are given, and that are made."""

import os
import ssl
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import trio
import trio.testing
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import serialization

import pystack
from pystack.apps.options import ServiceOptions, TlsOptions
from pystack.apps.tls import ClearTextError, TlsError, TlsInfo, TlsServer, TlsStream, tls_client
from pystack.core.errors import ConfigError

OPTIONS = ServiceOptions(host_name="web", addresses=("10.0.0.9", "fd00::9"))


def told(**words: object) -> ServiceOptions:
    return replace(OPTIONS, tls=TlsOptions(**words))  # type: ignore[arg-type]


async def handshake(
    server: TlsServer, context: ssl.SSLContext, name: str | None = "web"
) -> tuple[TlsStream, TlsStream]:
    inner_server, inner_client = trio.testing.memory_stream_pair()
    streams: dict[str, TlsStream] = {}

    async def accept() -> None:
        streams["server"] = await server.accept(inner_server)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(accept)
        streams["client"] = await tls_client(inner_client, context, name)
    return streams["server"], streams["client"]


def trusting(*authorities: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    for path in authorities:
        context.load_verify_locations(path)
    return context


@pytest.mark.trio
async def test_a_certificate_is_made_for_names_and_addresses(tmp_path: Path) -> None:
    ca = tmp_path / "ca.pem"
    server = TlsServer(told(ca=ca, names=("www.example.test", "*.other.test", "bücher.test")))
    assert not ca.exists(), "what is made as root would belong to root"
    for name in (
        "web",
        "localhost",
        "10.0.0.9",
        "fd00::9",
        "www.example.test",
        "x.other.test",
        "xn--bcher-kva.test",
    ):
        at_server, _ = await handshake(server, trusting_later(server, ca), name)
        asked = None if name[0] == "1" or ":" in name else name
        assert at_server.tls.server_name == asked
    with pytest.raises(ExceptionGroup):
        await handshake(server, trusting(ca), "stranger.test")
    assert b"PRIVATE KEY" not in ca.read_bytes()
    assert server.advice == f"trust it with: curl --cacert {ca} https://10.0.0.9/"


def trusting_later(server: TlsServer, ca: Path) -> ssl.SSLContext:
    server._prepare()
    return trusting(ca)


@pytest.mark.trio
async def test_services_of_a_host_have_one_certificate_and_hosts_of_a_run_one_authority(
    tmp_path: Path,
) -> None:
    ca = tmp_path / "ca.pem"
    seen = []
    for host in ("web", "web", "mail"):
        options = replace(told(ca=ca), host_name=host)
        server = TlsServer(options, alpn=("h2",) if not seen else ())
        server._prepare()
        _, client = await handshake(server, trusting(ca), host)
        seen.append(client.ssl_object.getpeercert(binary_form=True))
    assert seen[0] == seen[1] != seen[2]


def write_given(folder: Path, *, name: str = "given.test") -> tuple[Path, Path, Path]:
    """Return the paths of a certificate, its key, and of both in one file."""
    leaf = trustme.CA().issue_cert(name)
    certificate, key, both = folder / "cert.pem", folder / "key.pem", folder / "both.pem"
    for path, blob in (
        (certificate, b"".join(each.bytes() for each in leaf.cert_chain_pems)),
        (key, leaf.private_key_pem.bytes()),
        (both, leaf.private_key_and_cert_chain_pem.bytes()),
    ):
        path.write_bytes(blob)
    return certificate, key, both


@pytest.mark.trio
@pytest.mark.parametrize("in_one", [False, True])
async def test_a_certificate_that_is_given_is_shown(tmp_path: Path, in_one: bool) -> None:
    certificate, key, both = write_given(tmp_path)
    options = told(certificate=both) if in_one else told(certificate=certificate, key=key)
    server = TlsServer(options)
    for path in (certificate, key, both):
        path.unlink()  # it has been read
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    _, client = await handshake(server, context, None)
    der = client.ssl_object.getpeercert(binary_form=True)
    assert der is not None
    shown = x509.load_der_x509_certificate(der)
    names = shown.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["given.test"]
    assert server.advice is None


def _nothing(_folder: Path) -> None:
    pass


def _encrypted(folder: Path) -> None:
    key = serialization.load_pem_private_key((folder / "key.pem").read_bytes(), None)
    secret = serialization.BestAvailableEncryption(b"secret")
    form = serialization.PrivateFormat.PKCS8
    (folder / "key.pem").write_bytes(key.private_bytes(serialization.Encoding.PEM, form, secret))


def _of_another(folder: Path) -> None:
    (folder / "key.pem").write_bytes(trustme.CA().issue_cert("x").private_key_pem.bytes())


@pytest.mark.parametrize(
    ("spoil", "words", "says"),
    [
        (lambda folder: (folder / "cert.pem").unlink(), {}, "cert.pem cannot be read: No such"),
        (lambda folder: (folder / "key.pem").unlink(), {}, "key.pem cannot be read: No such"),
        (lambda f: (f / "cert.pem").write_text("x"), {}, "no certificate in PEM in .*cert.pem"),
        (lambda f: (f / "key.pem").write_bytes(b"\0"), {}, "no private key in PEM in .*key.pem"),
        (_encrypted, {}, "private key in .*key.pem is encrypted"),
        (_of_another, {}, "cannot be used: key values mismatch"),
        (
            lambda f: (f / "cert.pem").write_text("-----BEGIN CERTIFICATE-----\nx\n"),
            {},
            "cannot be used: ",
        ),
        (_nothing, {"ca": Path("ca.pem")}, "ca is for a certificate that is made"),
        (_nothing, {"names": ("x.test",)}, "names is for a certificate that is made"),
        (_nothing, {"certificate": None}, "key .* is given without its certificate"),
        (_nothing, {"certificate": None, "key": None, "names": ("a b",)}, "not a host's name"),
        (_nothing, {"certificate": None, "key": None, "names": ("",)}, "not a host's name"),
        (_nothing, {"certificate": None, "key": None, "names": ("x" * 64,)}, "not a host's name"),
        (_nothing, {"certificate": None, "key": None, "names": ("a.*.b",)}, "not a host's name"),
    ],
)
def test_what_does_not_fit_is_said_when_it_is_built(
    tmp_path: Path, spoil: Callable[[Path], object], words: dict[str, object], says: str
) -> None:
    certificate, key, _ = write_given(tmp_path)
    spoil(tmp_path)
    with pytest.raises(ConfigError, match=says):
        TlsServer(told(**{"certificate": certificate, "key": key, **words}))


@pytest.mark.trio
async def test_files_that_cannot_be_written_are_said(tmp_path: Path) -> None:
    for words in ({"ca": tmp_path / "no" / "ca"}, {"keylog": tmp_path / "no" / "keys"}):
        server = TlsServer(told(**words))
        with pytest.raises(ConfigError, match="cannot be written: No such file"):
            server._prepare()


@pytest.mark.trio
@pytest.mark.parametrize("word", ["ca", "keylog"])
async def test_a_file_of_another_user_is_not_written(
    tmp_path: Path, word: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = tmp_path / "theirs"
    theirs.write_text("as it was")
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    server = TlsServer(told(**{word: theirs}))
    with pytest.raises(ConfigError, match="belongs to another user"):
        server._prepare()
    assert theirs.read_text() == "as it was"


@pytest.mark.trio
@pytest.mark.skipif(os.getuid() != 0, reason="giving a link to another user takes root")
@pytest.mark.parametrize("word", ["ca", "keylog"])
async def test_root_does_not_follow_a_link_of_another_user(tmp_path: Path, word: str) -> None:
    aim, link = tmp_path / "aim", tmp_path / "link"
    link.symlink_to(aim)
    os.lchown(link, 12345, 12345)
    server = TlsServer(told(**{word: link}))
    with pytest.raises(ConfigError, match="cannot be written"):
        server._prepare()
    assert not aim.exists()
    os.lchown(link, 0, 0)
    TlsServer(told(**{word: link}))._prepare()
    assert aim.exists()


@pytest.mark.trio
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_session_is_resumed(tmp_path: Path, version: ssl.TLSVersion) -> None:
    server = TlsServer(told(ca=tmp_path / "ca"), alpn=("h2", "http/1.1"))
    server._prepare()
    context = trusting(tmp_path / "ca")
    context.maximum_version = version
    context.set_alpn_protocols(["http/1.1"])
    at_server, client = await handshake(server, context)
    await at_server.send_all(b"so that the ticket is read")
    await client.receive_some()
    assert not at_server.tls.is_resumed
    session = client._ssl.session
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    again = context.wrap_bio(incoming, outgoing, server_hostname="web", session=session)
    inner, outside = trio.testing.memory_stream_pair()
    seen: list[TlsInfo] = []

    async def accept() -> None:
        seen.append((await server.accept(inner)).tls)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(accept)
        while True:
            try:
                again.do_handshake()
                await outside.send_all(outgoing.read())
                break
            except ssl.SSLWantReadError:
                await outside.send_all(outgoing.read())
                incoming.write(await outside.receive_some())
    assert again.session_reused
    assert seen[0].is_resumed
    assert seen[0].alpn == "http/1.1"
    assert server._counters["tls_sessions_resumed"] == 1
    assert server._counters["tls_handshakes"] == 2


@pytest.mark.trio
@pytest.mark.parametrize(
    ("version", "labels"),
    [
        (ssl.TLSVersion.TLSv1_2, {"CLIENT_RANDOM"}),
        (
            ssl.TLSVersion.TLSv1_3,
            {
                "SERVER_HANDSHAKE_TRAFFIC_SECRET",
                "CLIENT_HANDSHAKE_TRAFFIC_SECRET",
                "EXPORTER_SECRET",
                "SERVER_TRAFFIC_SECRET_0",
                "CLIENT_TRAFFIC_SECRET_0",
            },
        ),
    ],
)
async def test_keys_are_logged_for_the_user_alone(
    tmp_path: Path, version: ssl.TLSVersion, labels: set[str]
) -> None:
    keys = tmp_path / "keys"
    server = TlsServer(told(ca=tmp_path / "ca", keylog=keys))
    assert not keys.exists()
    server._prepare()
    assert stat.S_IMODE(os.stat(keys).st_mode) == 0o600
    context = trusting(tmp_path / "ca")
    context.minimum_version = context.maximum_version = version
    context.keylog_filename = str(tmp_path / "theirs")
    await handshake(server, context)
    ours, theirs = (
        {line for line in path.read_text().splitlines() if not line.startswith("#")}
        for path in (keys, tmp_path / "theirs")
    )
    assert ours == theirs
    assert {line.split()[0] for line in ours} == labels


@pytest.mark.trio
async def test_what_came_in_clear_before_the_handshake_is_not_taken_for_tls(tmp_path: Path) -> None:
    server = TlsServer(told())
    inner, _client = trio.testing.memory_stream_pair()
    with pytest.raises(TlsError, match="in clear after the command"):
        await server.accept(inner, received=b"MAIL FROM:<mallory@example.test>\r\n")
    assert server._counters["tls_clear_text_injected"] == 1


@pytest.mark.trio
async def test_failures_are_counted_by_name(autojump_clock: object) -> None:
    server = TlsServer(told())
    for said in (b"", b"GET / HTTP/1.0\r\n\r\n", b"\x16\x03\x01\0\x01\xff", None):
        inner, client = trio.testing.memory_stream_pair()
        if said is not None:
            await client.send_all(said)
            await client.send_eof()
        with pytest.raises(TlsError):
            await server.accept(inner)
    assert trio.current_time() >= 10
    assert dict(server._counters) == {
        "tls_clear_text": 1,
        "tls_handshakes_failed": 2,
        "tls_handshakes_timed_out": 1,
    }
    assert issubclass(ClearTextError, TlsError)


@pytest.mark.trio
@pytest.mark.parametrize("old", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
async def test_old_versions_are_refused(old: ssl.TLSVersion) -> None:
    server = TlsServer(told())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = old
    inner_server, inner_client = trio.testing.memory_stream_pair()
    refusals: list[str] = []

    async def connect() -> None:
        try:
            await tls_client(inner_client, context, None)
        except TlsError as error:
            refusals.append(str(error))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(connect)
        with pytest.raises(TlsError, match=r"unsupported protocol|no protocols available"):
            await server.accept(inner_server)
    assert refusals == ["no TLS handshake: tlsv1 alert protocol version"]


def test_a_server_and_a_client_on_hosts_of_a_network(tmp_path: Path) -> None:
    """The certificate is that of the host's own addresses, and counters are the host's."""

    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            client, host = net.host("client"), net.host("web")
            net.link(client, host, delay="10ms", loss="2%")
            options = replace(
                told(ca=tmp_path / "ca"), host_name=host.name, addresses=host.addresses
            )
            server = TlsServer(options)
            server.use_host(host)
            (listener,) = await host.open_tcp_listeners(443)

            async def echo() -> None:
                async with await server.accept(await listener.accept()) as stream:
                    assert stream.remote_address[0] in client.addresses
                    async for data in stream:
                        await stream.send_all(data)

            async with trio.open_nursery() as nursery:
                nursery.start_soon(echo)
                plain = await client.open_tcp_stream("web", 443)
                trust = trusting(tmp_path / "ca")
                stream = await tls_client(plain, trust, host.addresses[0])
                sent = bytes(range(256)) * 4000
                nursery.start_soon(stream.send_all, sent)
                received = b""
                while len(received) < len(sent):
                    received += await stream.receive_some()
                assert received == sent
                await stream.send_eof()
                assert await stream.receive_some() == b""
            assert host.counters["tls_handshakes"] == 1

    pystack.run(main)
