"""A traceroute over four routers, and what it shows when the way breaks.

Run it with `python examples/traceroute.py`. Each request may go one hop further than the last one;
the router where it can go no further drops it and says so (ICMP time exceeded): its address is the
next line. Then the third link is cut: behind the second router there is silence.
"""

from itertools import pairwise

import pystack


async def show(client: pystack.Host) -> None:
    """Print the way to the server."""
    for hop in await client.traceroute("server", max_hops=6):
        if hop.address is None or hop.rtt_s is None:
            print(f"{hop.ttl:2}  *")
        else:
            print(f"{hop.ttl:2}  {hop.address:14} {hop.rtt_s * 1000:6.1f} ms")


async def main() -> None:
    """Build a row of routers; trace; cut; trace again."""
    async with pystack.Network(seed=1) as net:
        client, server = net.host("client"), net.host("server")
        row = [client, *(net.router(f"r{number}") for number in (1, 2, 3, 4)), server]
        delays = ("2ms", "5ms", "20ms", "5ms", "1ms")
        links = [
            net.link(a, b, delay=delay) for (a, b), delay in zip(pairwise(row), delays, strict=True)
        ]
        await client.ping("server")  # so that everybody has found the neighbours' addresses
        await show(client)
        print("The link between r2 and r3 is cut:")
        links[2].down()
        await show(client)


if __name__ == "__main__":
    pystack.run(main)
