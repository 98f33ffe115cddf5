"""The service `ftp` in an emulated network: what it answers, and what becomes of the files."""

import os
import re
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
import trio
from ftp_client import BIG, Control, run

import pystack
from pystack.apps.hosting import serve

# what it answers


ANSWERS = [
    ("SYST", 215),
    ("NOOP", 200),
    ("noop", 200),
    ("HELP", 214),
    ("FEAT", 211),
    ("STAT", 211),
    ("STAT sub", 213),
    ("STAT hello", 213),
    ("STAT nothing", 550),
    ("ACCT x", 202),
    ("ALLO 100", 202),
    ("TYPE A", 200),
    ("TYPE A N", 200),
    ("TYPE A T", 504),
    ("TYPE E", 504),
    ("TYPE L 8", 200),
    ("TYPE L 7", 504),
    ("TYPE i", 200),
    ("TYPE", 501),
    ("MODE S", 200),
    ("MODE Z", 504),
    ("MODE B", 504),
    ("STRU F", 200),
    ("STRU R", 504),
    ("PWD", 257),
    ("CWD sub", 250),
    ("CDUP", 250),
    ("CDUP", 250),  # the root is above the root
    ("CWD hello", 550),
    ("CWD nothing", 550),
    ("CWD ../../..", 250),
    ("CWD out", 550),
    ("CWD link", 250),
    ("XPWD", 257),
    ("XCUP", 250),
    ("CWD", 501),
    ("SIZE hello", 213),
    ("SIZE sub", 550),
    ("SIZE nothing", 550),
    ("MDTM hello", 213),
    ("MDTM nothing", 550),
    ("MLST hello", 250),
    ("MLST", 250),
    ("MLST .hidden", 550),
    ("MLSD hello", 501),
    ("MLSD nothing", 550),
    ("REST 5", 350),
    ("REST -5", 501),
    ("REST x", 501),
    ("REST " + "9" * 30, 501),
    ("OPTS UTF8 ON", 200),
    ("OPTS UTF8", 200),
    ("OPTS UTF8 OFF", 501),
    ("OPTS MLST type;size;", 200),
    ("OPTS NOTHING", 501),
    ("RETR hello", 425),  # without a data connection
    ("RETR nothing", 550),
    ("RETR sub", 550),
    ("RETR .hidden", 550),
    ("RETR out/passwd", 550),
    ("LIST", 425),
    ("LIST nothing", 450),
    ("NLST nothing", 450),
    ("EPSV 2", 522),
    ("EPSV x", 522),
    ("EPSV", 229),
    ("EPSV 1", 229),
    ("PASV", 227),
    ("PORT 1,2,3", 501),
    ("PORT 1,2,3,4,5,256", 501),
    ("PORT 10,0,0,9,100,1", 504),
    ("EPRT |2|::1|5000|", 522),
    ("EPRT |1|10.0.0.9|5000|", 504),
    ("EPRT |1|10.0.0.1|500|", 504),
    ("EPRT 1", 501),
    ("EPRT |1|10.0.0.1|99999|", 501),
    ("EPRT |1|10.0.0.1|²|", 501),
    ("ABOR", 226),
    ("PBSZ 0", 503),
    ("PROT P", 503),
    ("CCC", 533),
    ("AUTH KERBEROS", 504),
    ("SITE CHMOD 777 hello", 550),
    ("SITE CHMOD", 501),
    ("SITE HELP", 500),
    ("SITE", 501),
    ("MFMT 20200229123005 hello", 550),
    ("REIN", 502),
    ("SMNT x", 502),
    ("HOST x", 502),
    ("LPSV", 502),
    ("RNTO x", 550),
    ("NONSENSE", 500),
    ("", 500),
    ("ÄÖ", 500),
    ("NOOP \0", 501),
    ("CWD a\rb", 501),
    ("CWD a\\b", 550),
    ("CWD " + "a" * 300, 550),
    ("CWD " + "a/" * 300, 550),
    ("CWD " + "a" * 5000, 500),
    ("STOR x", 550),
    ("APPE x", 550),
    ("STOU", 550),
    ("DELE hello", 550),
    ("MKD x", 550),
    ("RMD sub", 550),
    ("RNFR hello", 550),
    ("PASS x", 202),
    ("EPSV ALL", 200),
    ("PASV", 503),
    ("PORT 10,0,0,1,100,1", 503),
    ("EPRT |1|10.0.0.1|5000|", 503),
    ("EPSV", 229),
    ("QUIT", 221),
]


