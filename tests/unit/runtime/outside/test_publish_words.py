"""What can be published, in words."""

import pytest

from pystack.core.errors import ConfigError
from pystack.runtime.outside.published import PublishSpec, parse_publish


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("8080:80", [PublishSpec("", 8080, 80)]),
        ("80", [PublishSpec("", 80, 80)]),
        ("0:80", [PublishSpec("", 0, 80)]),
        ("8080:80/tcp", [PublishSpec("", 8080, 80)]),
        ("5353:53/udp", [PublishSpec("", 5353, 53, "udp")]),
        ("127.0.0.1:8080:80", [PublishSpec("127.0.0.1", 8080, 80)]),
        ("0.0.0.0:80", [PublishSpec("0.0.0.0", 80, 80)]),
        ("[::1]:8080:80/udp", [PublishSpec("::1", 8080, 80, "udp")]),
        ("[::]:80", [PublishSpec("::", 80, 80)]),
        ("8000-8001:9000-9001", [PublishSpec("", 8000, 9000), PublishSpec("", 8001, 9001)]),
        ("8000-8001", [PublishSpec("", 8000, 8000), PublishSpec("", 8001, 8001)]),
    ],
)
def test_ports_are_read_with_their_addresses_ranges_and_protocols(
    text: str, found: list[PublishSpec]
) -> None:
    assert parse_publish(text) == found


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "not a port"),
        ("x:80", "not a port"),
        ("8080:0", "not a port"),
        ("70000:80", "not a port"),
        ("8080:", "not a port"),
        (":80", "not a port"),
        ("8080:80/sctp", "tcp or udp"),
        ("8080:80/", "tcp or udp"),
        ("1:2:3:4", "can be published"),
        (":8080:80", "address in front is missing"),
        ("1.2.3:8080:80", "not an IP address"),
        ("localhost:8080:80", "not an IP address"),
        ("::1:8080:80", "can be published"),
        ("[::1]8080:80", "said as"),
        ("[127.0.0.1]:8080:80", "said as"),
        ("8000-8002:9000-9001", "cannot lead to"),
        ("8001-8000:80-81", "ends before"),
        ("80-:80", "not a port"),
        (8080, "is a text"),
    ],
)
def test_what_cannot_be_is_said_in_a_sentence(text: str, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        parse_publish(text)


def test_a_port_is_written_as_it_is_read() -> None:
    for text in ("[::1]:8080:80/udp", "127.0.0.1:1:2/tcp", "8080:80/tcp"):
        assert [str(spec) for spec in parse_publish(text)] == [text]
