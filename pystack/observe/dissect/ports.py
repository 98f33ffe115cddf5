"""Well-known ports: by name, and by what is spoken there."""

from typing import Final

_NAMES: Final = {
    7: "echo",
    9: "discard",
    13: "daytime",
    19: "chargen",
    20: "ftp-data",
    21: "ftp",
    22: "ssh",
    25: "smtp",
    37: "time",
    53: "dns",
    67: "dhcp server",
    68: "dhcp client",
    69: "tftp",
    80: "http",
    110: "pop3",
    123: "ntp",
    143: "imap",
    443: "https",
    465: "smtps",
    546: "dhcpv6 client",
    547: "dhcpv6 server",
    587: "smtp submission",
    853: "dns over tls",
    990: "ftps",
    993: "imaps",
    1900: "ssdp",
    3306: "mysql",
    5201: "iperf3",
    5353: "mdns",
    5432: "postgresql",
    6379: "redis",
    8080: "http",
    8443: "https",
}
# What `dissect` takes the text of a segment or a datagram for
_SPOKEN: Final = {
    53: "dns",
    5353: "dns",
    80: "http",
    3000: "http",
    3128: "http",
    8000: "http",
    8080: "http",
    443: "tls",
    465: "tls",
    853: "tls",
    990: "tls",
    993: "tls",
    8443: "tls",
    25: "smtp",
    587: "smtp",
    21: "ftp",
}
EPHEMERAL: Final = 32768  # from here on, Linux's own choice


def port_name(port: int) -> str:
    """Return what a port is known for, or where such ones come from."""
    if port in _NAMES:
        return _NAMES[port]
    return "ephemeral: chosen by the system" if port >= EPHEMERAL else ""


def spoken(src_port: int, dst_port: int) -> str:
    """Return what is spoken between two ports; "": nobody knows."""
    return _SPOKEN.get(dst_port) or _SPOKEN.get(src_port, "")