def test_what_each_command_is_answered(root: Path) -> None:
    async def talk(control: Control) -> None:
        answers = [(command, await control.code(command)) for command, _ in ANSWERS]
        assert answers == ANSWERS

    run(root, talk)
    assert (root / "hello").read_bytes() == b"hello\n"


def test_what_is_answered_to_those_who_may_write(root: Path) -> None:
    said = [
        ("MKD sub/new", 257),
        ("MKD sub/new", 550),
        ("MKD .new", 553),
        ("MKD " + "a" * 300, 553),
        ("MKD out/x", 550),
        ("MKD a\\b", 553),
        ("RNFR nothing", 550),
        ("RNTO x", 503),
        ("RNFR sub/new", 350),
        ("NOOP", 200),
        ("RNTO x", 503),  # it has to follow at once
        ("RNFR sub/new", 350),
        ("RNTO sub/newer", 250),
        ("RNFR sub/newer", 350),
        ("RNTO .newer", 553),
        ("RNFR sub/newer", 350),
        ("RNTO ../../newer", 250),
        ("RNFR /", 350),
        ("RNTO x", 450),
        ("RMD newer", 250),
        ("RMD sub", 550),
        ("RMD /", 450),
        ("SITE CHMOD 640 hello", 200),
        ("SITE CHMOD 4777 hello", 501),
        ("SITE CHMOD 888 hello", 501),
        ("SITE CHMOD 777 out/passwd", 550),
        ("SITE CHMOD 777 .hidden", 550),
        ("MFMT 20200229123005 hello", 213),
        ("MFMT 20200230123005 hello", 501),
        ("MFMT 0 hello", 501),
        ("MFMT 20200229123005", 501),
        ("MFMT 20200229123005 out/passwd", 550),
        ("DELE sub", 550),
        ("DELE out", 250),  # the link, not what it leads to
        ("DELE .hidden", 550),
        ("STOR .x", 553),
        ("STOR sub", 553),
        ("STOR nothing/x", 550),
        ("APPE sub", 553),
        ("STOU /", 553),
        ("REST 100", 350),
        ("STOR hello", 554),
    ]

    async def talk(control: Control) -> None:
        assert [(command, await control.code(command)) for command, _ in said] == said

    run(root, talk, writable=True)
    status = (root / "hello").stat()
    assert (status.st_mode & 0o7777, status.st_mtime) == (0o640, 1582979405)
    assert Path("/etc/passwd").stat().st_mode & 0o777 == 0o644
    assert sorted(path.name for path in root.iterdir()) == [
        ".hidden",
        "big",
        "hello",
        "link",
        "sub",
    ]


def test_nothing_but_a_greeting_without_a_login(root: Path) -> None:
    said = [
        *((command, 530) for command in ("PWD", "LIST", "RETR hello", "PASV", "CWD sub")),
        *((command, 530) for command in ("STOR x", "SIZE hello", "TYPE I", "STAT hello", "SITE")),
        ("PASS x", 503),
        ("FEAT", 211),
        ("STAT", 211),
        ("SYST", 215),
        ("USER root", 331),
        ("PASS x", 530),
        ("USER ftp", 331),
        ("PASS", 230),
        ("PWD", 257),
        ("USER ftp", 331),  # logs out
        ("PWD", 530),
        ("QUIT", 221),
    ]

    async def talk(control: Control) -> None:
        assert (await control.answer()).code == 220
        assert [(command, await control.code(command)) for command, _ in said] == said

    run(root, talk, login=False)


def test_replies_of_several_lines(root: Path) -> None:
    async def talk(control: Control) -> None:
        features = await control.do("FEAT")
        assert features.lines[0].startswith(b"211-")
        assert features.lines[-1] == b"211 End"
        names = [line[1:] for line in features.lines[1:-1] if line.startswith(b" ")]
        assert len(names) == len(features.lines) - 2
        assert {b"EPSV", b"UTF8", b"REST STREAM", b"AUTH TLS", b"SIZE", b"MDTM"} <= set(names)
        assert b"MLST type*;size*;modify*;perm*;unix.mode*;" in names
        assert (await control.do("OPTS MLST size;nothing;TYPE;")).text == "200 MLST OPTS type;size;"
        assert (await control.do("MLST hello")).lines[1] == b" type=file;size=6; /hello"
        assert (await control.do("OPTS MLST")).text == "200 MLST OPTS"
        assert (await control.do("MLST hello")).lines[1] == b"  /hello"

    run(root, talk)


