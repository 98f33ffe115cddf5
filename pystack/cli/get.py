"""The command `pystack get`."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, Final
from urllib.parse import quote

import typer

from pystack.apps.clients.desk import (
    FileSink,
    Nowhere,
    Sink,
    Source,
    StandardOutput,
    open_source,
)
from pystack.apps.clients.getting import Getter, load
from pystack.apps.clients.job import GetOptions
from pystack.apps.clients.transfer import Transfer, as_dict, written_out
from pystack.apps.clients.trouble import ClientError, Status
from pystack.apps.clients.url import Url
from pystack.apps.clients.worlds import Server
from pystack.apps.words import TLS_SERVICES
from pystack.cli.vantage import Vantage, Way, standing, to_stderr
from pystack.cli.words import Option, Words, bare_seconds, ip_version, takes
from pystack.core.errors import ConfigError
from pystack.runtime.driver.signals import last_run
from pystack.runtime.driver.virtual import DeadlockError
from pystack.runtime.host import Host

# curl's, with its names and its meaning
CURL: Final[Mapping[str, Option]] = {
    "output": Option(list[str], "Write to a file, - for standard output.", "FILE", short="-o"),
    "remote_name": Option(bool, "Write to a file named as in the URL.", short="-O"),
    "head": Option(bool, "Ask for the head only.", short="-I"),
    "include": Option(bool, "Show the head of the response too.", short="-i"),
    "header": Option(
        list[str], "Send this header; 'Name:' removes a default one.", "'NAME: VALUE'", short="-H"
    ),
    "data": Option(list[str], "Post it as form data.", "DATA|@FILE", short="-d"),
    "data_binary": Option(list[str], "Post it as it is.", "DATA|@FILE"),
    "request": Option(str, "Use this method.", "METHOD", short="-X"),
    "upload_file": Option(str, "Upload it, - for standard input.", "FILE", short="-T"),
    "user": Option(str, "Log in with these.", "USER:PASSWORD", short="-u"),
    "user_agent": Option(str, "Send this user agent.", "NAME", short="-A"),
    "location": Option(bool, "Follow redirections.", short="-L"),
    "max_redirs": Option(int, "Follow at most this many; default 50.", "N"),
    "fail": Option(bool, "Fail if HTTP answers 400 or more.", short="-f"),
    "range": Option(str, "Get a part: 0-99, 100-, -100.", "RANGE", short="-r"),
    "compressed": Option(bool, "Ask for compression, and decompress."),
    "http1": Option(bool, "Speak HTTP/1.1.", flag="--http1.1"),
    "http2": Option(bool, "Speak HTTP/2 where TLS agrees on it (the default)."),
    "http2_prior_knowledge": Option(bool, "Speak HTTP/2 without asking."),
    "insecure": Option(bool, "Accept any certificate.", short="-k"),
    "cacert": Option(Path, "Trust these authorities (PEM).", "FILE"),
    "ssl_reqd": Option(bool, "Insist on TLS, with FTP and SMTP."),
    "mail_from": Option(str, "Sender of the message.", "ADDRESS"),
    "mail_rcpt": Option(list[str], "Recipient. May be repeated.", "ADDRESS"),
    "ipv4": Option(bool, "Use IPv4 only.", short="-4"),
    "ipv6": Option(bool, "Use IPv6 only.", short="-6"),
    "connect_timeout": Option(str, "Time limit for connecting.", "TIME"),
    "max_time": Option(str, "Time limit for the transfer.", "TIME", short="-m"),
    "write_out": Option(str, "Print this afterwards: %{time_total} ...", "FORMAT", short="-w"),
    "silent": Option(bool, "Show no error messages.", short="-s"),
    "show_error": Option(bool, "Show errors even with -s.", short="-S"),
    "verbose": Option(bool, "Show what happens, and when.", short="-v"),
    "json": Option(bool, "Print all variables of -w, as a line of JSON for each URL."),
}


@standing
@takes(asked=CURL)
def get_command(
    urls: Annotated[
        list[str],
        typer.Argument(metavar="URL...", help="http, https, ws, wss, ftp, ftps, smtp, smtps."),
    ],
    *,
    asked: Words,
    place: Words,
    words: Words,
    service_words: Words,
) -> int:
    """Transfer from or to URLs, in the manner of curl.

    By default this runs in virtual time, over a virtual link to the host of the URL, which serves
    what the URL asks for. Exit status: as curl; 6 no such host, 7 no connection, 22 with -f, 28
    timed out, 60 untrusted certificate.
    """
    vantage = Vantage.of(place, words, service_words)
    getting = _Getting(urls, asked, is_virtual=vantage.is_virtual)
    try:
        with last_run():
            return _run(getting, vantage)
    except DeadlockError as error:
        # Nobody in the world will ever say anything more: what curl would wait for, for ever.
        getting.complain(Status.TIMED_OUT, str(error))
        return int(Status.TIMED_OUT)


def _run(getting: _Getting, vantage: Vantage) -> int:
    servers = getting.servers()
    if vantage.way is not Way.LINK or not getting.needs_authority(servers):
        return vantage.world(servers).run(getting.run, to_stderr)
    with TemporaryDirectory(prefix="pystack-") as folder:
        world, trusted = vantage.world_and_authority(servers, Path(folder, "ca.pem"))
        getting.trust(trusted)
        return world.run(getting.run, to_stderr)


class _Getting:
    """One command: what was asked for, and what is printed of it."""

    def __init__(self, urls: list[str], asked: Mapping[str, Any], *, is_virtual: bool) -> None:
        self._urls, self._asked, self._is_virtual = urls, asked, is_virtual
        self._options = _options(asked)
        if len(asked.get("output", ())) > len(urls):
            raise ConfigError("there are more -o than URLs")
        self._format = _text_of(asked.get("write_out", ""))

    def servers(self) -> list[Server]:
        """Return the servers needed, and what each is to serve; invalid URLs are reported later."""
        found = []
        for text in self._urls:
            try:
                url = Url.parse(text)
            except ClientError:
                continue
            load(url.scheme)
            service = url.service
            found.append(Server(url.host, () if service is None else (service,)))
        return found

    def needs_authority(self, servers: Sequence[Server]) -> bool:
        """Tell whether one of the servers is to have a certificate, and somebody who signs it.

        FTP and SMTP begin in clear. Where no certificate can be made they stay so, unless TLS is
        asked for: then it is said what is missing.
        """
        names = {service.partition(":")[0] for server in servers for service in server.services}
        if self._options.require_tls or find_spec("trustme") is not None:
            return not TLS_SERVICES.isdisjoint(names)
        return "https" in names

    def trust(self, path: Path | None) -> None:
        """Trust the world's own authority, unless it was said whom to trust. None: it has none."""
        if path is not None and self._options.cacert is None:
            self._options = replace(self._options, trusted=(path,))

    async def run(self, host: Host) -> int:
        """Do all transfers; return the status of the last one, as curl does."""
        say = to_stderr if "verbose" in self._asked else None
        status = 0
        try:
            getter = Getter(host, self._with_data(), say)
            for number, text in enumerate(self._urls):
                status = await self._one(getter, text, self._sink(number, text))
            await getter.aclose()
        except ClientError as error:
            self.complain(error.status, str(error))
            return int(error.status)
        return status

    async def _one(self, getter: Getter, text: str, sink: Sink) -> int:
        source, text = self._source(), _named(text, self._asked.get("upload_file", "-"))
        try:
            transfer = await getter.get(text, sink, source)
        finally:
            if source is not None:
                source.close()
        if transfer.exit_status:
            self.complain(transfer.exit_status, transfer.error)
        self._tell(transfer)
        return transfer.exit_status

    def _tell(self, transfer: Transfer) -> None:
        if "json" in self._asked:
            print(json.dumps(as_dict(transfer)), flush=True)
        for stream, part in written_out(self._format, transfer, _warn):
            file = sys.stdout if stream == "stdout" else sys.stderr
            print(part, end="", file=file, flush=True)

    def complain(self, status: int, text: str) -> None:
        """Say what went wrong, unless it is not to be said."""
        if "silent" not in self._asked or "show_error" in self._asked:
            print(f"pystack get: ({int(status)}) {text}", file=sys.stderr, flush=True)

    def _sink(self, number: int, text: str) -> Sink:
        names = self._asked.get("output", ())
        if number < len(names) and names[number] != "-":
            return FileSink(names[number])
        if number >= len(names) and "remote_name" in self._asked:
            name = Url.parse(text).file_name
            if not name:
                raise ClientError(Status.WRITE_ERROR, "Remote file name has no length")
            return FileSink(name)
        if "json" in self._asked and not names:
            return Nowhere()
        return StandardOutput(is_virtual=self._is_virtual)

    def _source(self) -> Source | None:
        name = self._asked.get("upload_file")
        if name is None and any(_is_talk(text) for text in self._urls):
            name = "-"
        return None if name is None else open_source(name, is_virtual=self._is_virtual)

    def _with_data(self) -> GetOptions:
        """Return the options with what is to be posted: files are read as who we are by then."""
        parts = [_data(text, strip=True) for text in self._asked.get("data", ())]
        parts += [_data(text, strip=False) for text in self._asked.get("data_binary", ())]
        return replace(self._options, data=b"&".join(parts)) if parts else self._options


