"""The commands that a story names are real: those whose tools are here run, in a namespace."""

import shlex
import shutil

import pytest
from netns import NetworkNamespace

from pystack.apps.explain.record import record
from pystack.observe.explain.knowledge import table
from pystack.observe.explain.telling import tell

pytestmark = pytest.mark.kernel

VALUES = {
    "client": "127.0.0.2",
    "server": "127.0.0.1",
    "client_port": "40000",
    "port": "80",
    "interface": "lo",
    "name": "localhost",
    "url_host": "127.0.0.1",
    "resolver": "127.0.0.1",
    "neighbor": "127.0.0.1",
    "kind": "A",
    "node": "server",
}
VALUES6 = dict.fromkeys(("client", "server", "resolver", "neighbor"), "::1") | {"url_host": "[::1]"}
# They only look, and end by themselves; the others wait, or talk to somebody.
ENDING = ("ip", "ss", "nstat", "sysctl", "tc", "getent")


def commands(values: dict[str, str]) -> list[str]:
    return sorted({each for known in table().values() for each, _ in known.commands_with(values)})


def test_every_command_is_filled_in() -> None:
    known = [command for each in table().values() for command, _ in each.commands]
    assert len(set(known)) == len(commands(VALUES))


@pytest.mark.parametrize("values", [VALUES, VALUES | VALUES6], ids=["4", "6"])
def test_those_that_look_and_end_do_so(netns: NetworkNamespace, values: dict[str, str]) -> None:
    run = 0
    for command in commands(values):
        words = shlex.split(command)
        if words[0] in ENDING and shutil.which(words[0]) is not None:
            if words[:4] == ["ip", "-6", "neigh", "show"] and ":" not in words[4]:
                continue  # of IPv6 alone
            netns.run(words)
            run += 1
    assert run > 10


@pytest.mark.parametrize("values", [VALUES, VALUES | VALUES6], ids=["4", "6"])
def test_filters_of_tcpdump_compile(netns: NetworkNamespace, values: dict[str, str]) -> None:
    if shutil.which("tcpdump") is None:
        pytest.skip("no tcpdump here")
    filters = [shlex.split(each) for each in commands(values) if each.startswith("tcpdump")]
    assert filters
    for words in filters:
        netns.run([words[0], "-d", *words[1:]])


def test_a_story_names_its_own_addresses_in_them() -> None:
    recording = record("http://server/")
    told = tell(recording.items, recording)
    found = {command for step in told.steps for command, _ in step.commands}
    assert "ip route get 198.51.100.10" in found
    assert "ss -tino dst 198.51.100.10" in found
    assert "ip neigh show 192.0.2.1" in found
    assert "dig @198.51.100.53 server A" in found
    assert "tcpdump -n -i eth0 host 198.51.100.10 and tcp port 80" in found
    assert not [command for command in found if "{" in command and "%{" not in command]
