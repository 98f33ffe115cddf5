"""FTP without a network: its words, its listings, and that no path leads out of the root."""

import os
import re
import shutil
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from pystack.apps.ftp.addresses import own_target, parse_eprt, parse_port, pasv_text
from pystack.apps.ftp.commands import COMMANDS
from pystack.apps.ftp.listing import FACTS, facts_of, list_line, parse_timestamp
from pystack.apps.ftp.replies import RefusedError, doubled, quoted, reply, without_telnet
from pystack.apps.ftp.session import Session, Site
from pystack.apps.ftp.transfer import FileSink, Progress, receive
from pystack.apps.tree import Tree
from pystack.core.counters import Counters

# words


def test_replies() -> None:
    assert reply(200, "Yes") == b"200 Yes\r\n"
    assert reply(211, "a", "b", "c") == b"211-a\r\n b\r\n211 c\r\n"
    assert (
        reply(257, quoted([b'a"b', b"\xff", "ü".encode()])) == b'257 "/a""b/\xff\xff/\xc3\xbc"\r\n'
    )


@given(st.lists(st.text(), min_size=1, max_size=4))
def test_no_text_makes_a_reply_of_its_own(lines: list[str]) -> None:
    encodable = [line.encode("utf-8", "replace").decode() for line in lines]
    data = reply(211, *encodable)
    assert data.count(b"\n") == data.count(b"\r\n") == data.count(b"\r") == len(lines)
    ends = [line for line in data.split(b"\r\n") if line.startswith(b"211 ")]
    assert ends == [data.split(b"\r\n")[-2]]


def test_a_time_is_read_without_another_module(monkeypatch: pytest.MonkeyPatch) -> None:
    # Who has given up root by then may not be able to read what Python has not imported yet.
    monkeypatch.setitem(sys.modules, "_strptime", None)
    assert parse_timestamp(b"20200229123005") == 1_582_979_405
    assert parse_timestamp(b"19691231235959") == -1
    for nonsense in (b"20200230123005", b"20200229246060", b"2020022912300", b"2020022912300x"):
        with pytest.raises(RefusedError, match="YYYYMMDDHHMMSS"):
            parse_timestamp(nonsense)


def test_telnet_commands_are_taken_out() -> None:
    assert without_telnet(b"ABOR") == (b"ABOR", b"")
    assert without_telnet(b"\xff\xf4\xff\xf2ABOR") == (b"ABOR", b"")
    assert without_telnet(b"a\xff\xffb") == (b"a\xffb", b"")
    assert without_telnet(b"a\xffb\xff") == (b"a\xffb\xff", b"")
    assert without_telnet(b"\xff\xfb\x01x") == (b"x", b"\xff\xfe\x01")  # WILL: DONT
    assert without_telnet(b"\xff\xfd\x01x") == (b"x", b"\xff\xfc\x01")  # DO: WONT
    assert without_telnet(b"\xff\xfc\x01\xff\xfe\x01x") == (b"x", b"")
    assert without_telnet(b"\xff\xfd") == (b"", b"")


@given(st.binary())
def test_a_name_survives_telnet(name: bytes) -> None:
    assert without_telnet(doubled(name)) == (name, b"")


@given(st.binary())
def test_telnet_never_raises_and_never_grows(line: bytes) -> None:
    text, answer = without_telnet(line)
    assert len(text) <= len(line)
    assert len(answer) <= len(line)


@given(st.ip_addresses(v=4), st.integers(0, 65535))
def test_addresses_come_back(address: object, port: int) -> None:
    text = str(address)
    assert parse_port(pasv_text(text, port)[1:-1].encode()) == (text, port)
    if port:
        assert parse_eprt(f"|1|{text}|{port}|".encode(), 1) == (text, port)


@given(st.binary(max_size=40))
def test_nonsense_is_no_address(argument: bytes) -> None:
    for parse in (parse_port, lambda text: parse_eprt(text, 1)):
        with suppress(RefusedError):
            assert 0 <= parse(argument)[1] <= 65535


@pytest.mark.parametrize(
    ("address", "port", "is_right"),
    [
        ("10.0.0.1", 1024, True),
        ("10.0.0.1", 65535, True),
        ("10.0.0.1", 1023, False),
        ("10.0.0.1", 0, False),
        ("10.0.0.2", 5000, False),
        ("127.0.0.1", 5000, False),
        ("010.0.0.1", 5000, False),
        ("", 5000, False),
    ],
)
def test_data_goes_to_the_client_alone(address: str, port: int, *, is_right: bool) -> None:
    if is_right:
        own_target(address, port, "10.0.0.1")
        return
    with pytest.raises(RefusedError, match="504"):
        own_target(address, port, "10.0.0.1")


