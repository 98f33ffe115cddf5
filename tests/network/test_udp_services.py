"""Services on UDP whose clients go away: the next one is served, whatever ICMP says."""

import pytest
import trio

import pystack
from pystack.apps.serving import serve
from pystack.apps.simple import Echo

GONE = ["closed port", "silent neighbour", "own closed port"]


@pytest.mark.parametrize("how", GONE)
def test_echo_goes_on_serving(how: str) -> None:
    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            server, client = net.host("server"), net.host("client")
            link = net.link(server, client)

            async def service(*, task_status: trio.TaskStatus[None]) -> None:
                await serve(server, Echo(), tcp_port=None, udp_port=7, task_status=task_status)

            await server.start(service)
            host = server if how == "own closed port" else client
            for _ in range(3):
                gone = await host.open_udp_socket()
                await gone.send_to(b"echo me", ("server", 7))
                gone.close()
                if how == "silent neighbour":
                    link.down()
                await trio.sleep(10)
                link.up()
            async with await client.open_udp_socket() as alive:
                await alive.send_to(b"and me", ("server", 7))
                with trio.fail_after(5):
                    assert (await alive.receive_from())[0] == b"and me"

    pystack.run(main)
