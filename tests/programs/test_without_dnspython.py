"""Networks need dnspython only where names are looked up over the network, and say so there."""

import subprocess
import sys
from pathlib import Path

from pystack.core.extras import how_to_get

MISSING = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name == "dns" or name.startswith("dns."):
            raise ModuleNotFoundError(name, name="dns")

sys.meta_path.insert(0, Missing())
import pystack
"""

PROGRAM = """
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


LABS = """
from pathlib import Path
from pystack.topology.file import load

for text in (
    '[hosts.a]\\n[hosts.b]\\ndns = "a"',
    '[hosts.a]\\n[namespaces.b]',
    '[hosts.a]\\n[namespaces.b]\\ndns = "a"',
):
    Path("lab.toml").write_text(text + '\\n[[links]]\\nbetween = ["a", "b"]\\n')
    try:
        print(load(Path("lab.toml")).path)
    except pystack.ConfigError as error:
        print(error)
"""


def run(program: str, folder: Path) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", MISSING + program],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_without_dnspython_networks_run_and_resolvers_say_which_extra_brings_it(
    tmp_path: Path,
) -> None:
    lines = run(PROGRAM, tmp_path)
    assert lines[0] == "0.004"  # the echo, and ARP before it
    assert len(lines) == 6
    for line in lines[1:5]:
        assert line.endswith(f"needs dnspython: {how_to_get('dns')}")
    assert lines[5] == "client server client server None"  # nothing was half built


def test_without_dnspython_a_lab_is_refused_where_it_would_not_run(tmp_path: Path) -> None:
    get_it = f"needs dnspython: {how_to_get('dns')}"
    assert run(LABS, tmp_path) == [
        f"lab.toml:3: a host that asks name servers {get_it}",
        f"lab.toml:2: a namespace whose programs know the lab's names {get_it}",
        "lab.toml",
    ]