def test_names_are_quoted_and_any_bytes(root: Path) -> None:
    async def talk(control: Control) -> None:
        assert (await control.do('MKD a"b')).text.startswith('257 "/a""b" ')
        await control.code('CWD a"b')
        assert (await control.do("PWD")).text.startswith('257 "/a""b" ')
        assert (await control.do("MKD ü €")).text.startswith('257 "/a""b/ü €" ')
        # IAC is sent twice, and taken both ways
        assert (await control.do(b"MKD x\xff\xffy")).lines[0].startswith(b'257 "/a""b/x\xff\xffy" ')
        assert await control.code(b"CWD x\xffy") == 250
        await control.code("CDUP")
        assert await control.get("NLST") == b"x\xffy\r\n\xc3\xbc \xe2\x82\xac\r\n"

    run(root, talk, writable=True)


# files


@pytest.mark.parametrize("active", [False, True])
def test_files_come_and_go(root: Path, *, active: bool) -> None:
    async def talk(control: Control) -> None:
        assert await control.get("RETR big", active=active) == BIG
        await control.put("STOR sub/new", BIG, active=active)
        assert (root / "sub" / "new").read_bytes() == BIG
        await control.put("STOR sub/new", b"short", active=active)
        assert (root / "sub" / "new").read_bytes() == b"short"
        await control.put("STOR empty", b"", active=active)
        assert (root / "empty").read_bytes() == b""
        assert await control.get("RETR empty", active=active) == b""
        assert await control.code("DELE sub/new") == 250
        assert not (root / "sub" / "new").exists()
        assert await control.code("QUIT") == 221
        with pytest.raises(EOFError):
            await control.line()

    run(root, talk, writable=True)


def test_a_transfer_goes_on_where_it_was_broken_off(root: Path) -> None:
    async def talk(control: Control) -> None:
        await control.code("REST 999000")
        assert await control.get("RETR big") == BIG[999000:]
        assert await control.get("RETR big") == BIG  # REST holds for one
        await control.code(f"REST {len(BIG)}")
        assert await control.get("RETR big") == b""
        await control.code(f"REST {len(BIG) + 1}")
        assert await control.code("RETR big") == 554
        await control.put("STOR up", BIG[:500_000])
        await control.code("REST 400000")
        await control.put("STOR up", BIG[400_000:])
        assert (root / "up").read_bytes() == BIG
        await control.code("REST 10")
        await control.put("STOR up", b"!")
        assert (root / "up").read_bytes() == BIG[:10] + b"!"
        await control.put("APPE up", b"?")
        await control.put("APPE appended", b"new")
        assert (root / "up").read_bytes() == BIG[:10] + b"!?"
        assert (root / "appended").read_bytes() == b"new"
        await control.code("TYPE A")
        await control.code("REST 1")
        assert await control.code("RETR big") == 504

    run(root, talk, writable=True)


def test_lines_are_changed_in_ascii_and_come_back_as_they_were(root: Path) -> None:
    text = (b"one\ntwo\r\n\rthree\r" * 60_000) + b"end\r"

    async def talk(control: Control) -> None:
        (root / "text").write_bytes(text)
        await control.code("TYPE A")
        assert await control.code("SIZE text") == 550
        sent = await control.get("RETR text")
        assert sent == text.replace(b"\n", b"\r\n")
        await control.put("STOR back", sent)
        assert (root / "back").read_bytes() == text

    run(root, talk, writable=True)


def test_unique_names(root: Path) -> None:
    async def talk(control: Control) -> None:
        names = [(await control.put("STOU", b"x")).text for _ in range(2)]
        assert [re.sub("^1.. ", "", name) for name in names] == ["FILE: file.0", "FILE: file.1"]
        said = await control.put("STOU sub/a", b"1")
        again = await control.put("STOU sub/a", b"2")
        assert (said.text[4:], again.text[4:]) == ("FILE: a", "FILE: a.1")
        assert (root / "sub" / "a").read_bytes() == b"1"
        assert (root / "sub" / "a.1").read_bytes() == b"2"

    run(root, talk, writable=True)


# listings


