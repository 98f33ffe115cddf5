"""Proxies are made, changed, disabled and replaced, and where they listen; on the loopback."""

from __future__ import annotations

import socket
from dataclasses import replace

import pytest
import trio
from loopback import has_ip6
from proxy_rig import ask, echo, ended_by, in_trio, proxied, until

from pystack.apps.proxy.api import metrics
from pystack.apps.proxy.errors import (
    BadRequestError,
    CannotListenError,
    MissingFieldError,
    NoSuchProxyError,
    ProxyExistsError,
)
from pystack.apps.proxy.model import LinkWords, ProxySpec
from pystack.apps.proxy.toxics.spec import ToxicSpec


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
@pytest.mark.parametrize(
    ("listen", "host", "others"),
    [
        ("", "127.0.0.1", ["127.0.0.1"]),
        ("localhost:0", "127.0.0.1", ["127.0.0.1"]),
        ("[::1]:0", "[::1]", ["::1"]),
        (":0", "[::]", ["127.0.0.1", "::1"]),
    ],
)
def test_where_it_listens_is_shown_and_is_there(
    protocol: str, listen: str, host: str, others: list[str]
) -> None:
    if "::1" in others and not has_ip6():
        pytest.skip("this machine has no IPv6")

    async def main() -> None:
        async with proxied() as rig:
            proxy = await rig.proxy(listen=listen, protocol=protocol)
            shown, _, port = proxy.listen.rpartition(":")
            assert shown == host
            for address in others:
                if protocol == "tcp":
                    client = await trio.open_tcp_stream(address, int(port))
                    assert await ask(client) == b"hello"
                    await client.aclose()
                else:
                    family = socket.AF_INET6 if ":" in address else socket.AF_INET
                    with socket.socket(family, socket.SOCK_DGRAM) as sock:
                        sock.sendto(b"hello", (address, int(port)))
            await until(lambda: rig.proxies.find("p").counts.connections == len(others))

    in_trio(main)


def test_an_upstream_may_be_of_ipv6() -> None:
    if not has_ip6():
        pytest.skip("this machine has no IPv6")

    async def main() -> None:
        async with proxied() as rig, trio.open_nursery() as nursery:
            listeners = await trio.open_tcp_listeners(0, host="::1")
            nursery.start_soon(trio.serve_listeners, echo, listeners)
            port = listeners[0].socket.getsockname()[1]
            proxy = await rig.proxy(upstream=f"[::1]:{port}")
            assert await ask(await rig.dial(proxy)) == b"hello"
            nursery.cancel_scope.cancel()

    in_trio(main)


def test_a_proxy_that_is_disabled_refuses_and_is_back_at_its_port() -> None:
    async def main() -> None:
        async with proxied() as rig:
            proxy = await rig.proxy()
            client = await rig.dial(proxy)
            await ask(client)
            listen = proxy.listen
            await rig.proxies.update("p", enabled=False)
            assert await ended_by(client) == b""
            with pytest.raises(OSError, match="all attempts to connect"):
                await rig.dial(proxy)
            await rig.proxies.update("p", enabled=True)
            assert proxy.listen == listen
            assert await ask(await rig.dial(proxy)) == b"hello"

    in_trio(main)


def test_another_upstream_ends_the_connections_and_the_same_one_does_not() -> None:
    async def main() -> None:
        async with proxied() as rig, proxied() as other:
            proxy = await rig.proxy()
            client = await rig.dial(proxy)
            await rig.proxies.update("p", upstream=rig.upstream, listen=proxy.listen)
            assert await ask(client) == b"hello"
            await rig.proxies.update("p", upstream=other.upstream)
            assert await ended_by(client) == b""
            assert await ask(await rig.dial(proxy)) == b"hello"

    in_trio(main)


def test_what_the_machine_refuses_changes_nothing() -> None:
    async def main() -> None:
        async with proxied() as rig:
            proxy = await rig.proxy()
            with pytest.raises(CannotListenError, match="bind: address already in use") as raised:
                await rig.proxy("q", listen=proxy.listen)
            assert raised.value.status == 500
            assert [each.name for each in rig.proxies] == ["p"]
            listen = proxy.listen
            with pytest.raises(CannotListenError):
                await rig.proxies.update("p", listen=rig.upstream)
            assert (proxy.listen, proxy.enabled) == (listen, True)
            assert await ask(await rig.dial(proxy)) == b"hello"

    in_trio(main)


