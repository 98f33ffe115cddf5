"""Where the command begins: before the imports, which are long enough for somebody to press Ctrl-C.

Until there is somebody who ends in order, the signal ends the process as it ends any other program,
without the traceback of a half-done import.
"""

import gc
import signal
import sys

from pystack.core.errors import ConfigError
from pystack.core.extras import need


def main() -> None:
    """Run the command and exit."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    # scripts/pystack lets it wait while Python starts; now it may come.
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
    try:
        need("typer", "the command")
    except ConfigError as error:
        sys.exit(f"pystack: {error}")
    # What is imported stays: to look for garbage in it, again and again while it grows, takes a
    # tenth of the time that a short command has. `main` lets it be looked for when all is there.
    gc.disable()
    from pystack.cli.main import main as whole

    whole()