# listings

NAMES = st.binary(min_size=1, max_size=30).filter(lambda name: not set(name) & set(b"\r\n\0/"))


@st.composite
def statuses(draw: st.DrawFn) -> os.stat_result:
    kind = draw(st.sampled_from([stat.S_IFREG, stat.S_IFDIR, stat.S_IFIFO]))
    mode = kind | draw(st.integers(0, 0o7777))
    size = draw(st.integers(0, 2**63 - 1))
    at = draw(st.integers(-(2**40), 2**45))
    links = draw(st.integers(1, 99999))
    return os.stat_result((mode, 1, 1, links, 0, 0, size, at, at, at))


@given(NAMES, statuses(), st.booleans())
def test_facts_can_be_read_back(name: bytes, status: os.stat_result, writable: bool) -> None:
    line = facts_of(status, FACTS, writable=writable).encode() + b" " + name
    facts, _, rest = line.partition(b" ")  # as RFC 3659 has it: names may begin with a blank
    assert rest == name
    values = dict(fact.split("=") for fact in facts.decode().rstrip(";").split(";"))
    is_directory = stat.S_ISDIR(status.st_mode)
    assert values["type"] == ("dir" if is_directory else "file")
    assert values.get("size") == (None if is_directory else str(status.st_size))
    assert int(values["unix.mode"], 8) == stat.S_IMODE(status.st_mode)
    assert re.fullmatch("[0-9]{14}", values["modify"])
    if 0 <= status.st_mtime < 2**37:
        read = datetime.strptime(values["modify"], "%Y%m%d%H%M%S").replace(tzinfo=UTC)
        assert read.timestamp() == status.st_mtime
    assert ("w" in values["perm"] or "c" in values["perm"]) == writable


@given(NAMES, statuses())
def test_lines_for_people_can_be_read_back(name: bytes, status: os.stat_result) -> None:
    line = list_line(name, status, 1.7e9)
    pattern = (
        rb"([-dp][-rwxsStT]{9}) +(\d+) ftp +ftp +(\d+) ([A-Z][a-z]{2}) ([ \d]\d) "
        rb"(\d\d:\d\d| \d{4}) (.+)\r\n"
    )
    found = re.fullmatch(pattern, line, re.DOTALL)
    assert found, line
    assert found[1].decode() == stat.filemode(status.st_mode)
    assert int(found[3]) == status.st_size
    assert found[7] == name


def test_the_hour_is_told_of_late_dates_only() -> None:
    now = 1_600_000_000  # 2020-09-13 12:26:40

    def told(at: float) -> bytes:
        status = os.stat_result((stat.S_IFREG, 1, 1, 1, 0, 0, 5, at, at, at))
        return list_line(b"x", status, now)[-16:-4]

    assert told(now) == b"Sep 13 12:26"
    assert told(now - 182 * 86400) == b"Mar 15 12:26"
    assert told(now - 184 * 86400) == b"Mar 13  2020"
    assert told(now + 60) == b"Sep 13  2020"
    assert told(-5) == b"Jan  1  1970"
    assert told(2**50) == b"Dec 31  9999"


# paths


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ftp")


def build(base: Path) -> Path:
    """Make the root anew, and what is beside it."""
    for place in ("root", "root-beside"):
        shutil.rmtree(base / place, ignore_errors=True)
    root = base / "root"
    (root / "sub" / "deep").mkdir(parents=True)
    (root / ".git").mkdir()
    (base / "root-beside").mkdir()
    for place in (root / "file", root / "sub" / "file", root / ".git" / "file"):
        place.write_text("inside")
    for place in (base / "root-beside" / "file", base / "secret"):
        place.write_text("outside")
    for name, target in (
        ("up", ".."),
        ("beside", "../root-beside"),
        ("secret", "../secret"),
        ("etc", "/etc"),
        ("dir", "sub"),
        ("hidden", ".git"),
        ("new", "../new"),
        ("loop", "loop"),
    ):
        (root / name).symlink_to(target)
        (root / "sub" / name).symlink_to(root / name if name in ("dir", "loop") else target)
    return root


def snapshot(base: Path) -> list[tuple[str, bytes]]:
    """Return what is outside of the root, and what is hidden in it."""
    places = [base / "root-beside", base / "secret", base / "root" / ".git"]
    files = [path for place in places for path in [place, *sorted(place.rglob("*"))]]
    return [(str(path), path.read_bytes() if path.is_file() else b"") for path in files]


