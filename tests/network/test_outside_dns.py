"""Names by the gateway's address: messages go to whom the machine asks, and back as they are."""

import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

import pytest
import trio
from outside_rig import V4, V6, Place, free_port, open_place, udp_socket, until

from pystack.runtime.outside import names
from pystack.wire.dns_framing import frame

GATEWAY = {"IPv4": ("10.77.0.1", 53), "IPv6": ("fd77::1", 53)}
# Of any type: nobody looks into it
QUESTION = (
    bytes.fromhex("beef 0120 0001 0000 0000 0001") + b"\3www\7example\0\0\x41\0\1" + bytes(11)
)
REFUSED, SERVFAIL = 5, 2
Reply = Callable[[bytes], bytes | None]


def answer_to(question: bytes, rcode: int = 0, rest: bytes = b"records") -> bytes:
    """Return an answer."""
    flags = bytes((question[2] | 0x80, 0x80 | rcode))
    return question[:2] + flags + question[4:] + rest


class Resolver:
    """One whom the machine asks."""

    def __init__(self, reply: Reply, address: str = V4) -> None:
        self.asked: list[bytes] = []
        self.sock = udp_socket(address)
        self._reply = reply
        self.port: int = self.sock.getsockname()[1]
        self.text = f"[{address}]:{self.port}" if ":" in address else f"{address}:{self.port}"

    async def run(self) -> None:
        """Answer for ever."""
        with self.sock:
            while True:
                data, peer = await self.sock.recvfrom(65536)
                self.asked.append(data)
                reply = self._reply(data)
                if reply is not None:
                    await self.sock.sendto(reply, peer)


def run(test: Callable[[Place], Awaitable[None]], resolvers: Sequence[Resolver | str]) -> None:
    """Run a test with a gateway that asks these."""

    async def main() -> None:
        texts = [each if isinstance(each, str) else each.text for each in resolvers]
        async with open_place(resolvers=texts) as place:
            for each in resolvers:
                if not isinstance(each, str):
                    place.nursery.start_soon(each.run)
            await test(place)

    trio.run(main)


async def ask(place: Place, question: bytes = QUESTION, version: str = "IPv4") -> bytes:
    """Ask the gateway."""
    sock = await place.client.open_udp_socket(0)
    await sock.send_to(question, GATEWAY[version])
    answer, sender = await sock.receive_from()
    assert sender == GATEWAY[version]
    return answer


@pytest.mark.parametrize("version", GATEWAY)
@pytest.mark.parametrize("address", [V4, V6])
def test_question_and_answer_pass_to_the_byte(version: str, address: str) -> None:
    resolver = Resolver(lambda question: answer_to(question, rest=bytes(range(256)) * 15), address)

    async def test(place: Place) -> None:
        answer = await ask(place, version=version)
        assert answer == answer_to(QUESTION, rest=bytes(range(256)) * 15)
        assert resolver.asked == [QUESTION]
        assert len(place.outside.names) == 0
        assert place.count("udp_sessions") == 0

    run(test, [resolver])


def test_the_next_is_asked_when_one_is_silent_and_goes_first_from_then_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(names, "PATIENCE_S", 0.02)
    silent, good = Resolver(lambda _: None), Resolver(answer_to)

    async def test(place: Place) -> None:
        assert await ask(place) == answer_to(QUESTION)
        assert (len(silent.asked), len(good.asked)) == (1, 1)
        assert await ask(place) == answer_to(QUESTION)
        assert (len(silent.asked), len(good.asked)) == (1, 2)

    run(test, [silent, good])


def test_the_next_is_asked_at_once_when_nobody_is_at_the_port() -> None:
    good = Resolver(answer_to)

    async def test(place: Place) -> None:
        assert await ask(place) == answer_to(QUESTION)
        assert place.count("dns_refused") == 1

    run(test, [f"{V4}:{free_port(socket.SOCK_DGRAM)}", good])


@pytest.mark.parametrize("rcode", [SERVFAIL, 4, REFUSED])
def test_the_next_is_asked_at_once_when_one_has_failed(rcode: int) -> None:
    bad, good = Resolver(lambda question: answer_to(question, rcode)), Resolver(answer_to)

    async def test(place: Place) -> None:
        assert await ask(place) == answer_to(QUESTION)

    run(test, [bad, good])


def test_a_name_that_there_is_not_is_an_answer() -> None:
    knows, other = Resolver(lambda question: answer_to(question, 3)), Resolver(answer_to)

    async def test(place: Place) -> None:
        assert await ask(place) == answer_to(QUESTION, 3)
        assert other.asked == []

    run(test, [knows, other])


def test_what_the_last_says_holds_when_all_have_failed() -> None:
    def failing(rcode: int) -> Reply:
        return lambda question: answer_to(question, rcode)

    async def test(place: Place) -> None:
        assert await ask(place) == answer_to(QUESTION, REFUSED)

    run(test, [Resolver(failing(SERVFAIL)), Resolver(failing(REFUSED))])


def test_without_anybody_to_ask_it_is_a_failure_at_once() -> None:
    async def test(place: Place) -> None:
        answer = await ask(place)
        assert answer == QUESTION[:2] + b"\x81\x82" + QUESTION[4:]

    run(test, [f"{V4}:{free_port(socket.SOCK_DGRAM)}"])


