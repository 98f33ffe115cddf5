"""Networks need dnspython only where names are looked up over the network, and say so there."""

import subprocess
import sys

PROGRAM = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name == "dns" or name.startswith("dns."):
            raise ModuleNotFoundError(name, name="dns")

sys.meta_path.insert(0, Missing())
import pystack

async def main():
    async with pystack.Network(seed=1) as net:
        client, server = net.host("client"), net.host("server")
        net.link(client, server, delay="1ms")
        print(round(await client.ping("server"), 3))
        for build in (
            lambda: net.host("a", dns="server"),
            lambda: setattr(client, "dns", ["server"]),
            lambda: net.dns("server"),
        ):
            try:
                build()
            except pystack.ConfigError as error:
                print(error)
        try:
            await client.dig("server", server="server")
        except pystack.ConfigError as error:
            print(error)
        print(*net.hosts, *net.topology.nodes, client.dns)

pystack.run(main)
"""


def test_without_dnspython_networks_run_and_resolvers_say_which_extra_brings_it() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=False
    )
    lines = done.stdout.splitlines()
    assert done.returncode == 0, done.stderr
    assert lines[0] == "0.004"  # the echo, and ARP before it
    assert len(lines) == 6
    for line in lines[1:5]:
        assert line.endswith("needs dns: pip install 'pystack-net[dns]'")
    assert lines[5] == "client server client server None"  # nothing was half built