@contextmanager
def opened(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Record what is opened, by its real path."""
    real, paths = os.open, list[str]()

    def watching(*arguments: object, **words: object) -> int:
        descriptor = real(*arguments, **words)  # type: ignore[arg-type]
        paths.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        return descriptor

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", watching)
        yield paths


async def obey(tree: Tree, commands: list[bytes]) -> bytes:
    """Have a session obey them; return all that it said."""
    client, server = trio.testing.memory_stream_pair()
    site = Site(
        tree=tree,
        writable=True,
        accounts={},
        host=None,  # type: ignore[arg-type]  # there are no data connections
        host_name="test",
        counters=Counters(),
        tls=None,
        commands=COMMANDS,
    )
    lines = [b"USER ftp", b"PASS x", *commands, b"QUIT"]
    said = b""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(Session(site, server).run)
        await client.send_all(b"".join(line + b"\r\n" for line in lines))
        await client.send_eof()
        while part := await client.receive_some():
            said += part
    return said


VERBS = st.sampled_from(
    b"CWD CWD CDUP SIZE MDTM MLST STAT RETR STOR APPE DELE MKD RMD RNFR RNTO LIST NLST MLSD "
    b"STOU MFMT".split()
)
PIECES = st.sampled_from(
    b"||..|..|.|up|beside|secret|etc|passwd|dir|sub|deep|file|hidden|.git|new|loop|root|root-beside|x|"
    b"%2e%2e|..%2f|*|..\\|\xff\xff|\xc0\xae\xc0\xae|-x|~|~root".split(b"|")
)
PATHS = st.lists(PIECES, min_size=1, max_size=6).map(b"/".join)
COMMAND = st.tuples(VERBS, PATHS, st.sampled_from([b"", b"/"])).map(
    lambda parts: parts[0] + b" " + parts[2] + parts[1]
)


@settings(max_examples=150)
@given(st.lists(COMMAND, max_size=12))
def test_no_sequence_of_commands_leads_out_of_the_root(base: Path, commands: list[bytes]) -> None:
    root = build(base)
    before, tree = snapshot(base), Tree(root)
    with pytest.MonkeyPatch.context() as monkeypatch, opened(monkeypatch) as paths:
        said = trio.run(obey, tree, commands)
    assert said.endswith(b"221 Good-bye\r\n")
    assert b"outside" not in said
    own = str(root.resolve())
    for path in paths:
        if path.startswith(str(base.resolve())):
            assert path == own or path.startswith(own + "/"), (path, commands)
            assert "/." not in path.removeprefix(own), (path, commands)
    assert not [path for path in paths if path.startswith("/etc")]
    assert snapshot(base) == before
    assert not (base / "new").exists()
    assert sorted(path.name for path in base.iterdir()) == ["root", "root-beside", "secret"]


@given(st.binary(max_size=300))
def test_any_bytes_are_answered(base: Path, data: bytes) -> None:
    root = build(base)
    said = trio.run(obey, Tree(root), [data])
    assert b"Traceback" not in said
    codes = [line[:3] for line in said.split(b"\r\n") if re.match(rb"\d{3} ", line)]
    assert codes[:3] == [b"220", b"331", b"230"]


# uploads


@settings(max_examples=60)
@given(st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b"x", b"\r\r\n"]), max_size=30))
def test_lines_are_the_same_however_they_are_cut(base: Path, parts: list[bytes]) -> None:
    path = base / "upload"

    async def main() -> bytes:
        path.write_bytes(b"")
        client, server = trio.testing.lockstep_stream_pair()
        sink = FileSink(os.open(path, os.O_WRONLY), 0)
        async with trio.open_nursery() as nursery:

            async def send() -> None:
                for part in parts:
                    await client.send_all(part)
                await client.send_eof()

            nursery.start_soon(send)
            await receive(server, sink, Progress(), ascii_lines=True)
        sink.close()
        return path.read_bytes()

    assert trio.run(main) == b"".join(parts).replace(b"\r\n", b"\n")


def test_what_has_come_is_written_when_it_is_broken_off(base: Path) -> None:
    path = base / "upload"
    path.write_bytes(b"0123456789")

    async def main() -> None:
        sink = FileSink(os.open(path, os.O_WRONLY), 5)
        await sink.write(b"ab")
        sink.close()
        sink.close()

    trio.run(main)
    assert path.read_bytes() == b"01234ab789"
