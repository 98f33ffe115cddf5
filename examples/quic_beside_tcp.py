"""QUIC beside TCP over a line that loses packets: how long it takes until an answer is there.

TCP goes without TLS: so it has as many round trips to the first byte as QUIC, which has TLS in it.
`transfer` may be what an experiment runs: `run = "quic_beside_tcp.py:transfer"`, and with
`files = ["quic.py"]` the other half of it goes along.
"""

import quic
import trio

import pystack


async def download(client: pystack.Host, server: pystack.Host, answer: bytes) -> None:
    """Ask the server once by TCP, and return when its answer is there."""

    async def serve(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.send_all(answer)

    await server.start(trio.serve_tcp, serve, 80)
    async with await client.open_tcp_stream("server", 80) as stream:
        await stream.send_all(b"get")
        while await stream.receive_some():
            pass


async def transfer(protocol: str, loss: str, seed: int, size: int = 500_000) -> dict[str, float]:
    """Return the completion time, in seconds, of one answer by "quic" or "tcp"."""
    async with pystack.Network(seed=seed) as net:
        client, server = net.host("client"), net.host("server")
        net.link(client, server, delay="20ms", rate="10mbit", limit=60, loss=loss)
        await (quic.download if protocol == "quic" else download)(client, server, bytes(size))
        return {"completion_time": trio.current_time()}


if __name__ == "__main__":
    for loss in ("0%", "1%", "3%"):
        for name in ("quic", "tcp"):
            found = [pystack.run(transfer, name, loss, seed) for seed in (1, 2, 3)]
            print(f"{name:4} {loss}", *(f"{one['completion_time']:.3f} s" for one in found))
