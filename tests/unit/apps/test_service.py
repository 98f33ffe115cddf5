"""Services by name: --serve, the registry, plug-ins."""

import re
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path

import pytest

from pystack.apps import service
from pystack.apps.options import AppName
from pystack.apps.service import (
    BUILT_IN,
    SERVICES,
    Service,
    ServiceOptions,
    parse_serve,
    place_services,
)
from pystack.apps.smtp import SmtpService
from pystack.core.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("http", ("http", None)),
        ("http:8080", ("http", 8080)),
        ("echo:1", ("echo", 1)),
        ("daytime:65535", ("daytime", 65535)),
    ],
)
def test_a_name_may_have_a_port(text: str, parsed: tuple[str, int | None]) -> None:
    assert parse_serve(text) == parsed


@pytest.mark.parametrize(
    "text", ["http:", "http:0", "http:65536", "http:x", "http:-1", "http:\u0661", "http:1:2"]
)
def test_a_port_is_1_to_65535(text: str) -> None:
    with pytest.raises(ConfigError, match="is not a port"):
        parse_serve(text)


@pytest.mark.parametrize("name", ["ftp", "tftp"])
def test_what_has_nothing_but_files_needs_a_root(name: str) -> None:
    with pytest.raises(ConfigError, match=f"^{name} needs a directory to serve: --root DIR"):
        place_services([name])


def test_an_unknown_name_is_told_the_nearest_or_all_there_are() -> None:
    with pytest.raises(ConfigError, match=r"no service 'htpp'; did you mean 'http'\?$"):
        parse_serve("htpp:80")
    with pytest.raises(ConfigError, match=r"'zzz' \(there are: asgi, chargen, daytime, discard"):
        parse_serve("zzz")


def test_with_nothing_asked_for_it_is_http() -> None:
    (placement,) = place_services([])
    assert placement.service.name == "http"
    assert (placement.tcp_port, placement.udp_port) == (80, None)


def test_a_port_given_holds_for_both_protocols() -> None:
    (placement,) = place_services(["echo:7777"])
    assert (placement.tcp_port, placement.udp_port) == (7777, 7777)


def test_all_services_go_together_and_one_may_be_there_twice() -> None:
    names = ["http", "http:8080", "echo", "discard", "chargen", "daytime", "time"]
    assert len(place_services(names)) == len(names)


@pytest.mark.parametrize(
    ("asked", "claim"),
    [
        (["http", "http"], "'http' and 'http' both claim TCP port 80"),
        (["http", "echo:80"], "'http' and 'echo:80' both claim TCP port 80"),
        (["echo", "daytime:7"], "'echo' and 'daytime:7' both claim TCP port 7"),
    ],
)
def test_two_may_not_claim_one_port(asked: list[str], claim: str) -> None:
    with pytest.raises(ConfigError, match=claim):
        place_services(asked)


def test_a_wrong_root_is_found_when_the_service_is_built(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not a directory"):
        place_services(["http"], ServiceOptions(root=tmp_path / "nothing"))


class Quote(Service):
    name = "quote"
    udp_port = 17

    def __init__(self, options: ServiceOptions) -> None:
        self.options = options

    def answer_udp(self, payload: bytes, peer: tuple[str, int], now: float) -> bytes | None:
        return b"To be"


@pytest.fixture
def plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    points = EntryPoints(
        [
            EntryPoint("quote", f"{__name__}:Quote", service.SERVICES.entry_points),
            EntryPoint("odd", "builtins:repr", service.SERVICES.entry_points),
            EntryPoint("broken", "no.such.module:Thing", service.SERVICES.entry_points),
        ]
    )
    monkeypatch.setattr("importlib.metadata.entry_points", points.select)


def test_the_table_in_the_docs_has_each_with_its_ports(tmp_path: Path) -> None:
    lines = Path("docs/services.md").read_text().splitlines()
    shown = {
        name: line.split("|")[2]
        for line in lines
        if line.startswith("| `")
        for name in re.findall("`([a-z0-9]+)`", line.split("|")[1])
    }
    options = ServiceOptions(
        root=tmp_path, asgi=AppName("asgi_app_for_tests:app", Path("tests/network"))
    )
    for name in BUILT_IN:
        (placement,) = place_services([name], options)
        assert str(placement.tcp_port or placement.udp_port) in re.findall(r"\d+", shown[name])
        is_by_udp = placement.udp_port is not None
        assert ("UDP" in shown[name]) == is_by_udp, name


@pytest.mark.usefixtures("plugins")
def test_a_plug_in_is_a_service_like_any_other() -> None:
    assert "quote" in SERVICES.names
    (placement,) = place_services(["quote:1717"])
    assert placement.service.answer_udp(b"", ("10.0.0.1", 5), 0.0) == b"To be"
    assert (placement.tcp_port, placement.udp_port) == (None, 1717)


@pytest.mark.usefixtures("plugins")
def test_a_plug_in_that_does_not_load_is_named() -> None:
    with pytest.raises(ConfigError, match=r"'broken' \(no\.such\.module:Thing\)"):
        place_services(["broken"])


@pytest.mark.usefixtures("plugins")
def test_a_plug_in_that_makes_no_service_is_named() -> None:
    with pytest.raises(ConfigError, match="'odd' makes no service: that is a subclass of"):
        place_services(["odd"])


def test_all_of_them_write_nothing_below_a_root_that_is_not_writable(tmp_path: Path) -> None:
    for writable in (False, True):
        options = ServiceOptions(root=tmp_path, writable=writable)
        (smtp,) = [
            each.service for each in place_services(["all"], options) if each.service.name == "smtp"
        ]
        assert isinstance(smtp, SmtpService)
        assert (smtp._maildir is not None) is writable
    assert list(tmp_path.iterdir()) == []
