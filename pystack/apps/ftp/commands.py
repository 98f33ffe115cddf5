"""The commands of FTP: what each needs, and what it does (RFC 959, 2228, 2389, 2428, 3659, 4217).

What is known and not done here is answered by 502, what is not known by 500.
"""

from __future__ import annotations

import hmac
import re
import stat
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Final, NoReturn

import trio

from pystack.apps.ftp import limits
from pystack.apps.ftp.addresses import (
    own_target,
    parse_eprt,
    parse_port,
    pasv_text,
    protocol_of,
)
from pystack.apps.ftp.data import Active, Passive, open_passive
from pystack.apps.ftp.listing import FACTS, facts_of, parse_timestamp, timestamp
from pystack.apps.ftp.replies import RefusedError, quoted, shown
from pystack.apps.ftp.transfers import appe, list_, mlsd, nlst, retr, stat_path, stor, stou
from pystack.apps.world import away

if TYPE_CHECKING:
    from pystack.apps.ftp.session import Session

Run = Callable[["Session", bytes], Awaitable[None]]

_READ_ONLY: Final = "Nothing may be changed here"
_MODE: Final = re.compile(rb"0?[0-7]{1,3}")  # no set-user-ID and the like
_ANONYMOUS: Final = frozenset({"anonymous", "ftp"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One command: who may give it, and with what."""

    run: Run
    needs_argument: bool = False
    needs_login: bool = True
    writes: bool = False
    makes_name: bool = False  # trouble with the name of its argument is 553

    def check(self, session: Session, argument: bytes) -> None:
        """Raise RefusedError unless it may be given now."""
        if self.needs_login and session.choices.user is None:
            raise RefusedError(530, "USER and PASS have to come first")
        if self.needs_argument and not argument:
            raise RefusedError(501, "That command takes an argument")
        if self.writes and not session.site.writable:
            raise RefusedError(550, _READ_ONLY)


# who it is


async def _user(session: Session, argument: bytes) -> None:
    name = shown(argument)
    session.log_out()
    session.wanted_user = name
    # The same for a user that there is not: nobody is to find out who there is.
    await session.say(331, f"The password of {name}, please")


async def _pass(session: Session, argument: bytes) -> None:
    name, session.wanted_user = session.wanted_user, None
    if session.choices.user is not None:
        await session.say(202, "Somebody has logged in already")
        return
    if name is None:
        raise RefusedError(503, "USER has to come first")
    if not _is_right(session.site.accounts, name, argument):
        session.site.counters.add("ftp_logins_refused")
        session.wrong_passwords += 1
        await session.lines.flush()
        await trio.sleep(limits.WRONG_PASSWORD_S)
        if session.wrong_passwords >= limits.WRONG_PASSWORDS:
            await session.end(421, "That was wrong too often; good-bye")
            return
        raise RefusedError(530, "User or password is wrong")
    session.choices.user = name
    rights = "Everything may be changed" if session.site.writable else "Nothing may be changed"
    await session.say(230, f"Logged in as {name}. {rights} here.")


def _is_right(accounts: dict[str, str], name: str, password: bytes) -> bool:
    if not accounts:
        return name.lower() in _ANONYMOUS
    # Digests are compared, all of them the same length and for users that there are not too, so
    # that the time which it takes tells nothing.
    expected = accounts.get(name, "").encode("utf-8")
    is_same = hmac.compare_digest(sha256(expected).digest(), sha256(password).digest())
    return is_same and name in accounts


async def _acct(session: Session, _argument: bytes) -> None:
    await session.say(202, "No account is needed")


async def _quit(session: Session, _argument: bytes) -> None:
    await session.end(221, "Good-bye")


# TLS (RFC 4217)


async def _auth(session: Session, argument: bytes) -> None:
    if session.site.tls is None:
        raise RefusedError(502, "There is no TLS here")
    if argument.upper() not in (b"TLS", b"TLS-C", b"SSL", b"TLS-P"):
        raise RefusedError(504, "AUTH TLS is what there is")
    if session.is_secret:
        raise RefusedError(503, "This is in TLS already")
    await session.begin_tls()
    # Those who ask for these mean data in TLS, without another word.
    session.protects_data = argument.upper() in (b"SSL", b"TLS-P")


async def _pbsz(session: Session, argument: bytes) -> None:
    if not session.is_secret:
        raise RefusedError(503, "AUTH TLS has to come first")
    if not argument.isdigit() or len(argument) > 10:
        raise RefusedError(501, "PBSZ takes a number")
    session.protection_size_is_set = True
    await session.say(200, "PBSZ=0")


async def _prot(session: Session, argument: bytes) -> None:
    level = argument.upper()
    if not session.is_secret or not session.protection_size_is_set:
        raise RefusedError(503, "AUTH TLS and PBSZ have to come first")
    if level in (b"S", b"E"):
        raise RefusedError(536, "TLS protects all or nothing: P or C")
    if level not in (b"P", b"C"):
        raise RefusedError(504, "PROT takes P or C")
    session.protects_data = level == b"P"
    await session.say(200, "Data goes in TLS" if session.protects_data else "Data goes in clear")


async def _ccc(session: Session, _argument: bytes) -> None:
    if not session.is_secret:
        raise RefusedError(533, "This is in clear anyway")
    raise RefusedError(534, "What is in TLS stays in TLS")


# data connections (RFC 959, RFC 2428)


async def _pasv(session: Session, _argument: bytes) -> None:
    _check_passive_only(session)
    if protocol_of(session.local[0]) != 1:
        raise RefusedError(425, "PASV is for IPv4; EPSV is what you want")
    port = await _listen(session)
    await session.say(227, f"Entering Passive Mode {pasv_text(session.local[0], port)}")


async def _epsv(session: Session, argument: bytes) -> None:
    protocol = protocol_of(session.local[0])
    if argument.upper() == b"ALL":
        session.choices.passive_only = True
        await session.say(200, "EPSV alone from now on")
        return
    if argument not in (b"", b"%d" % protocol):
        raise RefusedError(522, f"Network protocol not supported, use ({protocol})")
    port = await _listen(session)
    await session.say(229, f"Entering Extended Passive Mode (|||{port}|)")


async def _listen(session: Session) -> int:
    session.use_channel(None)
    passive: Passive = await open_passive(session.site.host, session.local[0], session.client)
    session.use_channel(passive)
    session.start_soon(passive.run)
    return passive.port


async def _port(session: Session, argument: bytes) -> None:
    _check_passive_only(session)
    await _aim(session, parse_port(argument))


async def _eprt(session: Session, argument: bytes) -> None:
    _check_passive_only(session)
    await _aim(session, parse_eprt(argument, protocol_of(session.local[0])))


async def _aim(session: Session, target: tuple[str, int]) -> None:
    try:
        target = own_target(*target, session.client)
    except RefusedError:
        session.site.counters.add("ftp_bounces_refused")
        raise
    session.use_channel(Active(session.site.host, session.local, target))
    await session.say(200, "That is where data will go")


def _check_passive_only(session: Session) -> None:
    if session.choices.passive_only:
        raise RefusedError(503, "EPSV ALL was said")


# parameters


async def _type(session: Session, argument: bytes) -> None:
    match argument.upper().split():
        case [b"A"] | [b"A", b"N"]:
            session.choices.ascii_lines = True
            await session.say(200, "Type is ASCII")
        case [b"I"] | [b"L", b"8"] | [b"L8"]:
            session.choices.ascii_lines = False
            await session.say(200, "Type is IMAGE")
        case _:
            raise RefusedError(504, "Types are A, I and L 8")


async def _mode(session: Session, argument: bytes) -> None:
    await _only(session, argument, b"S", "Mode is Stream")


async def _stru(session: Session, argument: bytes) -> None:
    await _only(session, argument, b"F", "Structure is File")


async def _only(session: Session, argument: bytes, value: bytes, text: str) -> None:
    if argument.upper() != value:
        raise RefusedError(504, f"{value.decode('ascii')} is all there is")
    await session.say(200, text)


async def _rest(session: Session, argument: bytes) -> None:
    if not argument.isdigit() or len(argument) > 18:
        raise RefusedError(501, "REST takes a number of bytes")
    session.choices.restart_at = int(argument)
    await session.say(350, f"The next transfer begins at byte {int(argument)}")


async def _opts(session: Session, argument: bytes) -> None:
    name, _, value = argument.partition(b" ")
    match name.upper():
        case b"UTF8" | b"UTF-8" if value.upper() in (b"", b"ON"):
            await session.say(200, "Names are in UTF-8, always")
        case b"MLST":
            wanted = {shown(fact).lower() for fact in value.split(b";")}
            session.choices.facts = tuple(fact for fact in FACTS if fact in wanted)
            told = "".join(f"{fact};" for fact in session.choices.facts)
            await session.say(200, f"MLST OPTS {told}".rstrip())
        case _:
            raise RefusedError(501, "That cannot be chosen")


# directories and files


async def _pwd(session: Session, _argument: bytes) -> None:
    await session.say(257, f"{quoted(session.choices.directory)} is the current directory")


async def _cwd(session: Session, argument: bytes) -> None:
    segments = session.path(argument)
    if not stat.S_ISDIR(session.site.tree.stat(segments).st_mode):
        raise RefusedError(550, "That is not a directory")
    session.choices.directory = segments
    await session.say(250, f"The directory is {quoted(segments)} now")


async def _cdup(session: Session, _argument: bytes) -> None:
    await _cwd(session, b"..")


async def _size(session: Session, argument: bytes) -> None:
    status = session.site.tree.stat(session.path(argument))
    if not stat.S_ISREG(status.st_mode):
        raise RefusedError(550, "That is not a file")
    if session.choices.ascii_lines:
        # RFC 3659 section 4: what would be transferred; one would have to read all of it to know.
        raise RefusedError(550, "SIZE goes with TYPE I only")
    await session.say(213, str(status.st_size))


async def _mdtm(session: Session, argument: bytes) -> None:
    await session.say(213, timestamp(session.site.tree.stat(session.path(argument))))


async def _mlst(session: Session, argument: bytes) -> None:
    segments = session.path(argument)
    status = session.site.tree.stat(segments)
    facts = facts_of(status, session.choices.facts, writable=session.site.writable)
    path = shown(b"/" + b"/".join(segments))
    await session.say(250, f"Listing {path}", f"{facts} {path}", "End")


async def _dele(session: Session, argument: bytes) -> None:
    await away(session.site.tree.remove, session.path(argument))
    await session.say(250, "It is gone")


async def _mkd(session: Session, argument: bytes) -> None:
    segments = session.path(argument, is_new=True)
    await away(session.site.tree.make_directory, segments)
    await session.say(257, f"{quoted(segments)} was made")


async def _rmd(session: Session, argument: bytes) -> None:
    await away(session.site.tree.remove_directory, session.path(argument))
    await session.say(250, "The directory is gone")


async def _rnfr(session: Session, argument: bytes) -> None:
    segments = session.path(argument)
    session.site.tree.stat(segments)
    session.choices.rename_from = segments
    await session.say(350, "And its new name?")


async def _rnto(session: Session, argument: bytes) -> None:
    if session.choices.rename_from is None:
        raise RefusedError(503, "RNFR has to come right before")
    new = session.path(argument, is_new=True)
    await away(session.site.tree.rename, session.choices.rename_from, new)
    await session.say(250, "It has its new name")


async def _allo(session: Session, _argument: bytes) -> None:
    await session.say(202, "No room need be made")


# the rest


async def _abor(session: Session, _argument: bytes) -> None:
    session.use_channel(None)
    session.abort_discards()
    session.choices.restart_at = 0
    await session.say(226, "There is nothing to abort")


async def _stat(session: Session, argument: bytes) -> None:
    if argument:
        if session.choices.user is None:
            raise RefusedError(530, "USER and PASS have to come first")
        await stat_path(session, argument)
        return
    await session.say(211, f"{session.site.host_name} FTP server", *session.describe(), "End")


async def _syst(session: Session, _argument: bytes) -> None:
    await session.say(215, "UNIX Type: L8")


async def _noop(session: Session, _argument: bytes) -> None:
    await session.say(200, "Yes")


async def _help(session: Session, _argument: bytes) -> None:
    verbs = [verb for verb, command in COMMANDS.items() if command.run is not _missing]
    rows = [" ".join(verbs[at : at + 10]) for at in range(0, len(verbs), 10)]
    await session.say(214, "These commands there are:", *rows, "End")


async def _feat(session: Session, _argument: bytes) -> None:
    facts = "".join(f"{fact}{'*' if fact in session.choices.facts else ''};" for fact in FACTS)
    features = [
        "EPRT",
        "EPSV",
        "MDTM",
        "MFMT",
        f"MLST {facts}",
        "REST STREAM",
        "SIZE",
        "TVFS",
        "UTF8",
    ]
    if session.site.tls is not None:
        features += ["AUTH TLS", "PBSZ", "PROT"]
    await session.say(211, "Extensions:", *sorted(features), "End")


async def _site(session: Session, argument: bytes) -> None:
    name, _, rest = argument.partition(b" ")
    mode, _, path = rest.partition(b" ")
    # What a mirror needs, as others have it; without it `lftp mirror -R` ends with an error.
    if name.upper() != b"CHMOD":
        raise RefusedError(500, "SITE CHMOD is all there is")
    if not _MODE.fullmatch(mode) or not path:
        raise RefusedError(501, "SITE CHMOD takes a mode, 0 to 777, and a name")
    if not session.site.writable:
        raise RefusedError(550, _READ_ONLY)
    session.site.tree.change(session.path(path), mode=int(mode, 8))
    await session.say(200, f"Its mode is {mode.decode('ascii')}")


async def _mfmt(session: Session, argument: bytes) -> None:
    """Set the time of a file's last change (draft-somers-ftp-mfxx, which mirrors use)."""
    told, _, path = argument.partition(b" ")
    if not path:
        raise RefusedError(501, "MFMT takes YYYYMMDDHHMMSS and a name")
    segments = session.path(path)
    session.site.tree.change(segments, modified_s=parse_timestamp(told))
    await session.say(213, f"Modify={shown(told)}; {shown(b'/' + b'/'.join(segments))}")


async def _missing(session: Session, _argument: bytes) -> NoReturn:
    raise RefusedError(502, "That command is not implemented")


def _open(run: Run, *, needs_argument: bool = False) -> Command:
    return Command(run=run, needs_argument=needs_argument, needs_login=False)


def _file(run: Run) -> Command:
    return Command(run=run, needs_argument=True)


def _change(run: Run, *, makes_name: bool = False) -> Command:
    return Command(run=run, needs_argument=True, writes=True, makes_name=makes_name)


_CWD: Final = _file(_cwd)
_CDUP: Final = Command(run=_cdup)
_PWD: Final = Command(run=_pwd)
_MKD: Final = _change(_mkd, makes_name=True)
_RMD: Final = _change(_rmd)
_MISSING: Final = _open(_missing)

COMMANDS: Final = {
    "USER": _open(_user, needs_argument=True),
    "PASS": _open(_pass),
    "ACCT": _open(_acct),
    "QUIT": _open(_quit),
    "AUTH": _open(_auth, needs_argument=True),
    "PBSZ": _open(_pbsz, needs_argument=True),
    "PROT": _open(_prot, needs_argument=True),
    "CCC": _open(_ccc),
    "PASV": Command(run=_pasv),
    "EPSV": Command(run=_epsv),
    "PORT": _file(_port),
    "EPRT": _file(_eprt),
    "TYPE": _file(_type),
    "MODE": _file(_mode),
    "STRU": _file(_stru),
    "REST": _file(_rest),
    "OPTS": _open(_opts, needs_argument=True),
    "PWD": _PWD,
    "XPWD": _PWD,
    "CWD": _CWD,
    "XCWD": _CWD,
    "CDUP": _CDUP,
    "XCUP": _CDUP,
    "LIST": Command(run=list_),
    "NLST": Command(run=nlst),
    "MLSD": Command(run=mlsd),
    "MLST": Command(run=_mlst),
    "SIZE": _file(_size),
    "MDTM": _file(_mdtm),
    "MFMT": _change(_mfmt),
    "RETR": _file(retr),
    "STOR": _change(stor, makes_name=True),
    "STOU": Command(run=stou, writes=True, makes_name=True),
    "APPE": _change(appe, makes_name=True),
    "DELE": _change(_dele),
    "MKD": _MKD,
    "XMKD": _MKD,
    "RMD": _RMD,
    "XRMD": _RMD,
    "RNFR": _change(_rnfr),
    "RNTO": _change(_rnto, makes_name=True),
    "ALLO": _file(_allo),
    "ABOR": Command(run=_abor),
    "STAT": _open(_stat),
    "SYST": _open(_syst),
    "NOOP": _open(_noop),
    "HELP": _open(_help),
    "FEAT": _open(_feat),
    "SITE": _file(_site),
    **dict.fromkeys(
        ("ADAT", "CONF", "ENC", "HOST", "LANG", "LPRT", "LPSV", "MIC", "REIN", "SMNT"), _MISSING
    ),
}
