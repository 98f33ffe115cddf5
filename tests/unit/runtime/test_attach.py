"""Real things in the lab, as far as it can be seen without any."""

import pytest
import trio

import pystack
from pystack.runtime.lab.namespaces import check_command


@pytest.mark.parametrize(
    ("add", "what"), [("tap", "a TAP device"), ("namespace", "a network namespace")]
)
def test_nothing_real_joins_a_network_in_virtual_time(add: str, what: str) -> None:
    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            with pytest.raises(pystack.ConfigError) as caught:
                getattr(net, add)("thing")
            assert str(caught.value) == (
                f"{what} lives in real time, and this network in virtual time: run the program "
                "with trio.run instead of pystack.run"
            )
            # Nor is half of it there: the name is free.
            net.host("thing")

    pystack.run(main)


@pytest.mark.parametrize("add", ["tap", "namespace"])
def test_it_is_a_node_with_a_name_a_link_and_an_address(add: str) -> None:
    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            node = getattr(net, add)("thing", address="10.0.0.77/24")
            with pytest.raises(pystack.ConfigError, match="there is a node 'thing' already"):
                net.host("thing")
            with pytest.raises(pystack.ConfigError, match="thing has no link yet"):
                node.address  # noqa: B018 - asking for it is what fails
            net.link(node, net.host("host", address="10.0.0.1/24"))
            assert (node.name, node.address) == ("thing", "10.0.0.77")
            assert net.topology.resolve("thing") == node.station.addresses[0][0]
            net.nursery.cancel_scope.cancel()  # before a TAP comes up by itself

    trio.run(main)


def test_a_command_is_a_list_of_words() -> None:
    assert check_command(["sh", "-c", "true"], None, "/")[0] == ["sh", "-c", "true"]
    for wrong in ("true", [], ()):
        with pytest.raises(pystack.ConfigError, match=r'a command is a list of words: \["curl"'):
            check_command(wrong, None, None)


def test_a_program_that_is_not_there_is_told_before_anything_is_started() -> None:
    with pytest.raises(FileNotFoundError, match="there is no program 'sh' "):
        check_command(["sh"], {"PATH": "/nowhere"}, None)
