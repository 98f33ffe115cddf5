"""What the API of proxies writes, where it listens, and its metrics."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pystack.apps.proxy.api import ApiAddress, metrics, parse_api_address
from pystack.apps.proxy.api.notation import Json, read, write
from pystack.apps.proxy.model import LinkWords, Proxy
from pystack.apps.proxy.toxics.spec import ToxicSpec
from pystack.core.errors import ConfigError

BOTH = ("127.0.0.1", "::1")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.0, "1"),
        (0.5, "0.5"),
        (-0.0, "0"),
        (0.1, "0.1"),
        (0.00001, "0.00001"),
        (1e-6, "0.000001"),
        (1e-7, "1e-7"),
        (1e20, "100000000000000000000"),
        (1e21, "1e+21"),
        (-2.5, "-2.5"),
        (10**30, "1" + "0" * 30),
        (True, "true"),
        (None, "null"),
        ({"b": [1, "a"], "a": {}}, '{"b":[1,"a"],"a":{}}'),
        ("<\ud800>", '"\\u003c\ufffd\\u003e"'),
    ],
)
def test_values_are_written_as_go_writes_them(value: object, text: str) -> None:
    assert write(value) == text


@pytest.mark.parametrize("value", [math.inf, math.nan, b"", object()])
def test_what_has_no_form_is_not_written(value: object) -> None:
    with pytest.raises(TypeError, match="no form in JSON"):
        write([value])


_VALUES: st.SearchStrategy[Json] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(-(2.0**53), 2.0**53) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(_VALUES)
def test_what_is_written_is_read_as_the_same(value: Json) -> None:
    text = write(value)
    assert read(text.encode()) == json.loads(text) == value


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_no_digit_of_a_number_is_lost(value: float) -> None:
    assert float(write(value)) == value


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("", ApiAddress(BOTH, 8474)),
        ("9000", ApiAddress(BOTH, 9000)),
        ("0", ApiAddress(BOTH, 0)),
        (":9000", ApiAddress(BOTH, 9000)),
        ("localhost", ApiAddress(BOTH, 8474)),
        ("localhost:9000", ApiAddress(BOTH, 9000)),
        ("127.0.0.1", ApiAddress(("127.0.0.1",), 8474)),
        ("127.0.0.1:9000", ApiAddress(("127.0.0.1",), 9000)),
        ("[::1]", ApiAddress(("::1",), 8474)),
        ("[::1]:9000", ApiAddress(("::1",), 9000)),
        ("::1", ApiAddress(("::1",), 8474)),
        ("0.0.0.0", ApiAddress(("0.0.0.0",), 8474)),
        ("[::]:9000", ApiAddress(("::",), 9000)),
        ("box.lan:9000", ApiAddress(("box.lan",), 9000)),
    ],
)
def test_where_the_api_listens(text: str, address: ApiAddress) -> None:
    assert parse_api_address(text) == address


@pytest.mark.parametrize(
    ("text", "is_loopback"),
    [("", True), ("127.9.9.9", True), ("[::1]", True), ("0.0.0.0", False), ("box.lan", False)],
)
def test_it_is_known_who_may_come(text: str, is_loopback: bool) -> None:
    assert parse_api_address(text).is_loopback is is_loopback


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("127.0.0.1:65536", "a port is a number up to 65535"),
        ("127.0.0.1:http", "a port is a number up to 65535"),
        ("127.0.0.1:-1", "a port is a number up to 65535"),
        ("99999999", "a port is a number up to 65535"),
        ("[::1]80", "a port is a number up to 65535"),
        ("[::1", "goes in brackets"),
        ("fd00::x:80", "goes in brackets"),
        ("http://127.0.0.1:8474", "--api http"),
        ("a b", "use ADDRESS:PORT"),
    ],
)
def test_other_places_are_refused_in_a_sentence(text: str, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        parse_api_address(text)


def test_metrics_are_as_prometheus_reads_them() -> None:
    proxy = Proxy(
        name='a"\\\n',
        listen="127.0.0.1:26379",
        upstream="localhost:6379",
        enabled=True,
        protocol="tcp",
        words=LinkWords(),
        toxics=[ToxicSpec("latency_downstream", "latency")],
    )
    proxy.counts.connections, proxy.counts.open = 3, 2
    proxy.counts.refused, proxy.counts.dropped = 1, 4
    proxy.counts.traffic["upstream"].received_bytes = 10
    proxy.counts.traffic["downstream"].sent_bytes = 1 << 40
    labels = 'listener="127.0.0.1:26379",proxy="a\\"\\\\\\n",upstream="localhost:6379"'
    counted: list[dict[str, int]] = [
        {"tcp_retransmits_rto": 2},
        {"loss": 5, "tcp_retransmits_rto": 1},
    ]
    lines = metrics.text([proxy], counted).splitlines()
    assert [line for line in lines if not line.startswith("# HELP")] == [
        "# TYPE toxiproxy_proxy_received_bytes_total counter",
        f'toxiproxy_proxy_received_bytes_total{{direction="upstream",{labels}}} 10',
        f'toxiproxy_proxy_received_bytes_total{{direction="downstream",{labels}}} 0',
        "# TYPE toxiproxy_proxy_sent_bytes_total counter",
        f'toxiproxy_proxy_sent_bytes_total{{direction="upstream",{labels}}} 0',
        f'toxiproxy_proxy_sent_bytes_total{{direction="downstream",{labels}}} 1099511627776',
        "# TYPE pystack_proxy_connections_total counter",
        'pystack_proxy_connections_total{proxy="a\\"\\\\\\n"} 3',
        "# TYPE pystack_proxy_open_connections gauge",
        'pystack_proxy_open_connections{proxy="a\\"\\\\\\n"} 2',
        "# TYPE pystack_proxy_refused_connections_total counter",
        'pystack_proxy_refused_connections_total{proxy="a\\"\\\\\\n"} 1',
        "# TYPE pystack_proxy_dropped_connections_total counter",
        'pystack_proxy_dropped_connections_total{proxy="a\\"\\\\\\n"} 4',
        "# TYPE pystack_proxy_enabled gauge",
        'pystack_proxy_enabled{proxy="a\\"\\\\\\n"} 1',
        "# TYPE pystack_proxy_toxics gauge",
        'pystack_proxy_toxics{proxy="a\\"\\\\\\n"} 1',
        "# TYPE pystack_counted_total counter",
        'pystack_counted_total{counter="loss"} 5',
        'pystack_counted_total{counter="tcp_retransmits_rto"} 3',
    ]
    assert len([line for line in lines if line.startswith("# HELP")]) == 9
