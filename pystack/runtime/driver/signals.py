"""The signals that ask a program to end in order."""

import signal


def ending_signals() -> list[signal.Signals]:
    """Return them: Ctrl-C, SIGTERM, and SIGHUP, which comes when the terminal goes.

    SIGHUP not where it was ignored when we began, which is what nohup(1) is for, or there is none.
    """
    signals = [signal.SIGINT, signal.SIGTERM]
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signals.append(signal.SIGHUP)
    return signals
