"""The guard of a sweep: ends what a sweep has started, should the sweep itself be killed.

A process of its own, which waits for the end of its standard input: that comes when nobody is left
who could write there. It is told of each process that begins ("+12", the leader of a group) and
ends ("-12"), and of the folder that they work in. It runs by its file, without the package.
"""

import os
import shutil
import signal
import sys


def main() -> None:
    """Wait until the sweep has gone, and clean up behind it."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # it goes with the sweep, not before
    groups: set[int] = set()
    folders: list[str] = []
    for line in sys.stdin:
        what, said = line[0], line[1:].rstrip("\n")
        if what == "+":
            groups.add(int(said))
        elif what == "-":
            groups.discard(int(said))
        else:
            folders.append(said)
    for group in groups:
        try:
            os.killpg(group, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            continue
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