def _options(asked: Mapping[str, Any]) -> GetOptions:
    """Raises ConfigError."""
    posts = "data" in asked or "data_binary" in asked
    if "upload_file" in asked and (posts or "head" in asked):
        raise ConfigError("-T uploads, -d posts and -I asks for a head: use only one of them")
    if posts and "head" in asked:
        raise ConfigError("-I asks for the head of a page, and -d posts something: say one")
    versions = [
        version
        for word, version in (
            ("http1", "1.1"),
            ("http2", "2"),
            ("http2_prior_knowledge", "2-prior-knowledge"),
        )
        if word in asked
    ]
    if len(versions) > 1:
        raise ConfigError("--http1.1, --http2 and --http2-prior-knowledge: use only one of them")
    max_time = asked.get("max_time")
    return GetOptions(
        method=asked.get("request"),
        head="head" in asked,
        include="include" in asked,
        headers=tuple(asked.get("header", ())),
        user=asked.get("user"),
        user_agent=asked.get("user_agent"),
        follow="location" in asked,
        max_redirects=asked.get("max_redirs", 50),
        fail="fail" in asked,
        range_text=asked.get("range"),
        compressed="compressed" in asked,
        http=versions[0] if versions else None,
        insecure="insecure" in asked,
        cacert=asked.get("cacert"),
        require_tls="ssl_reqd" in asked,
        version=ip_version(ipv4="ipv4" in asked, ipv6="ipv6" in asked),
        connect_timeout_s=bare_seconds(asked.get("connect_timeout", "300")),
        max_time_s=None if max_time is None else bare_seconds(max_time),
        mail_from=asked.get("mail_from", ""),
        mail_rcpt=tuple(asked.get("mail_rcpt", ())),
    )


