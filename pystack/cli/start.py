"""Where the command begins: before the imports, which are long enough for somebody to press Ctrl-C.

Until there is somebody who ends in order, the signal ends the process as it ends any other program,
without the traceback of a half-done import.
"""

import signal


def interruptible() -> None:
    """From here on Ctrl-C raises KeyboardInterrupt: there are programs who want to end in order."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def main() -> None:
    """Run the command and exit."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from pystack.cli.main import main as whole

    whole()
