"""The command `pystack explain`."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from pystack.apps.explain.asked import SEED, Asked, changed, usual_url
from pystack.apps.explain.laboratory import Line
from pystack.cli.conversations import conversation_of
from pystack.cli.output import write_file
from pystack.cli.words import NETEM, Option, Words, ip_version, takes
from pystack.core.errors import ConfigError
from pystack.core.suggest import suggest
from pystack.core.units import parse_size_bytes

if TYPE_CHECKING:
    from pystack.apps.explain.command import Done
    from pystack.observe.explain.story import Comparison, Depth, Drawn, Story
    from pystack.observe.recording import Recording
    from pystack.runtime.names.zones import Version

EXPLAIN: Final[Mapping[str, Option]] = {
    "compare": Option(
        tuple[str, str],
        "Tell two runs side by side: 'loss=0' 'loss=5%', tcp udp, http https.",
        "A B",
    ),
    "depth": Option(str, "story, fields (the headers too) or bytes.", "DEPTH"),
    "only": Option(str, "Tell only these steps and parts: handshake,request,time.", "WORDS"),
    "format_": Option(str, "text, html, markdown or json.", "FORMAT", "--format"),
    "html": Option(Path, "Write it as one HTML page; - prints it.", "OUT"),
    "markdown": Option(Path, "Write it as Markdown; - prints it.", "OUT"),
    "json": Option(bool, "Print it as JSON, as --format json does."),
    "ladder": Option(bool, "Draw who sent what when, too."),
    "ipv4": Option(bool, "Use IPv4 only (the default).", short="-4"),
    "ipv6": Option(bool, "Use IPv6 only.", short="-6"),
    "dual_stack": Option(bool, "Have both: the client chooses."),
    "protocol": Option(str, "http/1.1 or h2; of echo and dns tcp or udp.", "PROTOCOL"),
    "repeat": Option(int, "Do it so many times, over one connection if it can be kept.", "N"),
    "size": Option(str, "Serve so many bytes: 10000, 1mb.", "SIZE"),
    "post": Option(str, "Post so many bytes.", "SIZE"),
    "preset": Option(str, "Take this kind of line: dsl, cable, lte, satellite-geo ...", "NAME"),
    "mtu_bytes": Option(int, "The largest IP packet on the line.", "BYTES", "--mtu"),
    "congestion": Option(str, "Congestion control of both ends.", "NAME"),
    "seed": Option(int, f"Seed of all that is left to chance; default {SEED}.", "N"),
    "insecure": Option(bool, "Accept any certificate.", short="-k"),
    "pcap": Option(str, "Capture it, for Wireshark.", "FILE"),
    "lab": Option(Path, "Run it on a host of this lab.", "FILE"),
    "from_": Option(str, "That host; default: 'client', or the first.", "HOST", "--from"),
    "tap": Option(bool, "Run a real command in a network namespace: --tap -- COMMAND..."),
    "serve": Option(list[str], "With --tap: a service of the server.", "NAME[:PORT]"),
    "flow": Option(int, "Of a capture with several conversations: this one.", "N"),
}
_CHOICES: Final = {
    "depth": ("story", "fields", "bytes"),
    "format_": ("text", "html", "markdown", "json"),
}
_NO_URL: Final = re.compile(r"(https?|wss?|ftp|smtp):(?!//|\d)", re.IGNORECASE)
_CAPTURES: Final = (".pcap", ".pcapng", ".cap", ".ntar")
_MOST_LIFELINES: Final = 3  # of a ladder in 80 columns
# Which words are for what
_OF_LINE: Final = ("preset", "mtu_bytes", *NETEM)
_OF_CLIENT: Final = ("protocol", "repeat", "post", "insecure", "ipv4", "ipv6")
_OF_LABORATORY: Final = (*_OF_LINE, "size", "congestion", "dual_stack")


@takes(asked=EXPLAIN, words=NETEM)
def explain_command(
    things: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[URL | FILE | -- COMMAND...]",
            help="A URL (http, https, ws, wss, ftp, smtp, dns, echo, tcp, udp), a capture file, or "
            "with --tap a command.",
        ),
    ] = None,
    *,
    asked: Words,
    words: Words,
) -> int:
    """Explain what happens, step by step, when a URL is fetched.

    By default this runs in virtual time, in a small laboratory: a client, its home router, the
    line, and the server's network with a resolver. The netem words are those of the line. Exit
    status: 0, or that of the command of --tap.

    \b
    pystack explain http://server/ --delay 100ms --loss 2%
    pystack explain https://server/ --html story.html
    pystack explain --compare tcp udp
    pystack explain run.pcapng
    pystack explain --tap -- curl -v http://10.77.0.2/
    """
    request = _Request(list(things or ()), dict(asked), dict(words))
    for word, known in _CHOICES.items():
        value = asked.get(word)
        if value is not None and value not in known:
            name = EXPLAIN[word].spelling(word)
            raise ConfigError(f"{name} {value}: there is no such{suggest(value, known)}")
    status = 0
    if "tap" in asked:
        done = request.tap()
        status = done.status
        if done.is_silent:
            name = done.recording.title.split()[0]
            print(f"pystack: {name} has sent nothing: there is nothing to tell", file=sys.stderr)
            return status or 1
        recordings = [done.recording]
    else:
        recordings = request.recordings()
    told = _told(recordings, request.sides)
    _show(told, recordings, asked)
    return status


class _Request:
    """What was said, and which way it goes."""

    def __init__(self, things: list[str], given: dict[str, Any], words: dict[str, Any]) -> None:
        self._things, self._given, self._words = things, given, words
        self.sides: tuple[str, str] | None = given.get("compare")  # None: one run alone

    def recordings(self) -> list[Recording]:
        """Return what there is to be told of: one, or two to be compared. Raises ConfigError."""
        given, things = self._given, self._things
        self._refuse("--tap", "serve")
        if len(things) > 1:
            text = f"one URL is explained, and here are {len(things)} words"
            raise ConfigError(f"{text}; a command goes with --tap -- COMMAND")
        if self.sides is not None:
            return self._both(*self.sides)
        if not things:
            text = "say what to explain: http://server/, a capture file, --tap -- COMMAND"
            raise ConfigError(text)
        scheme = _NO_URL.match(things[0])
        if scheme is not None:
            raise ConfigError(f"{things[0]}: a URL is written {scheme[1]}://server/")
        if _is_capture(things[0]):
            return [self._file()]
        self._refuse("a capture file", "flow")
        asked = self._asked(things[0])
        if "lab" in given:
            return [self._in_lab(asked)]
        self._refuse("--lab", "from_")
        from pystack.apps.explain.record import record_asked

        return [record_asked(asked)]

    def tap(self) -> Done:
        """Run a real command. Raises ConfigError, DeviceError."""
        from pystack.cli.explain_tap import run_command

        kinds = ("compare", "size", "flow", "congestion", "dual_stack", "preset", "mtu_bytes")
        self._refuse("a URL", *_OF_CLIENT, *kinds)
        if not self._things:
            raise ConfigError("--tap needs a command: --tap -- curl http://10.77.0.2/")
        if "://" in self._things[0]:
            text = f"--tap runs a command, as in --tap -- curl {self._things[0]}"
            raise ConfigError(f"{text}; a URL alone is explained without it")
        return run_command(self._things, self._given, self._words)

    def _asked(self, url: str) -> Asked:
        given = self._given
        values: dict[str, Any] = {
            f"{word}_bytes": parse_size_bytes(given[word])
            for word in ("size", "post")
            if word in given
        }
        for word in ("protocol", "repeat", "congestion", "seed", "insecure", "pcap"):
            if word in given:
                values[word] = given[word]
        line = {word: given[word] for word in ("preset", "mtu_bytes") if word in given}
        asked = Asked(
            url=url, line=Line(words=self._words, **line), version=self._version(), **values
        )
        if "ipv4" in given and asked.target.version == 6:
            raise ConfigError(f"{url}: that is an address of IPv6, and IPv4 was asked for")
        return asked

    def _version(self) -> Version | None:
        given = self._given
        version = ip_version(ipv4="ipv4" in given, ipv6="ipv6" in given)
        if "dual_stack" not in given:
            return version or 4
        if version is not None:
            raise ConfigError("--dual-stack is IPv4 and IPv6: say it without -4 and -6")
        return None

    def _both(self, left: str, right: str) -> list[Recording]:
        from pystack.apps.explain.record import record_asked

        self._refuse("one run", "lab", "from_", "flow", "pcap")
        url = self._things[0] if self._things else usual_url(f"{left} {right}")
        sides = [changed(self._asked(url), side) for side in (left, right)]
        return [record_asked(side) for side in sides]

    def _file(self) -> Recording:
        """Return what is in a capture."""
        own = ("lab", "from_", "seed", "pcap")
        self._refuse("a run of our own, not a capture", *_OF_LABORATORY, *_OF_CLIENT, *own)
        return conversation_of(self._things[0], self._given.get("flow"))

    def _in_lab(self, asked: Asked) -> Recording:
        """Return what happened on a host of a lab, in virtual time."""
        from pystack.apps.explain.record import record_on
        from pystack.cli.vantage import Vantage, to_stderr

        self._refuse("the small laboratory, not --lab", *_OF_LABORATORY)
        words = ("lab", "from_", "seed", "pcap")
        place = {word: self._given[word] for word in words if word in self._given}
        world = Vantage.of(place, {}, {}).lab_world()
        # The versions that there are, are the lab's.
        said = ip_version(ipv4="ipv4" in self._given, ipv6="ipv6" in self._given)
        asked = replace(asked, version=said)
        return world.visit(lambda net: record_on(net, world.host, asked), to_stderr)

    def _refuse(self, place: str, *words: str) -> None:
        """Raise ConfigError for what is said and is for something else."""
        for word in words:
            if word in self._given or word in self._words:
                option = EXPLAIN[word] if word in EXPLAIN else NETEM[word]
                raise ConfigError(f"{option.spelling(word)} is for {place}")


def _is_capture(text: str) -> bool:
    """Tell whether it is a file and no URL."""
    if "://" in text or text.startswith("dns:"):
        return False
    path = Path(text)
    return text == "-" or path.suffix.lower() in _CAPTURES or "/" in text or path.is_file()


def _told(recordings: Sequence[Recording], sides: tuple[str, str] | None) -> Story | Comparison:
    from pystack.observe.explain.telling import tell

    first, *others = (tell(recording.items, recording) for recording in recordings)
    if sides is None:
        return first
    from pystack.observe.explain.compare import compare

    return compare(first, others[0], names=sides)


def _show(
    told: Story | Comparison, recordings: Sequence[Recording], asked: Mapping[str, Any]
) -> None:
    """Print it, or write it to files; what makes each of the forms is imported where it is used."""
    depth: Depth = asked.get("depth", "story")
    only = [word.strip() for word in asked.get("only", "").split(",") if word.strip()]
    # A page has room for a ladder of all that there is, a text only for who asks, and for one link.
    narrow = _ladders(told, map(_at_client, recordings)) if "ladder" in asked else []

    def as_text(form: str) -> str:
        if form == "html":
            from pystack.observe.explain.page import as_html

            return as_html(told, depth=depth, ladders=_ladders(told, recordings))
        if form == "markdown":
            from pystack.observe.explain.markdown import as_markdown

            return as_markdown(told, depth=depth, ladders=narrow)
        from pystack.observe.explain.json_form import as_json

        return as_json(told)

    files = [form for form in ("html", "markdown") if form in asked]
    for form in files:
        write_file(asked[form], as_text(form))
        if str(asked[form]) != "-":
            print(f"written: {asked[form]}", file=sys.stderr)
    form = asked.get("format_", "json" if "json" in asked else "" if files else "text")
    if form == "text":
        from pystack.cli.explain_text import show

        show(told, depth=depth, ladders=narrow, only=only)
    elif form:
        write_file("-", as_text(form))


def _at_client(recording: Recording) -> Recording:
    """Return what the client's own link has seen, where there are too many nodes for a text."""
    client = recording.client
    if len(recording.order) <= _MOST_LIFELINES or not client:
        return recording
    from pystack.observe.passage import Passage

    items = [
        item
        for item in recording.items
        if client in ((item.sender, item.receiver) if isinstance(item, Passage) else (item.host,))
    ]
    seen = {name for it in items if isinstance(it, Passage) for name in (it.sender, it.receiver)}
    order = [name for name in recording.order if name in seen]
    return replace(recording, items=items, order=order)


def _ladders(told: Story | Comparison, recordings: Iterable[Recording]) -> list[Drawn]:
    """Return who sent what, until what was asked for is done."""
    from pystack.observe.explain.story import Comparison
    from pystack.observe.ladder import Ladder

    stories = [told.left, told.right] if isinstance(told, Comparison) else [told]
    return [
        Ladder.of(recording, until=story.ended_at)
        for recording, story in zip(recordings, stories, strict=True)
    ]