def test_wrong_requests_are_refused_by_name() -> None:
    async def main() -> None:
        async with proxied() as rig:
            await rig.proxy()
            with pytest.raises(ProxyExistsError, match="proxy already exists"):
                await rig.proxy()
            with pytest.raises(MissingFieldError, match="missing required field: name"):
                await rig.proxy("")
            with pytest.raises(MissingFieldError, match="missing required field: upstream"):
                await rig.proxy("q", upstream="")
            with pytest.raises(NoSuchProxyError, match="proxy not found"):
                await rig.proxies.update("q", enabled=False)
            with pytest.raises(BadRequestError, match="does not know the word 'dely'"):
                await rig.proxy("q", words=LinkWords(both={"dely": "1ms"}))
            assert len(rig.proxies) == 1

    in_trio(main)


def test_populate_leaves_those_alone_that_are_there_and_replaces_others() -> None:
    async def main() -> None:
        async with proxied() as rig:
            proxy = await rig.proxy()
            await rig.proxies.add_toxic("p", ToxicSpec("", "latency"))
            client = await rig.dial(proxy)
            port = proxy.listen.rsplit(":", 1)[1]
            same = ProxySpec(name="p", upstream=rig.upstream, listen=f"localhost:{port}")
            q = ProxySpec(name="q", upstream=rig.upstream)
            assert [each.name for each in await rig.proxies.populate([same, q])] == ["p", "q"]
            assert [toxic.name for toxic in proxy.toxics] == ["latency_downstream"]
            assert await ask(client) == b"hello"
            other = ProxySpec(name="p", upstream="127.0.0.1:1", listen=proxy.listen)
            (replaced,) = await rig.proxies.populate([other])
            assert await ended_by(client) == b""
            assert (replaced.listen, replaced.toxics) == (proxy.listen, [])

    in_trio(main)


def test_populate_makes_nothing_where_one_is_wrong_and_tells_what_it_made_otherwise() -> None:
    async def main() -> None:
        async with proxied() as rig:
            p = ProxySpec(name="p", upstream=rig.upstream)
            with pytest.raises(MissingFieldError, match="upstream at proxy 2"):
                await rig.proxies.populate([p, ProxySpec(name="q", upstream="")])
            assert len(rig.proxies) == 0
            r = ProxySpec(name="r", upstream=rig.upstream)
            for listen in (rig.upstream, "no port", "127.0.0.1:99999"):
                q = ProxySpec(name="q", upstream=rig.upstream, listen=listen)
                with pytest.raises(CannotListenError) as raised:
                    await rig.proxies.populate([p, q, r])
                assert [each.name for each in raised.value.made] == ["p"]
                assert [each.name for each in rig.proxies] == ["p"]
                await rig.proxies.delete("p")

    in_trio(main)


def test_an_update_that_is_refused_changes_nothing_of_the_proxy() -> None:
    async def main() -> None:
        async with proxied() as rig:
            proxy = await rig.proxy(words=LinkWords(both={"delay": "1ms"}))
            before = replace(proxy)
            words = LinkWords(both={"delay": "2ms"})
            with pytest.raises(CannotListenError):
                await rig.proxies.update("p", listen=rig.upstream, words=words)
            assert proxy == before
            with pytest.raises(BadRequestError):
                await rig.proxies.update("p", enabled=False, words=LinkWords(both={"dely": 1}))
            assert proxy == before
            client = await rig.dial(proxy)
            await ask(client)
            await rig.proxies.update("p", words=words)
            assert rig.proxies.network.links[0].said == "delay 2ms"
            assert await ask(client) == b"hello"

    in_trio(main)


def test_metrics_have_what_listening_sockets_have_counted() -> None:
    async def main() -> None:
        async with proxied() as rig:
            await ask(await rig.dial(await rig.proxy()))
            lines = metrics.text_of(rig.proxies).splitlines()
            assert 'pystack_counted_total{counter="splice_accepted"} 1' in lines

    in_trio(main)


def test_reset_enables_all_and_removes_toxics() -> None:
    async def main() -> None:
        async with proxied() as rig:
            proxy = await rig.proxy()
            await rig.proxies.add_toxic("p", ToxicSpec("", "loss", attributes={"probability": 1}))
            await rig.proxies.update("p", enabled=False)
            await rig.proxies.reset()
            assert (proxy.enabled, proxy.toxics) == (True, [])
            assert await ask(await rig.dial(proxy)) == b"hello"

    in_trio(main)


def test_reset_does_what_it_can_and_says_what_it_could_not() -> None:
    async def main() -> None:
        async with proxied() as rig:
            for name in ("p", "q"):
                await rig.proxy(name)
                await rig.proxies.add_toxic(name, ToxicSpec("", "latency"))
                await rig.proxies.update(name, enabled=False)
            first, second = rig.proxies
            with socket.create_server(("127.0.0.1", int(first.listen.rpartition(":")[2]))):
                with pytest.raises(CannotListenError):
                    await rig.proxies.reset()
                assert (first.enabled, second.enabled) == (False, True)
                assert not (*first.toxics, *second.toxics)

    in_trio(main)