def test_listings(root: Path) -> None:
    now = time.time()
    old = datetime(2020, 2, 29, 12, 30, 5, tzinfo=UTC).timestamp()
    place = root / "list"
    place.mkdir()
    for name, at in (("b", old), ("a c", now - 3600), ("ü", now + 86400 * 400), (".x", old)):
        (place / name).write_bytes(b"12345")
        (place / name).chmod(0o640)
        os.utime(place / name, (at, at))
    (place / "line\nbreak").touch()
    (place / "link").symlink_to("../sub")
    (place / "away").symlink_to("/etc")
    (place / "lost").symlink_to("nothing")

    async def talk(control: Control) -> None:
        await control.code("CWD list")
        lines = (await control.get("LIST")).decode().split("\r\n")
        assert lines.pop() == ""
        assert [line.split(maxsplit=8)[8] for line in lines] == ["a c", "b", "link", "ü"]
        assert lines[1] == "-rw-r-----   1 ftp      ftp                 5 Feb 29  2020 b"
        assert lines[2].startswith("drwx")
        hour = datetime.fromtimestamp(now - 3600, UTC).strftime("%H:%M")
        assert lines[0].split()[7] == hour
        assert lines[3].split()[7] == str(datetime.fromtimestamp(now + 86400 * 400, UTC).year)
        assert (await control.get("LIST -al")).decode().split("\r\n")[:-1] == lines
        assert await control.get("NLST") == "a c\r\nb\r\nlink\r\nü\r\n".encode()
        assert (
            await control.get("NLST /list")
            == "".join(f"/list/{name}\r\n" for name in ("a c", "b", "link", "ü")).encode()
        )
        assert await control.get("NLST b") == b"b\r\n"
        assert await control.get("NLST [ab]*") == b"a c\r\nb\r\n"
        assert await control.get("NLST ../list/?") == b"../list/b\r\n"
        facts = (await control.get("MLSD")).decode().split("\r\n")
        assert facts[1] == "type=file;size=5;modify=20200229123005;perm=r;unix.mode=0640; b"
        assert re.fullmatch(r"type=dir;modify=\d{14};perm=el;unix\.mode=0\d{3}; link", facts[2])
        assert (await control.do("MDTM b")).text == "213 20200229123005"
        assert (await control.do("SIZE b")).text == "213 5"
        status = await control.do("STAT b")
        assert status.lines[1:-1] == [lines[1].encode()]

    run(root, talk)


def test_a_directory_of_many_names_is_sorted(root: Path) -> None:
    place = root / "many"
    place.mkdir()
    names = sorted(f"{number}" for number in range(5000))
    for name in names:
        (place / name).touch()

    async def talk(control: Control) -> None:
        assert (await control.get("NLST many")).decode().split() == [f"many/{n}" for n in names]
        assert len((await control.get("LIST many")).splitlines()) == 5000

    run(root, talk)


def test_names_beyond_the_bound_are_left_out_and_it_is_said(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pystack.apps.ftp.listing.LISTED", 2)
    for name in "abcd":
        (root / "sub" / "deep" / name).touch()

    async def talk(control: Control) -> None:
        data = await control.passive()
        await control.send("NLST sub/deep")
        await control.answer()
        assert len((await data.receive_some()).split()) == 2
        assert (await control.answer()).text == "226 The first names; 2 more are left out"

    run(root, talk)


# who may what


def test_accounts_and_nobody_else(root: Path) -> None:
    async def talk(control: Control) -> None:
        assert (await control.answer()).code == 220
        for user, password in (("anonymous", "x"), ("bob", "wrong")):
            began = trio.current_time()
            assert await control.code(f"USER {user}") == 331
            assert await control.code(f"PASS {password}") == 530
            assert trio.current_time() - began >= 2  # late
        assert await control.code("USER bob") == 331
        assert await control.code("PASS bob's word: ü") == 230
        assert await control.code("PWD") == 257

    host = run(root, talk, login=False, accounts=["bob:bob's word: ü", "eve:"])
    assert host.counters["ftp_logins_refused"] == 2


def test_three_wrong_passwords_are_enough(root: Path) -> None:
    async def talk(control: Control) -> None:
        await control.answer()
        await control.send(*["USER bob", "PASS wrong"] * 10)
        codes = [(await control.answer()).code for _ in range(6)]
        assert codes == [331, 530, 331, 530, 331, 421]
        with pytest.raises(EOFError):
            await control.line()

    host = run(root, talk, login=False, accounts=["bob:right"])
    assert host.counters["ftp_logins_refused"] == 3


def test_hidden_files_are_for_those_who_ask_for_them(root: Path) -> None:
    async def hidden(control: Control) -> None:
        assert await control.code("SIZE .hidden") == 550
        assert b".hidden" not in await control.get("LIST -a")

    async def shown(control: Control) -> None:
        assert await control.get("RETR .hidden") == b"hidden"
        assert b".hidden" in await control.get("NLST")
        await control.put("STOR .new", b"new")

    run(root, hidden)
    run(root, shown, dotfiles=True, writable=True)
    assert (root / ".new").read_bytes() == b"new"


def test_it_needs_a_directory() -> None:
    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            with pytest.raises(pystack.ConfigError, match="directory"):
                await serve(net.host("server"), "ftp")

    pystack.run(main)