def _is_talk(text: str) -> bool:
    return text.lower().startswith(("ws://", "wss://"))


def _named(text: str, file: str) -> str:
    """Return the URL that a file is uploaded to: in a directory it keeps its name."""
    is_mail = text.lower().startswith(("smtp:", "smtps:"))
    is_directory = text.endswith("/") and text.count("/") > 2
    return text + quote(Path(file).name) if file != "-" and is_directory and not is_mail else text


def _data(text: str, *, strip: bool) -> bytes:
    """Return what is posted: a text, or with @ what is in a file. Raises ClientError."""
    if not text.startswith("@"):
        return text.encode("utf-8", "surrogateescape")
    try:
        data = sys.stdin.buffer.read() if text == "@-" else Path(text[1:]).read_bytes()
    except OSError as error:
        raise ClientError(
            Status.READ_ERROR, f"cannot open {text[1:]!r}: {error.strerror}"
        ) from None
    return data.translate(None, b"\r\n\0") if strip else data


def _text_of(text: str) -> str:
    """Return the format of -w, or what is in its file."""
    if not text.startswith("@"):
        return text
    try:
        return sys.stdin.read() if text == "@-" else Path(text[1:]).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"-w {text}: cannot read it: {error}") from None


def _warn(text: str) -> None:
    print(f"pystack get: {text}", file=sys.stderr)
