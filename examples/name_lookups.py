"""What a name costs before the first byte, when it is looked up, and when that goes wrong.

A client, its name server and a web server, 10 ms from each other. Run it with
`scripts/pystack run examples/name_lookups.py`, or `python examples/name_lookups.py` where pystack
is installed.
"""

import trio

import pystack

NAME = "www.example.test"


async def hang_up(stream: trio.SocketStream) -> None:
    """Serve nothing: here it is about getting there."""


async def connect(what: str, client: pystack.Host) -> None:
    """Connect to the web server by its name; say how long that took, or why it failed."""
    before, began_at = client.counters["dns_queries"], trio.current_time()
    try:
        stream = await client.run(trio.open_tcp_stream, NAME, 80)
        await stream.aclose()
        end = "connected"
    except OSError as error:
        end = str(error)
    ms = round((trio.current_time() - began_at) * 1000)
    print(f"{what:10}{ms:7} ms {client.counters['dns_queries'] - before:2} queries  {end}")


async def main() -> None:
    """Build the network, and let one thing after the other go wrong."""
    async with pystack.Network(seed=1) as net:
        switch = net.switch("switch")
        for name in ("client", "web", "ns1"):
            net.link(net.host(name), switch, delay="5ms")
        client, web = net.hosts["client"], net.hosts["web"]
        kind = "AAAA" if ":" in web.address else "A"
        names = await net.dns("ns1", records=[f"{NAME} 60 {kind} {web.address}"])
        await web.start(trio.serve_tcp, hang_up, 80)
        for name in ("ns1", "web"):  # so that all have found each other
            await client.ping(net.hosts[name].address)
        await connect("new", client)
        await connect("known", client)
        await trio.sleep(60)  # as long as the name may be kept
        net.link_between("client", switch).down()
        net.at(net.now() + 1, net.link_between("client", switch).up)
        await connect("lost once", client)
        faults = {"late": "2s", "dead": f"{web.address[:-1]}99", "nxdomain": True, "lost": True}
        for word, value in faults.items():
            await trio.sleep(60)
            names.fault(NAME, **{word: value})
            await connect(word, client)


pystack.run(main)
