"""Giving up root: once the device is open, nothing needs it any more.

A host on a TAP device listens to strangers and serves files; what it may do to the machine should
be what the user behind it may. Where there is nobody else to be, root without its capabilities
reads and writes what is root's own, and no more.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pystack.core.errors import ConfigError, DeviceError

if TYPE_CHECKING:
    import pwd

_PR_SET_NO_NEW_PRIVS: Final = 38  # <linux/prctl.h>
_CAPABILITY_VERSION_3: Final = 0x20080522  # <linux/capability.h>
_ALL_IDS: Final = 0xFFFFFFFF
_HAS_USERS: Final = hasattr(os, "geteuid")  # Windows' are another matter; pwd is missing there too


@dataclass(frozen=True, slots=True)
class Account:
    """A user of the machine."""

    name: str
    uid: int
    gid: int
    groups: tuple[int, ...]
    home: str = "/"


def account_named(name: str) -> Account:
    """Return the account of a name or a number. Raises ConfigError."""
    if not _HAS_USERS:
        raise ConfigError("this platform has no users to become")
    import pwd

    try:
        entry = pwd.getpwuid(int(name)) if name.isdecimal() else pwd.getpwnam(name)
    except (KeyError, OverflowError):
        raise ConfigError(f"there is no user {name!r} here") from None
    return _account(entry)


def account_behind_sudo(environ: Mapping[str, str]) -> Account | None:
    """Return who called sudo(8); None where it was root, or nobody."""
    uid, gid = environ.get("SUDO_UID", ""), environ.get("SUDO_GID", "")
    if not (_HAS_USERS and uid.isdecimal() and gid.isdecimal()) or int(uid) == 0:
        return None
    import pwd

    try:
        return _account(pwd.getpwuid(int(uid)))
    except KeyError:
        return Account(uid, int(uid), int(gid), (int(gid),))


def whom_to_be(wanted: str | None, environ: Mapping[str, str]) -> Account | None:
    """Return who to be once root is not needed: who is `wanted`, else who called sudo.

    None: nobody else; nobody is wanted, or can be had, as in a user namespace of one user.
    Raises ConfigError for a user that cannot be had.
    """
    account = account_behind_sudo(environ) if wanted is None else account_named(wanted)
    if account is None or account.uid == os.geteuid():
        return None
    if os.geteuid() == 0 and _is_mapped(account.uid):
        return account
    if wanted is None:
        return None
    why = "this user namespace does not have it" if os.geteuid() == 0 else "that takes root (sudo)"
    raise ConfigError(f"cannot become the user {account.name}: {why}")


def is_the_machines_root() -> bool:
    """Tell whether we are root, and not only by name, in a user namespace of some other user."""
    return _HAS_USERS and os.geteuid() == 0 and _mapped_ids() == [(0, _ALL_IDS)]


def give_up(account: Account | None) -> None:
    """Become that user, if any, without capabilities and without a way back. Raises DeviceError.

    It holds for threads that are started afterwards; those there are keep their capabilities.
    """
    try:
        if account is not None:
            os.setgroups(account.groups)
            os.setresgid(account.gid, account.gid, account.gid)
            os.setresuid(account.uid, account.uid, account.uid)
        _call("prctl", _PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        _call("capset", struct.pack("Ii", _CAPABILITY_VERSION_3, 0), bytes(24))
    except OSError as error:
        whom = "root without its powers" if account is None else account.name
        raise DeviceError(f"cannot become {whom}: {error.strerror}") from None
    # Modules are imported when they are first needed.
    home = Path(__file__).parents[2]
    if account is not None and not os.access(home, os.R_OK | os.X_OK):
        raise DeviceError(
            f"{account.name} may not read {home}, where pystack is: have it elsewhere, or be "
            "somebody else (--user NAME)"
        )


@contextmanager
def as_who_called_sudo() -> Iterator[None]:
    """Open files as that user for the length of the block, where root has to stay root."""
    account = whom_to_be(None, os.environ)
    if account is None:
        yield
        return
    groups, gid, uid = os.getgroups(), os.getegid(), os.geteuid()
    os.setgroups(account.groups)
    os.setegid(account.gid)
    os.seteuid(account.uid)
    try:
        yield
    finally:
        os.seteuid(uid)
        os.setegid(gid)
        os.setgroups(groups)


def _account(entry: pwd.struct_passwd) -> Account:
    groups = os.getgrouplist(entry.pw_name, entry.pw_gid)
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid, tuple(groups), entry.pw_dir)


def _mapped_ids() -> list[tuple[int, int]]:
    """Return the users of our user namespace: first one and how many (user_namespaces(7))."""
    try:
        lines = Path("/proc/self/uid_map").read_text().splitlines()
    except FileNotFoundError:  # a system without user namespaces
        return [(0, _ALL_IDS)]
    return [(int(first), int(count)) for first, _outside, count in map(str.split, lines)]


def _is_mapped(uid: int) -> bool:
    return any(first <= uid < first + count for first, count in _mapped_ids())


def _call(name: str, *arguments: int | bytes) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*arguments):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
