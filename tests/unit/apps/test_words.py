"""The words of services: read for the command, labs and programs alike."""

from pathlib import Path

import pytest

from pystack.apps.service import BUILT_IN, ServiceOptions, parse_serve, place_services
from pystack.apps.words import ServiceWords, check_use, read_request, read_words
from pystack.cli.words import SERVICES
from pystack.core.errors import ConfigError

NOTHING = ServiceOptions()


def test_the_command_knows_each_word_that_programs_do() -> None:
    assert set(SERVICES) == set(ServiceWords.__annotations__)


def test_names_of_files_are_relative_to_the_folder() -> None:
    options = read_words({"root": "site", "ca": "/etc/ca.pem"}, NOTHING, Path("/labs"))
    assert options.root == Path("/labs/site")
    assert options.tls.ca == Path("/etc/ca.pem")


def test_accounts_are_a_user_and_a_password() -> None:
    options = read_words({"accounts": ["anna:a:b", "ben:"]}, NOTHING)
    assert options.accounts == {"anna": "a:b", "ben": ""}


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ({"rooot": "x"}, "no word 'rooot'; did you mean 'root'"),
        ({"writable": "yes"}, "'writable' is true or false, not 'yes'"),
        ({"root": 3}, "'root' is the name of a file or directory, not 3"),
        ({"root": ""}, "'root' is the name of a file or directory, not ''"),
        ({"records": "www A 10.0.0.1"}, "'records' is a list of texts, not 'www"),
        ({"records": [""]}, "'records' is a text, not ''"),
        ({"accounts": ["anna"]}, "an account is USER:PASSWORD$"),
        ({"accounts": ["anna:a", "anna:b"]}, "two accounts of the user 'anna'"),
    ],
)
def test_a_word_that_says_nothing_possible_is_refused(
    words: dict[str, object], complaint: str
) -> None:
    with pytest.raises(ConfigError, match=complaint):
        read_words(words, NOTHING)


def test_a_table_asks_for_a_service_with_words() -> None:
    request = read_request({"name": "http", "port": 8080, "dotfiles": True}, NOTHING)
    assert (request.name, request.port, request.text) == ("http", 8080, "http:8080")
    assert request.options.dotfiles
    assert not NOTHING.dotfiles


@pytest.mark.parametrize(
    ("table", "complaint"),
    [
        ({"port": 80}, "a service needs its 'name', not None"),
        ({"name": "http", "port": "80"}, "'port' is a number, not '80'"),
        ({"name": "http", "port": True}, "'port' is a number, not True"),
        ({"name": "http", "port": 0}, "'0' is not a port"),
        ({"name": "echo", "root": "x"}, "'root' is for .*http.*, not for echo"),
        ({"name": "http", "records": ["x"]}, "'records' is for dns, not for http"),
    ],
)
def test_a_table_that_asks_for_nothing_possible_is_refused(
    table: dict[str, object], complaint: str
) -> None:
    with pytest.raises(ConfigError, match=complaint):
        read_request(table, NOTHING)


def test_a_word_that_nothing_served_takes_is_refused() -> None:
    check_use({"root": "x"}, ["echo", "http"], spelling)
    check_use({"root": "x"}, ["all"], spelling)
    check_use({"root": "x"}, ["a-plug-in"], spelling)
    with pytest.raises(ConfigError, match=r"--account is for ftp, which is not served: .* ftp$"):
        check_use({"accounts": ["a:b"]}, ["http"], spelling)
    with pytest.raises(ConfigError, match=r"--root is for .*, none of which is served: .* http$"):
        check_use({"root": "x"}, ["echo"], spelling)


def spelling(word: str) -> str:
    return SERVICES[word].spelling(word)


def test_an_application_is_served_by_its_own_option() -> None:
    with pytest.raises(ConfigError, match=r"^--asgi-tls is for asgi.*: add --asgi MODULE:APP$"):
        check_use({"app_tls": True}, ["http"], spelling)


def test_all_is_every_service_that_can_be_had_with_the_options(tmp_path: Path) -> None:
    names = [placement.service.name for placement in place_services(["all"])]
    assert sorted(names) == sorted(BUILT_IN.keys() - {"asgi", "ftp", "tftp"})
    with_root = place_services(["all"], ServiceOptions(root=tmp_path))
    assert {each.service.name for each in with_root} == BUILT_IN.keys() - {"asgi"}
    with pytest.raises(ConfigError, match="both claim TCP port 80"):
        place_services(["all", "http"])
    with pytest.raises(ConfigError, match="'all' takes none"):
        parse_serve("all:80")
