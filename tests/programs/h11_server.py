"""A small HTTP server on h11, as a program that has never heard of pystack."""

import h11
import trio

MAX_BYTES = 65536


class Counts:
    """What the server has seen."""

    def __init__(self) -> None:
        self.connections = 0
        self.requests = 0


async def serve(
    port: int,
    counts: Counts,
    *,
    idle_s: float = 60.0,
    task_status: trio.TaskStatus[list[trio.SocketListener]] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until cancelled; a connection that is idle for `idle_s` seconds is closed."""

    async def handle(stream: trio.SocketStream) -> None:
        await converse(stream, counts, idle_s)

    await trio.serve_tcp(handle, port, task_status=task_status)


async def converse(stream: trio.abc.Stream, counts: Counts, idle_s: float = 60.0) -> None:
    """Answer the requests of one connection with their own path and body."""
    counts.connections += 1
    connection = h11.Connection(h11.SERVER)
    async with stream:
        with trio.move_on_after(idle_s) as idle:
            while await answer(stream, connection):
                counts.requests += 1
                idle.deadline = trio.current_time() + idle_s
                connection.start_next_cycle()


async def answer(stream: trio.abc.Stream, connection: h11.Connection) -> bool:
    """Read one request and answer it; False when there is none, or no further one may follow."""
    request, body = None, bytearray()
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await stream.receive_some(MAX_BYTES))
        elif isinstance(event, h11.Request):
            request = event
        elif isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, h11.EndOfMessage):
            break
        else:
            return False
    assert request is not None
    reply = b"%s %s %d\n" % (request.method, request.target, len(body)) + body
    headers = [("Content-Length", str(len(reply)))]
    await stream.send_all(
        (connection.send(h11.Response(status_code=200, headers=headers)) or b"")
        + (connection.send(h11.Data(data=reply)) or b"")
        + (connection.send(h11.EndOfMessage()) or b"")
    )
    return connection.our_state is h11.DONE
