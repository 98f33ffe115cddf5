"""What the loopback of this machine has."""

import socket


def has_ip6() -> bool:
    """Tell whether there is a ::1."""
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True