def test_an_answer_to_another_question_is_none() -> None:
    async def test(place: Place) -> None:
        assert await ask(place) == answer_to(QUESTION)
        assert place.count("dns_stray") == 0

    replies = iter([b"x", b"\0\0" + answer_to(QUESTION)[2:], QUESTION])
    liar = Resolver(lambda question: next(replies, None))

    async def test_of_liar(place: Place) -> None:
        sock = await place.client.open_udp_socket(0)
        for count in range(1, 4):
            await sock.send_to(QUESTION, GATEWAY["IPv4"])
            await until(lambda wanted=count: place.count("dns_stray") == wanted)  # type: ignore[misc]
        assert place.count("dns_again") == 2
        assert place.count("dns_answers") == 0

    run(test, [Resolver(answer_to)])
    run(test_of_liar, [liar])


def test_a_question_that_is_repeated_goes_to_the_next_and_then_to_all_again() -> None:
    first, second = Resolver(lambda _: None), Resolver(lambda _: None)

    async def test(place: Place) -> None:
        sock = await place.client.open_udp_socket(0)
        for counts in ((1, 0), (1, 1), (2, 2), (3, 3)):
            await sock.send_to(QUESTION, GATEWAY["IPv4"])
            await until(
                lambda wanted=counts: (len(first.asked), len(second.asked)) == wanted  # type: ignore[misc]
            )
        assert place.count("dns_questions") == 1

    run(test, [first, second])


def test_many_questions_at_once_are_bounded_and_each_gets_its_own_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(names, "MAX_QUESTIONS", 50)
    held: list[bytes] = []
    slow = Resolver(lambda question: held.append(question))  # type: ignore[func-returns-value]

    async def test(place: Place) -> None:
        sock = await place.client.open_udp_socket(0)
        for number in range(80):
            await sock.send_to(number.to_bytes(2, "big") + QUESTION[2:], GATEWAY["IPv4"])
        await until(lambda: len(held) == 80)
        assert len(place.outside.names) == 50
        assert place.count("dns_forgotten") == 30

    run(test, [slow])


def test_without_descriptors_a_question_fails_and_the_oldest_make_room_for_new_ones() -> None:
    async def quiet(stream: trio.SocketStream) -> None:
        with suppress(trio.BrokenResourceError):
            await stream.receive_some()

    async def main() -> None:
        silent = Resolver(lambda _: None)
        async with open_place(resolvers=[silent.text], sockets=2) as place:
            place.nursery.start_soon(silent.run)
            where = await place.serve(quiet)
            sock = await place.client.open_udp_socket(0)
            for number in range(5):
                await sock.send_to(bytes((0, number)) + QUESTION[2:], GATEWAY["IPv4"])
            await until(lambda: len(silent.asked) == 5)
            assert (len(place.outside.names), place.outside.ground.left) == (2, 0)
            streams = [await place.client.open_tcp_stream(*where) for _ in range(2)]
            assert (len(place.outside.names), place.outside.ground.left) == (0, 0)
            assert await ask(place) == QUESTION[:2] + b"\x81\x82" + QUESTION[4:]
            assert place.outside.ground.left == 0
            for stream in streams:
                await stream.aclose()
            await until(lambda: place.outside.ground.left == 2)

    trio.run(main)


def test_what_is_no_question_goes_nowhere() -> None:
    resolver = Resolver(answer_to)

    async def test(place: Place) -> None:
        sock = await place.client.open_udp_socket(0)
        for junk in (b"", b"x" * 11, answer_to(QUESTION)):
            await sock.send_to(junk, GATEWAY["IPv4"])
        assert await ask(place) == answer_to(QUESTION)
        assert place.count("dns_no_question") == 3
        assert resolver.asked == [QUESTION]

    run(test, [resolver])


def test_by_tcp_the_stream_is_joined_with_one_to_the_first_that_can_be_reached() -> None:
    async def serve(stream: trio.SocketStream) -> None:
        async for data in stream:
            await stream.send_all(frame(answer_to(data[2:])))

    async def main() -> None:
        listeners = await trio.open_tcp_listeners(0, host=V4)
        good = f"{V4}:{listeners[0].socket.getsockname()[1]}"
        async with open_place(resolvers=[f"{V4}:{free_port()}", good]) as place:
            place.nursery.start_soon(trio.serve_listeners, serve, listeners)
            stream = await place.client.open_tcp_stream(*GATEWAY["IPv4"])
            for _ in range(2):  # RFC 7766: more than one question
                await stream.send_all(frame(QUESTION))
                assert await stream.receive_some() == frame(answer_to(QUESTION))
            assert place.count("dns_streams") == 1

    trio.run(main)


def test_by_tcp_nobody_there_is_a_reset() -> None:
    async def main() -> None:
        async with open_place(resolvers=[f"{V4}:{free_port()}"]) as place:
            stream = await place.client.open_tcp_stream(*GATEWAY["IPv4"])
            with pytest.raises(trio.BrokenResourceError):
                await stream.receive_some()
            assert place.count("dns_unanswered") == 1

    trio.run(main)


def test_whoever_wants_another_dns_server_there_says_so() -> None:
    async def main() -> None:
        async with open_place(dns=False) as place:
            sock = await place.gateway.open_udp_socket(53)
            assert sock is not None

    trio.run(main)
