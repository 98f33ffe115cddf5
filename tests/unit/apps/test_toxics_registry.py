"""What toxics are asked to be: attributes as JSON has them, and what is said of wrong ones."""

import pytest

from pystack.apps.proxy.errors import (
    BadRequestError,
    InvalidStreamError,
    InvalidToxicTypeError,
    ProxyError,
)
from pystack.apps.proxy.toxics.registry import TOXICS, checked, is_packet_toxic
from pystack.apps.proxy.toxics.spec import ToxicSpec


def attributes(type_name: str, **given: object) -> dict[str, object]:
    return dict(checked(ToxicSpec("", type_name, attributes=given)).attributes)


def refusal(type_name: str, protocol: str = "tcp", **given: object) -> str:
    with pytest.raises(BadRequestError) as caught:
        checked(ToxicSpec("", type_name, attributes=given), protocol)
    return str(caught.value).removeprefix("bad request body: ")


@pytest.mark.parametrize(
    ("type_name", "names"),
    [
        ("latency", ["latency", "jitter"]),
        ("bandwidth", ["rate"]),
        ("slow_close", ["delay"]),
        ("timeout", ["timeout"]),
        ("reset_peer", ["timeout"]),
        ("slicer", ["average_size", "size_variation", "delay"]),
        ("limit_data", ["bytes"]),
    ],
)
def test_toxiproxys_toxics_have_its_attributes_and_zero_for_what_is_not_given(
    type_name: str, names: list[str]
) -> None:
    assert list(attributes(type_name).items()) == [(name, 0) for name in names]
    assert not is_packet_toxic(type_name)


@pytest.mark.parametrize("type_name", TOXICS)
def test_the_defaults_of_each_type_are_values_that_it_takes(type_name: str) -> None:
    defaults = TOXICS[type_name].defaults
    assert attributes(type_name, **defaults) == defaults == attributes(type_name)


def test_a_toxic_is_named_after_its_type_and_stream() -> None:
    assert checked(ToxicSpec("", "latency", "upstream")).name == "latency_upstream"
    assert checked(ToxicSpec("", "latency", "Upstream")).name == "latency_upstream"  # type: ignore[arg-type]
    assert checked(ToxicSpec("mine", "latency")).name == "mine"


@pytest.mark.parametrize(
    ("type_name", "given", "kept"),
    [
        ("latency", {"latency": 100, "jitter": 5.0}, {"latency": 100, "jitter": 5}),
        ("latency", {"Latency": 100}, {"latency": 100, "jitter": 0}),  # as Go's JSON has it
        ("latency", {"latency": None, "other": []}, {"latency": 0, "jitter": 0}),
        ("limit_data", {"bytes": 2**40}, {"bytes": 2**40}),
        ("loss", {"probability": "1%"}, {"probability": 0.01, "correlation": 0, "model": ""}),
        ("loss", {"model": " gemodel  1%"}, {"model": "gemodel 1%"}),
        ("delay", {"delay": "50ms", "jitter": 0.5}, {"delay": 50, "jitter": 0.5}),
        ("rate", {"rate": "10mbit"}, {"rate": 10_000_000, "limit": 1000}),
        ("queue", {"qdisc": "codel target 5ms"}, {"qdisc": "codel target 5ms", "rate": 0}),
        ("mtu_blackhole", {"mtu": "1kb"}, {"mtu": 1024}),
        ("half_open", {"handshake": False}, {"handshake": False}),
        ("half_open", {"handshake": "false"}, {"handshake": False}),
        ("flap", {"up": "2s"}, {"up": 2000, "down": 1000}),
    ],
)
def test_values_are_kept_in_the_unit_of_the_attribute(
    type_name: str, given: dict[str, object], kept: dict[str, object]
) -> None:
    assert kept.items() <= attributes(type_name, **given).items()


