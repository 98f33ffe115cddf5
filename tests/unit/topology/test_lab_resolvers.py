"""What a lab's file says of whom a host asks for names."""

import pytest

from pystack.core.errors import ConfigError
from pystack.dns.config import ResolverConfig
from pystack.topology.building import build
from pystack.topology.drawing import drawing_of
from pystack.topology.file import parse

LAB = """\
[hosts.client]
dns = "ns1"

[routers.ns1]

[hosts.alone]

[[links]]
between = ["client", "ns1"]
"""


def with_dns(text: str) -> str:
    """Return the lab with another line 2."""
    return LAB.replace('dns = "ns1"', text)


@pytest.mark.parametrize(
    ("text", "config"),
    [
        ('dns = "ns1"', ResolverConfig(servers=("ns1",))),
        ('dns = "ns1.eth0"', ResolverConfig(servers=("ns1.eth0",))),
        ('dns = ["ns1:5353", "192.0.2.1"]', ResolverConfig(servers=("ns1:5353", "192.0.2.1"))),
        (
            'dns = { servers = ["ns1"], search = ["example.test"], timeout = "1s" }',
            ResolverConfig(servers=("ns1",), search=("example.test",), timeout_s=1.0),
        ),
    ],
)
def test_a_host_asks_a_server_or_several_or_as_a_table_says(
    text: str, config: ResolverConfig
) -> None:
    assert parse(with_dns(text)).nodes["client"].words["dns"] == config


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('dns = "ns2"', "client cannot ask 'ns2': it is not a node here; did you mean 'ns1'?"),
        ('dns = "alone"', "client cannot ask 'alone': it has no link, and so no address"),
        ("dns = 7", "dns is a name server, several, or a table of words, not 7"),
        ('dns = { servers = "ns1", tmeout = 1 }', "no word 'tmeout'; did you mean 'timeout'?"),
        ('dns = { timeout = "1s" }', "dns needs its servers"),
    ],
)
def test_what_cannot_be_is_told_with_its_line(text: str, sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(with_dns(text))
    assert str(caught.value).startswith("lab.toml:2: ")
    assert sentence in str(caught.value)


def test_a_drawing_shows_whom_a_host_asks() -> None:
    spec = parse(with_dns('dns = ["ns1", "192.0.2.1"]'))
    assert drawing_of(spec, build(spec)).boxes["client"].notes == ("asks ns1 192.0.2.1",)
