"""Files of proxies: what is wrong is told with its line, and what changes reaches what runs."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import pytest
import trio
from proxy_rig import Rig, ask, free_port, in_trio, proxied

from pystack.apps.proxy.errors import NoSuchProxyError
from pystack.apps.proxy.file import ProxyFile
from pystack.apps.proxy.model import LinkWords, ProxySpec
from pystack.apps.proxy.toxics.spec import ToxicSpec
from pystack.core.errors import ConfigError

FILE = """\
seed = 7

[proxies.web]
listen = "127.0.0.1:18080"
upstream = "[::1]:80"
delay = "50ms"
to_client = { rate = "1mbit" }

[proxies.dns]
upstream = "127.0.0.1:53"
protocol = "udp"
enabled = false
preset = "lte"

[[proxies.web.toxics]]
type = "latency"
stream = "upstream"
toxicity = 0.5
attributes = { latency = 1000 }
"""


LOSS = '[[proxies.p.toxics]]\nname = "{}"\ntype = "loss"\ntoxicity = 0.5\n'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "proxies.toml"


def test_a_file_says_what_the_python_does(path: Path) -> None:
    path.write_text(FILE)
    file = ProxyFile(path)
    assert file.seed == 7
    latency = {"latency": 1000, "jitter": 0}
    toxic = ToxicSpec("latency_upstream", "latency", "upstream", 0.5, latency)
    assert list(file.specs.values()) == [
        ProxySpec(
            name="web",
            listen="127.0.0.1:18080",
            upstream="[::1]:80",
            words=LinkWords(both={"delay": "50ms"}, downstream={"rate": "1mbit"}),
            toxics=(toxic,),
        ),
        ProxySpec(
            name="dns",
            upstream="127.0.0.1:53",
            protocol="udp",
            enabled=False,
            words=LinkWords(preset="lte"),
        ),
    ]


def test_a_port_alone_is_one_of_the_loopback(path: Path) -> None:
    path.write_text('[proxies.web]\nlisten = "18080"\nupstream = "80"\n')
    (spec,) = ProxyFile(path).specs.values()
    assert (spec.listen, spec.upstream) == ("127.0.0.1:18080", "127.0.0.1:80")


def test_the_file_that_the_docs_show_is_right(path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs/proxy.md").read_text()
    path.write_text(page.partition("```toml\n")[2].partition("```")[0])
    assert list(ProxyFile(path).specs) == ["redis", "dns"]


@pytest.mark.parametrize(
    ("right", "wrong", "sentence"),
    [
        ("seed = 7", "sed = 7", "1: there is no word 'sed'; did you mean 'seed'?"),
        ("delay", "dely", "6: there is no word 'dely' in proxies.web; did you mean 'delay'?"),
        ('"50ms"', '"50m"', "6: delay = '50m' is not possible: '50m' is not a time"),
        ('"1mbit"', '"1mbt"', "7: rate = '1mbt' is not possible: '1mbt' is not a rate"),
        ("upstream = ", "upstram = ", "5: there is no word 'upstram' in proxies.web; did you mean"),
        ('"[::1]:80"', '"http://[::1]:80/"', "5: 'http://[::1]:80/' is a URL: HOST:PORT is wanted"),
        ('"1mbit" }', '"1mbit", gap = 5 }', "3: gap counts the frames"),
        ('"[::1]:80"', '"::1:80"', "5: '::1:80': an address of IPv6 stands in brackets"),
        ('"[::1]:80"', '"[::1]"', "5: '[::1]' has no port"),
        ('"[::1]:80"', '":80"', "5: ':80': an upstream has a host and a port"),
        ("18080", "99999", "4: '127.0.0.1:99999': '99999' is not a port"),
        ('upstream = "[::1]:80"\n', "", "3: web needs an upstream"),
        ('"udp"', '"upd"', "11: a proxy is of tcp or udp, not 'upd'; did you mean 'udp'?"),
        ('"lte"', '"lt"', "13: there is no preset 'lt'; did you mean 'lte'?"),
        ("enabled = false", "enabled = 0", "12: proxies.dns.enabled must be true or false"),
        ('"latency"', '"latncy"', "16: there is no toxic 'latncy'; did you mean 'latency'?"),
        ("toxicity = 0.5", "toxicity = 2", "15: toxicity is 2: it must be 0 to 1"),
        ("toxicity = 0.5", "toxicity = true", "18: toxicity is a number from 0 to 1, not true"),
        ("latency = 1000", "latency = 'x'", "15: latency: attribute latency is 'x'"),
        ('stream = "upstream"', 'stream = "up"', "15: stream was invalid"),
        ('stream = "upstream"', "stream = 5", "17: proxies.web.toxics #1.stream must be a text"),
        ('stream = "upstream"', "name = []", "17: proxies.web.toxics #1.name must be a text"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(
    path: Path, right: str, wrong: str, sentence: str
) -> None:
    assert right in FILE
    path.write_text(FILE.replace(right, wrong, 1))
    with pytest.raises(ConfigError) as raised:
        ProxyFile(path)
    assert str(raised.value).startswith(f"{path}:{sentence}")


@pytest.mark.parametrize("deep", ["a = " + "[" * 10_000, "a = " + "{a=" * 10_000])
def test_what_is_nested_too_deeply_is_told(path: Path, deep: str) -> None:
    path.write_text(deep)
    with pytest.raises(ConfigError, match="this is nested too deeply"):
        ProxyFile(path)


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    pipe = tmp_path / "proxies.toml"
    os.mkfifo(pipe)
    with pytest.raises(ConfigError, match="it is no file, and might never end"):
        ProxyFile(pipe)
    with pytest.raises(ConfigError, match="Is a directory"):
        ProxyFile(tmp_path)


@pytest.mark.parametrize(
    ("words", "toxics", "sentence"),
    [
        (
            "trace = [1, 2]",
            '[[proxies.p.toxics]]\ntype = "rate"\nattributes = { rate = 1 }',
            "trace",
        ),
        ("", "".join(LOSS.format(number) for number in range(7)), "more than 6 toxics"),
    ],
)
def test_toxics_that_the_link_can_not_have_are_told_before_anything_changes(
    path: Path, words: str, toxics: str, sentence: str
) -> None:
    path.write_text(f'[proxies.p]\nupstream = "127.0.0.1:80"\n{words}\n{toxics}\n')
    with pytest.raises(ConfigError) as raised:
        ProxyFile(path)
    assert str(raised.value).startswith(f"{path}:1: ")
    assert sentence in str(raised.value)


def test_two_toxics_of_one_name_are_refused(path: Path) -> None:
    path.write_text(f"{FILE}\n{FILE[FILE.index('[[') :]}")
    with pytest.raises(ConfigError, match="there are two toxics 'latency_upstream'"):
        ProxyFile(path)


@pytest.mark.parametrize("text", ["", "seed = 1", "[proxies]"])
def test_a_file_without_proxies_is_refused(path: Path, text: str) -> None:
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"a \[proxies.NAME\] is missing"):
        ProxyFile(path)


def test_a_file_of_toxiproxy_is_read(tmp_path: Path) -> None:
    path = tmp_path / "toxiproxy.json"
    path.write_text('[{"name": "a", "listen": "[::]:1", "upstream": "a.test:2", "enabled": false}]')
    spec = ProxySpec(name="a", listen="[::]:1", upstream="a.test:2", enabled=False)
    assert ProxyFile(path).specs == {"a": spec}
    path.write_text('[{"name": "a", "upstream": "a.test:2", "toxics": [{"type": "loss"}]}]')
    assert ProxyFile(path).specs["a"].toxics == (ToxicSpec("", "loss"),)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[", ": expecting value: line 1, column 2"),
        pytest.param("[" * 100_000, ": it is nested too deeply", id="deep"),
        ("{}", ": the file is an array, not an object"),
        ("[1]", ": proxy 1: it is an object, not a number"),
        ('[{"name": "a"}]', ": proxy 1: missing required field: upstream"),
        ('[{"name": 1}]', ": proxy 1: name is a string, not a number"),
        ('[{"name": "a", "upstream": "b:1", "toxics": [{}]}]', ": proxy 1: invalid toxic type"),
        ('[{"name": "a", "upstream": "b:1", "link": {"dely": 1}}]', ": proxy 1: link: there is no"),
        ('[{"name": "a", "upstream": "b"}]', ": proxy 1: 'b' has no port"),
    ],
)
def test_what_is_wrong_with_one_of_toxiproxy_is_told(
    tmp_path: Path, text: str, sentence: str
) -> None:
    path = tmp_path / "toxiproxy.json"
    path.write_text(text)
    with pytest.raises(ConfigError) as raised:
        ProxyFile(path)
    assert str(raised.value).startswith(f"{path}{sentence}")


async def begin(rig: Rig, path: Path, text: str) -> ProxyFile:
    await trio.Path(path).write_text(text)
    file = ProxyFile(path)
    await file.apply(rig.proxies, first=True)
    return file


async def again(rig: Rig, file: ProxyFile, text: str) -> list[str]:
    await trio.Path(file.path).write_text(text)
    file.read()
    return await file.apply(rig.proxies)


def test_a_change_of_the_link_alone_keeps_the_connections(path: Path) -> None:
    async def main() -> None:
        async with proxied() as rig:
            text = f'[proxies.p]\nupstream = "{rig.upstream}"\ndelay = "1ms"\n'
            file = await begin(rig, path, text)
            proxy = rig.proxies.find("p")
            client = await rig.dial(proxy)
            await ask(client)
            toxics = '[[proxies.p.toxics]]\ntype = "delay"\nattributes = { delay = 3 }\n'
            assert await again(rig, file, text.replace("1ms", "2ms") + toxics) == []
            assert rig.proxies.network.links[0].said == (
                "p-client > p-upstream: delay 2ms; p-upstream > p-client: delay 5ms"
            )
            assert await ask(client) == b"hello"
            assert await again(rig, file, text.replace("[proxies.p]", "[proxies.q]")) == []
            assert [each.name for each in rig.proxies] == ["q"]
            assert await client.receive_some() == b""

    in_trio(main)


def test_words_and_toxics_that_change_together_need_not_go_with_those_before(path: Path) -> None:
    async def main() -> None:
        async with proxied() as rig:
            text = f'[proxies.p]\nupstream = "{rig.upstream}"\n'
            rate = '[[proxies.p.toxics]]\ntype = "rate"\nattributes = { rate = "1mbit" }\n'
            file = await begin(rig, path, text + rate)
            client = await rig.dial(rig.proxies.find("p"))
            await ask(client)
            assert await again(rig, file, f"{text}trace = [1, 2]\n") == []
            assert rig.proxies.find("p").toxics == []
            assert await again(rig, file, text + rate) == []
            assert await ask(client) == b"hello"

    in_trio(main)


def test_a_proxy_that_the_file_says_nothing_new_of_is_left_alone(path: Path) -> None:
    async def main() -> None:
        async with proxied() as rig:
            text = f'[proxies.p]\nupstream = "{rig.upstream}"\n'
            file = await begin(rig, path, text)
            await rig.proxies.add_toxic("p", ToxicSpec("", "latency"))  # by the API, say
            more = f'[proxies.q]\nupstream = "{rig.upstream}"\n'
            assert await again(rig, file, text + more) == []
            assert len(rig.proxies.find("p").toxics) == 1
            assert len(rig.proxies) == 2

    in_trio(main)


def test_what_the_machine_refuses_is_told_and_is_tried_again(path: Path) -> None:
    async def main() -> None:
        async with proxied() as rig:
            text = f'[proxies.p]\nupstream = "{rig.upstream}"\n'
            file = await begin(rig, path, text)
            listen = f'[proxies.q]\nupstream = "{rig.upstream}"\nlisten = "{rig.upstream}"\n'
            (trouble,) = await again(rig, file, text + listen)
            assert trouble == f"q: listen tcp {rig.upstream}: bind: address already in use"
            assert [each.name for each in rig.proxies] == ["p"]
            assert await again(rig, file, text + listen) == [trouble]
            listening = rig.proxies.find("p").listen
            taken = text + f'listen = "{rig.upstream}"\n'
            (trouble,) = await again(rig, file, taken)
            assert trouble.startswith("p: listen tcp")
            assert rig.proxies.find("p").listen == listening
            assert await ask(await rig.dial(rig.proxies.find("p"))) == b"hello"
            with pytest.raises(ConfigError):
                await again(rig, file, "[")
            assert [each.name for each in rig.proxies] == ["p"]

    in_trio(main)


def test_proxies_may_swap_their_ports(path: Path) -> None:
    async def main() -> None:
        async with proxied() as rig:
            text = "".join(
                f'[proxies.{name}]\nupstream = "{rig.upstream}"\nlisten = "127.0.0.1:{port}"\n'
                for name, port in (("p", free_port()), ("q", free_port()))
            )
            file = await begin(rig, path, text)
            first, second = (proxy.listen for proxy in rig.proxies)
            swapped = text.replace(first, "?").replace(second, first).replace("?", second)
            assert await again(rig, file, swapped) == []
            assert [proxy.listen for proxy in rig.proxies] == [second, first]

    in_trio(main)


def test_a_proxy_that_others_delete_meanwhile_is_made_again_or_gone(path: Path) -> None:
    async def main() -> None:
        async with proxied() as rig:
            text = "".join(
                f'[proxies.{name}]\nupstream = "{rig.upstream}"\n' for name in ("p", "q", "r")
            )
            file = await begin(rig, path, text)
            await trio.Path(path).write_text(text.replace("p]", "s]").replace("q]", "t]"))
            file.read()

            async def delete(name: str) -> None:
                with suppress(NoSuchProxyError):
                    await rig.proxies.delete(name)

            async with trio.open_nursery() as nursery:
                nursery.start_soon(file.apply, rig.proxies)
                for name in ("p", "q"):
                    nursery.start_soon(delete, name)
            assert {proxy.name for proxy in rig.proxies} == {"r", "s", "t"}
            await rig.proxies.delete("r")
            changed = text.replace("[proxies.r]", "[proxies.r]\ndelay = 1")
            assert await again(rig, file, changed) == []
            assert {proxy.name for proxy in rig.proxies} == {"p", "q", "r"}

    in_trio(main)
