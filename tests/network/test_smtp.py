"""Mail in an emulated network: the same for the same seed, and never half of a message."""

import mailbox
import ssl
from email import message_from_bytes
from pathlib import Path

import pytest
import trio
from lab_runs import Run

import pystack
from pystack.apps.smtp import SmtpService
from pystack.apps.tls import tls_client

TRANSACTION = b"MAIL FROM:<ann@client>\r\nRCPT TO:<bob@server>\r\nDATA\r\n"
TEXT = b"Subject: hello\r\n\r\n" + b"".join(b"line %d\r\n" % number for number in range(5000))


class Mailer:
    """A client that awaits each reply."""

    def __init__(self, stream: trio.abc.HalfCloseableStream) -> None:
        self.stream = stream
        self._received = b""

    async def reply(self) -> str:
        """Return the last line of the next reply."""
        while True:
            line, end, rest = self._received.partition(b"\r\n")
            if not end:
                data = await self.stream.receive_some()
                assert data, self._received
                self._received += data
                continue
            self._received = rest
            if line[3:4] == b" ":
                return line.decode()

    async def say(self, data: bytes, count: int = 1) -> list[str]:
        """Send, and return so many replies."""
        await self.stream.send_all(data)
        return [await self.reply() for _ in range(count)]

    async def deliver(self, text: bytes) -> str:
        await self.say(TRANSACTION, 3)
        return (await self.say(text + b".\r\n"))[0]


async def connect(host: pystack.Host, server: str = "server", port: int = 25) -> Mailer:
    mailer = Mailer(await host.open_tcp_stream(server, port))
    await mailer.reply()
    await mailer.say(b"EHLO client\r\n")
    return mailer


async def serve(host: pystack.Host) -> SmtpService:
    (service,) = await pystack.serve(host, "smtp")
    assert isinstance(service, SmtpService)
    return service


def test_a_program_is_shown_what_it_was_sent() -> None:
    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            client, server = net.host("client"), net.host("server")
            net.link(client, server, delay="20ms", loss="5%")
            service = await serve(server)
            mailer = await connect(client)
            assert (await mailer.deliver(TEXT))[:9] == "250 2.6.0"
            (message,) = service.messages
            assert message_from_bytes(message.data)["Subject"] == "hello"
            assert (message.sender, message.recipients) == ("ann@client", ("bob@server",))
            assert (message.address, message.data) == (client.address, TEXT)
            assert server.counters["smtp_messages"] == 1

    pystack.run(main)


def test_files_of_the_same_seed_are_the_same_files(tmp_path: Path) -> None:
    async def main(root: Path) -> None:
        async with pystack.Network(seed=3) as net:
            server, switch = net.host("server"), net.switch("switch")
            net.link(switch, server)
            await pystack.serve(server, "smtp", root=root)
            async with trio.open_nursery() as nursery:
                for number in range(5):
                    client = net.host(f"client{number}")
                    net.link(client, switch, delay="20ms", jitter="5ms", loss="5%")
                    nursery.start_soon(send, client)

    async def send(client: pystack.Host) -> None:
        mailer = await connect(client)
        for number in range(4):
            await mailer.deliver(b"Subject: %d from %s\r\n\r\n" % (number, client.name.encode()))

    def run(name: str) -> dict[str, bytes]:
        root = tmp_path / name
        root.mkdir()
        pystack.run(main, root)
        return {path.name: path.read_bytes() for path in (root / "Maildir" / "new").iterdir()}

    first = run("first")
    assert len(first) == 20
    assert first == run("second")


@pytest.mark.parametrize("seed", range(20))
def test_wherever_the_client_loses_its_power_nothing_half_sent_is_kept(
    tmp_path: Path, seed: int
) -> None:
    """Half-open afterwards: the server finds out by waiting, and goes on with others."""

    async def main() -> None:
        async with pystack.Network(seed=seed) as net:
            client, server, other = net.host("client"), net.host("server"), net.host("other")
            switch = net.switch("switch")
            net.link(client, switch, delay="5ms", rate="10mbit")
            net.link(other, switch, delay="5ms")
            net.link(server, switch)
            await pystack.serve(server, "smtp", root=tmp_path)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_send_until_dark, client)
                await trio.sleep(0.02 + 0.01 * seed)
                client.power_off()
                nursery.cancel_scope.cancel()
            mailer = await connect(other)
            assert (await mailer.deliver(b"Subject: whole\r\n\r\n"))[:3] == "250"
            await trio.sleep(3600)
            assert server.connections() == []

    pystack.run(main)
    kept = list(mailbox.Maildir(tmp_path / "Maildir", factory=None, create=False))
    assert [each["Subject"] for each in kept].count("whole") == 1
    for each in kept:
        assert each["Subject"] == "whole" or each.get_payload() == TEXT[18:].decode().replace(
            "\r\n", "\n"
        )


async def _send_until_dark(client: pystack.Host) -> None:
    mailer = await connect(client)
    while True:
        await mailer.deliver(TEXT)


def test_tls_works_in_virtual_time(tmp_path: Path) -> None:
    ca = tmp_path / "ca.pem"

    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            client, server = net.host("client"), net.host("server")
            net.link(client, server, delay="20ms", loss="5%")
            (service,) = await pystack.serve(server, "smtp", ca=ca)
            assert isinstance(service, SmtpService)
            mailer = await connect(client)
            assert (await mailer.say(b"STARTTLS\r\n"))[0][:3] == "220"
            context = ssl.create_default_context(cafile=str(ca))
            safe = Mailer(await tls_client(mailer.stream, context, "server"))
            await safe.say(b"EHLO client\r\n")
            assert (await safe.deliver(TEXT))[:3] == "250"
            assert service.messages[0].protocol == "ESMTPS"
            assert service.messages[0].data == TEXT

    pystack.run(main)


def test_a_crowd_of_silent_clients_loses_places_to_who_has_mail() -> None:
    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            crowd, server, client = net.host("crowd"), net.host("server"), net.host("client")
            switch = net.switch("switch")
            for host in (crowd, server, client):
                net.link(host, switch, delay="1ms")
            service = await serve(server)
            streams = [await crowd.open_tcp_stream("server", 25) for _ in range(1100)]
            mailer = await connect(client)
            assert (await mailer.deliver(TEXT))[:3] == "250"
            assert len(service.messages) == 1
            assert server.counters["service_connections_shed"] >= 77
            assert len(streams) == 1100

    pystack.run(main)


LAB = """
[hosts.a]
programs = [{ run = "lab_programs_for_tests:sends_mail", args = ["b", 2525, "bob@example.com"] }]
[hosts.b]
serve = [{ name = "smtp", port = 2525, root = "mail", mail_for = ["example.com"] }]
[[links]]
between = ["a", "b"]
"""


def test_a_lab_has_a_mail_server(tmp_path: Path, run: Run) -> None:
    (tmp_path / "mail").mkdir()
    assert run(LAB)[-1].startswith("250 2.6.0")
    (mail,) = mailbox.Maildir(tmp_path / "mail" / "Maildir", create=False)
    assert mail["Delivered-To"] == "bob@example.com"
