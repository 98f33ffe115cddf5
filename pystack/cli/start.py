"""Where the command begins: before the imports, which are long enough for somebody to press Ctrl-C.

Until there is somebody who ends in order, the signal ends the process as it ends any other program,
without the traceback of a half-done import.
"""

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
    from pystack.cli.main import main as whole

    whole()