@pytest.mark.parametrize(
    ("type_name", "given", "sentence"),
    [
        (
            "latency",
            {"latency": "100"},
            "latency: attribute latency is '100': it must be a whole number, 0 or more (ms)",
        ),
        (
            "latency",
            {"latency": True},
            "latency: attribute latency is True: it must be a whole number, 0 or more (ms)",
        ),
        (
            "bandwidth",
            {"rate": -1},
            "bandwidth: attribute rate is -1: it must be a whole number, 0 or more (KB/s)",
        ),
        (
            "slicer",
            {"average_size": 1.5},
            "slicer: attribute average_size is 1.5: it must be a whole number, 0 or more (bytes)",
        ),
        (
            "limit_data",
            {"bytes": 2**63},
            "limit_data: attribute bytes is 9223372036854775808: it must be a whole number, 0 or "
            "more (bytes)",
        ),
        (
            "limit_data",
            {"bytes": float("inf")},
            "limit_data: attribute bytes is inf: it must be a whole number, 0 or more (bytes)",
        ),
        (
            "delay",
            {"delay": 10**400},
            f"delay: attribute delay is 1{'0' * 196}...: it must be a time, 0 or more, or a text "
            "such as '50ms' (ms)",
        ),
        (
            "loss",
            {"probability": 1.5},
            "loss: attribute probability is 1.5: it must be a probability, 0 to 1, or a text such "
            "as '1%' (0..1)",
        ),
        (
            "loss",
            {"probability": "1"},
            "loss: attribute probability is '1': '1' has no unit: 1 % (tc) or 100 %? Write 1% or "
            "100%, or 0.01 as a number",
        ),
        ("loss", {"propability": 1}, "loss: there is no attribute 'propability'; did you mean "),
        ("loss", {"model": "gemodel"}, "loss: attribute model is 'gemodel': loss = 'gemodel'"),
        (
            "jitter",
            {"distribution": "norm"},
            "jitter: attribute distribution is 'norm': there is no 'norm'; did you mean 'normal'?",
        ),
        ("queue", {"qdisc": "kodel"}, "queue: attribute qdisc is 'kodel': qdisc = 'kodel' is not"),
        ("queue", {"qdisc": ""}, "queue: attribute qdisc is '': it must be a queue such as"),
        (
            "mtu_blackhole",
            {"mtu": 67},
            "mtu_blackhole: attribute mtu is 67: it must be a size, 68 to 65535, or a text such as "
            "'1kb' (bytes)",
        ),
        ("half_open", {"handshake": 1}, "half_open: attribute handshake is 1: it must be true or"),
        ("half_open", {"handshake": "no"}, "half_open: attribute handshake is 'no': it must be"),
        (
            "flap",
            {"up": 0},
            "flap: attribute up is 0: it must be a time, 1 or more, or a text such as '50ms' (ms)",
        ),
    ],
)
def test_what_is_wrong_is_said_with_the_name_of_the_attribute(
    type_name: str, given: dict[str, object], sentence: str
) -> None:
    assert refusal(type_name, **given).startswith(sentence)


@pytest.mark.parametrize(
    "given",
    [
        {"qdisc": "x" * 100_000},
        {"x" * 100_000: 1},
        {"rate": ["x"] * 100_000},
        {"rate": "9" * 100_000},
        {"qdisc": "codel " + "x " * 100_000},
    ],
)
def test_a_sentence_stays_one_whatever_was_sent(given: dict[str, object]) -> None:
    assert len(refusal("queue", **given)) < 600


@pytest.mark.parametrize(
    ("spec", "error", "status"),
    [
        (ToxicSpec("", ""), InvalidToxicTypeError, 400),
        (ToxicSpec("", "lag", "sideways"), InvalidStreamError, 400),  # type: ignore[arg-type]
        (ToxicSpec("", "lag"), InvalidToxicTypeError, 400),
        (ToxicSpec("", "latency", "sideways"), InvalidStreamError, 400),  # type: ignore[arg-type]
        (ToxicSpec("", "latency", toxicity=1.1), BadRequestError, 400),
        (ToxicSpec("", "latency", toxicity=float("nan")), BadRequestError, 400),
    ],
)
def test_what_a_toxic_cannot_be_is_refused_as_by_toxiproxy(
    spec: ToxicSpec, error: type[ProxyError], status: int
) -> None:
    with pytest.raises(error) as caught:
        checked(spec)
    assert caught.value.status == status


def test_on_a_udp_proxy_toxics_work_on_datagrams_or_are_refused() -> None:
    assert is_packet_toxic("latency", "udp")
    assert checked(ToxicSpec("", "latency"), "udp").type == "latency"
    assert refusal("slicer", "udp") == (
        "slicer works on the bytes of connections, and a UDP proxy has none: use one of latency, "
        "bandwidth, timeout, loss, corrupt, duplicate, reorder, delay, jitter, rate, queue, "
        "mtu_blackhole, half_open, flap"
    )
