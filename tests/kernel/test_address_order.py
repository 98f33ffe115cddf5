"""RFC 6724's order beside that of the C library's getaddrinfo, in a namespace of both IP versions.

Left out is where glibc is known to differ: it has the table of RFC 3484 (so addresses of fc00::/7
and 2002::/16 beside others), and it also compares what two addresses of one's own network have in
common beyond its prefix, where RFC 6724 stops.
"""

import json
import platform
import sys
from pathlib import Path
from random import Random

import pytest
from netns import NetworkNamespace

from pystack.core.address_policy import Source, best_source, in_order, is_ip4, number
from pystack.core.addresses import parse_ip

pytestmark = pytest.mark.kernel

FAR4 = ("192.0.2.1", "198.51.100.7", "203.0.113.9", "172.16.3.3", "8.8.8.8")
NEAR4 = ("10.0.0.9",)
LINK4 = ("169.254.7.7",)
FAR6 = ("2001:db8:1:8::1", "2001:db8:ffff::1", "2001:4860::8888", "2a00:1450::1", "2600::1")
NEAR6 = ("2001:db8:1::9",)
CASES = 60

ASK = """
import json, socket, sys
found = {}
for name in json.loads(sys.argv[1]):
    entries = socket.getaddrinfo(name, 80, type=socket.SOCK_STREAM)
    found[name] = [entry[4][0] for entry in entries]
print(json.dumps(found))
"""

BOTH = ("10.0.0.1/24", "2001:db8:1::2/64")
ONE = ("10.0.0.1/24",)


def order_of_glibc(
    addresses: tuple[str, ...], names: dict[str, list[str]], folder: Path
) -> dict[str, list[str]]:
    """Return what getaddrinfo says of names in /etc/hosts, on a host with these addresses."""
    hosts = folder / "hosts"
    lines = [f"{address} {name}" for name, found in names.items() for address in found]
    hosts.write_text("\n".join(lines) + "\n")
    (folder / "host.conf").write_text("multi on\n")
    (folder / "nsswitch.conf").write_text("hosts: files\n")
    with NetworkNamespace() as namespace:
        veth = ["type", "veth", "peer", "name", "peer0"]
        namespace.run(["ip", "link", "add", "eth0", *veth])
        for name in ("peer0", "eth0"):
            namespace.run(["ip", "link", "set", name, "up"])
        for address in addresses:
            nodad = ["nodad"] if ":" in address else []
            namespace.run(["ip", "address", "add", address, "dev", "eth0", *nodad])
            version = "-6" if nodad else "-4"
            namespace.run(["ip", version, "route", "add", "default", "dev", "eth0"])
        binds = " && ".join(
            f"mount --bind {folder / name} /etc/{name}"
            for name in ("hosts", "host.conf", "nsswitch.conf")
        )
        command = f'{binds} && exec "$0" -c "$1" "$2"'
        words = ["unshare", "--mount", "sh", "-c", command, sys.executable, ASK]
        found: dict[str, list[str]] = json.loads(
            namespace.run([*words, json.dumps([*names])]).stdout
        )
    return found


@pytest.mark.parametrize("addresses", [BOTH, ONE], ids=["both versions", "IPv4 alone"])
def test_addresses_come_in_the_order_of_the_c_librarys_getaddrinfo(
    addresses: tuple[str, ...], tmp_path: Path
) -> None:
    if platform.libc_ver()[0] != "glibc":
        pytest.skip("the C library is not glibc")
    rng = Random(6724)
    known = (*FAR4, *NEAR4, *LINK4, *FAR6, *NEAR6)
    names = {f"case{number}.test": rng.sample(known, rng.randint(2, 8)) for number in range(CASES)}
    sources = [
        Source(number(parse_ip(text)), int(length) + (0 if ":" in text else 96))
        for text, _, length in (address.partition("/") for address in addresses)
    ]

    def source_of(destination: int) -> Source | None:
        return best_source(destination, sources)

    theirs = order_of_glibc(addresses, names, tmp_path)
    for name, given in names.items():
        # glibc reads a file's addresses of IPv6 first, and of equals the first stays first
        texts = sorted(given, key=lambda text: is_ip4(number(parse_ip(text))))
        numbers = {number(parse_ip(text)): text for text in texts}
        ours = [numbers[number] for number in in_order(numbers, source_of)]
        assert ours == theirs[name], given
