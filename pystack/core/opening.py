"""Opening the files that a user has named, as whoever the process is."""

import errno
import os


def flag(name: str) -> int:
    """Return one of os.open's flags by its name; 0 where the platform has no such flag."""
    number: int = getattr(os, name, 0)
    return number


def open_unfollowed(path: str, flags: int, mode: int = 0o666) -> int:
    """Open it as open(2) does; but root follows no symbolic link of another user: ELOOP."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return os.open(path, flags, mode)
    # In this order: what is looked at first can be another thing by the time that it is opened.
    try:
        return os.open(path, flags | os.O_NOFOLLOW, mode)
    except OSError as error:
        if error.errno != errno.ELOOP or os.lstat(path).st_uid != 0:
            raise
    return os.open(path, flags, mode)
