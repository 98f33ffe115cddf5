"""Where the time of a request goes: the name, TCP, TLS, the first byte and the rest, by line.

    scripts/python examples/where_time_goes.py

The same page of 200 kB by HTTPS from four lines, whose names are looked up over them as well. Each
column is an instant from the start of the request, as `curl -w` has them; here they are exact.
"""

import pystack
from pystack.apps.clients.desk import Nowhere
from pystack.apps.clients.getting import Getter
from pystack.apps.clients.job import GetOptions

LINES = ("dc", "dsl", "lte", "satellite-geo")
STEPS = ("namelookup", "connect", "appconnect", "starttransfer")


async def get(host: pystack.Host) -> None:
    getter = Getter(host, GetOptions(insecure=True))
    for turn in ("first", "again"):  # by the same connection
        done = await getter.get("https://server/bytes/200000", Nowhere())
        shown = [*(done.times_s[step] for step in STEPS), done.total_s]
        columns = "".join(f"{1000 * seconds:10.1f}" for seconds in shown)
        print(f"{host.name:<14}{turn:<6}{columns}")
    await getter.aclose()


async def main() -> None:
    async with pystack.Network(seed=1) as net:
        router, server = net.router("router"), net.host("server")
        net.link(router, server, delay="5ms")
        hosts = [net.host(line, dns="server") for line in LINES]
        for host in hosts:
            net.link(host, router, preset=host.name)
        await pystack.serve(server, "https", "dns")
        print(f"{'in ms':<20}{'name':>10}{'TCP':>10}{'TLS':>10}{'first':>10}{'total':>10}")
        for host in hosts:
            await host.run(get, host)


if __name__ == "__main__":
    pystack.run(main)
