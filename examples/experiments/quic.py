"""QUIC inside the network: aioquic, over UDP sockets of hosts, in virtual time.

aioquic is sans-IO: it is given datagrams, and instants of the emulated network. Its certificates
are trustme's. `quic_beside_tcp.toml` measures with what is here.
"""

import math

import trio
import trustme
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic.events import HandshakeCompleted, StreamDataReceived

import pystack

CA = trustme.CA(key_type=trustme.KeyType.RSA)  # whose signatures all have one length
CERT = CA.issue_cert("server", key_type=trustme.KeyType.RSA)


async def carry(quic: QuicConnection, udp: pystack.UdpSocket, answer: bytes = b"") -> None:
    """Carry its datagrams: a server's for ever, a client's until the answer is there."""
    if answer:
        quic.receive_datagram(*await udp.receive_from(), trio.current_time())
    while True:
        while (event := quic.next_event()) is not None:
            if isinstance(event, HandshakeCompleted) and not answer:
                quic.send_stream_data(quic.get_next_available_stream_id(), b"get", True)
            elif isinstance(event, StreamDataReceived) and event.end_stream:
                if not answer:
                    return
                quic.send_stream_data(event.stream_id, answer, True)
        for data, address in quic.datagrams_to_send(trio.current_time()):
            await udp.send_to(data, address)
        # A microsecond late: where it adds floats up in two ways, time would not get past them.
        with trio.move_on_at((quic.get_timer() or math.inf) + 1e-6) as waiting:
            quic.receive_datagram(*await udp.receive_from(), trio.current_time())
        if waiting.cancelled_caught:
            quic.handle_timer(trio.current_time())


async def download(client: pystack.Host, server: pystack.Host, answer: bytes, control: str) -> None:
    """Ask the server once, and return when its answer is there; `control`: of the server."""
    here = QuicConfiguration(server_name="server", cadata=CA.cert_pem.bytes())
    there = QuicConfiguration(is_client=False)
    there.congestion_control_algorithm = {"newreno": "reno"}.get(control, control)
    with CERT.cert_chain_pems[0].tempfile() as chain, CERT.private_key_pem.tempfile() as key:
        there.load_cert_chain(chain, key)
    asking = QuicConnection(configuration=here)
    first_id = asking.original_destination_connection_id
    asked = QuicConnection(configuration=there, original_destination_connection_id=first_id)
    server.start_soon(carry, asked, await server.open_udp_socket(443), answer)
    asking.connect((server.address, 443), trio.current_time())
    await client.run(carry, asking, await client.open_udp_socket())
