"""What may be reached from inside, and what never is by accident."""

import pytest

from pystack.core.addresses import LOOPBACK, LOOPBACK6, parse_ip
from pystack.runtime.outside.reach import Reach, is_forbidden

NEVER = [
    "0.0.0.0",
    "0.1.2.3",
    "127.0.0.1",
    "127.255.255.254",
    "169.254.169.254",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::192.0.2.1",
    "::ffff:127.0.0.1",
    "::ffff:192.0.2.1",
    "::ffff:0:127.0.0.1",
    "64:ff9b::127.0.0.1",
    "64:ff9b::169.254.169.254",
    "64:ff9b::0.0.0.0",
    "64:ff9b:1::127.0.0.1",
    "64:ff9b:1:7f00:0:100::",  # RFC 6052 section 2.2: /48
    "64:ff9b:1:aa7f:0:1::",  # /56
    "64:ff9b:1:aabb:7f:0:100:0",  # /64
    "2002:7f00:1::1",
    "2002:a9fe:a9fe::1",
    "2001:0:7f00:1::",
    "2001::80ff:fffe",  # Teredo: 127.0.0.1 with its bits inverted
    "fd00::5efe:127.0.0.1",
    "fd00::200:5efe:127.0.0.1",
    "fe80::1",
    "febf::1",
    "ff02::1",
    "ff0e::1",
]
ALLOWED = [
    "1.1.1.1",
    "10.0.0.1",
    "126.255.255.255",
    "128.0.0.1",
    "169.253.0.1",
    "192.168.1.1",
    "223.255.255.255",
    "2001:db8::1",
    "2001:db8::127.0.0.1",
    "2606:4700::1",
    "fd00::1",
    "fec0::1",
    "64:ff9b::192.0.2.1",
    "64:ff9b:1::192.0.2.1",
    "64:ff9b:1:fffe::192.0.2.1",
    "2002:c000:201::1",
    "2001:0:c000:201::3fff:fdfe",
]


@pytest.mark.parametrize("text", NEVER)
def test_what_is_the_machines_own_or_one_links_is_forbidden_in_each_disguise(text: str) -> None:
    assert is_forbidden(parse_ip(text))
    assert Reach().outside_of(parse_ip(text)) is None


@pytest.mark.parametrize("text", ALLOWED)
def test_all_else_is_reached_as_it_is(text: str) -> None:
    assert Reach().outside_of(parse_ip(text)) == parse_ip(text)


def test_the_loopback_is_reached_by_its_name_alone_and_answers_by_it() -> None:
    inside, inside6 = parse_ip("10.77.0.254"), parse_ip("fd77::fe")
    reach = Reach({inside: LOOPBACK, inside6: LOOPBACK6})
    assert reach.outside_of(inside) == LOOPBACK
    assert reach.outside_of(inside6) == LOOPBACK6
    assert reach.inside_of(LOOPBACK) == inside
    assert reach.inside_of(LOOPBACK6) == inside6
    assert reach.outside_of(LOOPBACK) is None
    assert reach.inside_of(parse_ip("1.1.1.1")) == parse_ip("1.1.1.1")
