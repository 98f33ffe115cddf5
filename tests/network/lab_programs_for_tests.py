"""Programs that the labs of the tests run."""

import trio

import pystack

said: list[str] = []


async def echo(
    host: pystack.Host,
    port: int,
    *,
    task_status: trio.TaskStatus[object] = trio.TASK_STATUS_IGNORED,
) -> None:
    async def answer(stream: trio.SocketStream) -> None:
        async for data in stream:
            await stream.send_all(data)

    await trio.serve_tcp(answer, port, task_status=task_status)


async def pings(host: pystack.Host, other: str, times: int) -> None:
    for _ in range(times):
        began = trio.current_time()
        try:
            await host.ping(other, timeout_s=0.4)
        except TimeoutError:
            print(f"{began:.3f} lost")
        else:
            print(f"{began:.3f} {(trio.current_time() - began) * 1000:.0f} ms")
        await trio.sleep_until(began + 1)


async def talk(host: pystack.Host, other: str, port: int, words: list[str]) -> None:
    async with await trio.open_tcp_stream(other, port) as stream:
        for word in words:
            await stream.send_all(word.encode())
            print(f"{host.name} heard {(await stream.receive_some()).decode()}")


async def fetch(host: pystack.Host, other: str) -> None:
    async with await trio.open_tcp_stream(other, 80) as stream:
        await stream.send_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        answer = b"".join([part async for part in stream])
        print(answer.split(b"\r\n")[0].decode())


async def fails(host: pystack.Host) -> None:
    await trio.sleep(1)
    raise KeyError("nothing there")


async def waits(host: pystack.Host) -> None:
    await trio.sleep_forever()


def not_async(host: pystack.Host) -> None:
    pass


async def says_hello(host: pystack.Host) -> None:
    print(f"{trio.current_time():.1f} {host.name} says hello")


async def counts(host: pystack.Host, times: int) -> None:
    for number in range(times):
        if number:
            await trio.sleep(1)
        print(f"{trio.current_time():.1f} {host.name} counts {number + 1}")


async def calls(host: pystack.Host, other: str, times: int) -> None:
    """Call two ports of another host each second, and tell how it answers."""
    for number in range(times):
        await trio.sleep_until(number)
        try:
            with trio.fail_after(0.5):
                for port in (7, 7000):
                    async with await trio.open_tcp_stream(other, port) as stream:
                        await stream.send_all(b"?")
                        assert await stream.receive_some() == b"?"
            told = "answers on 7, 7000"
        except trio.TooSlowError:
            told = "is silent"
        except OSError:
            told = "refuses"
        print(f"{trio.current_time():.1f} {host.name}: {other} {told}")


async def fetches(host: pystack.Host, other: str, port: int, path: str) -> None:
    async with await trio.open_tcp_stream(other, port) as stream:
        await stream.send_all(f"GET {path} HTTP/1.0\r\n\r\n".encode())
        whole = b"".join([data async for data in stream])
        print(whole.decode().partition("\r\n\r\n")[2])


async def sends_mail(host: pystack.Host, server: str, port: int, recipient: str) -> None:
    mail = f"MAIL FROM:<a@{host.name}>\r\nRCPT TO:<{recipient}>\r\nDATA\r\nhello\r\n.\r\n"
    async with await trio.open_tcp_stream(server, port) as stream:
        await stream.send_all(f"EHLO {host.name}\r\n{mail}".encode())
        received = b""
        while b"354" not in received or received.count(b"\n") < 12:
            received += await stream.receive_some()
        print(received.decode().splitlines()[-1])


async def addresses_after(host: pystack.Host, seconds: float) -> None:
    await trio.sleep(seconds)
    print(host.name, *host.addresses)
