"""The chance of programs on hosts in virtual time: made of the world's seed, for all who draw."""

import os
import random
import secrets
import ssl
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable
from os import urandom as held_urandom
from random import choice as held_choice
from random import gauss as held_gauss
from random import getstate as held_getstate
from random import random as held_random
from random import seed as held_seed
from random import setstate as held_setstate
from random import shuffle as held_shuffle

import pytest
import trio

import pystack

WAYS: dict[str, Callable[[], object]] = {
    "random": random.random,
    "held_random": held_random,
    "getrandbits": lambda: random.getrandbits(64),
    "randbytes": lambda: random.randbytes(8),
    "randrange": lambda: random.randrange(2**40),
    "held_choice": lambda: held_choice(range(2**40)),
    "held_shuffle": lambda: [held_shuffle(list_) or list_ for list_ in [list(range(50))]],
    "held_gauss": lambda: (held_gauss(0, 1), held_gauss(0, 1)),
    "sample": lambda: random.sample(range(2**30), 5),
    "unseeded Random": lambda: random.Random().random(),
    "reseeded": lambda: (held_seed(), random.random()),
    "SystemRandom": lambda: random.SystemRandom().random(),
    "urandom": lambda: os.urandom(12),
    "held_urandom": lambda: held_urandom(12),
    "getrandom": lambda: os.getrandom(12, flags=os.GRND_NONBLOCK),
    "secrets": lambda: (secrets.token_hex(), secrets.choice(range(2**40))),
    "uuid1": uuid.uuid1,
    "uuid1 of a node": lambda: uuid.uuid1(node=5),
    "uuid4": uuid.uuid4,
    "RAND_bytes": lambda: ssl.RAND_bytes(12),
}


def drawn(*programs: Callable[[], object], seed: int = 7, **words: object) -> list[object]:
    """Return what each of the functions returns, called one after the other on host "a"."""

    async def called() -> list[object]:
        return [program() for program in programs]

    async def main() -> list[object]:
        async with pystack.Network(seed=seed, **words) as net:
            a, b = net.host("a"), net.host("b")
            net.link(a, b)
            return await a.run(called)

    return pystack.run(main)


@pytest.mark.parametrize("way", WAYS)
def test_the_same_seed_draws_the_same(way: str) -> None:
    program = WAYS[way]
    program()
    first = drawn(program, program)
    program()
    assert drawn(program, program) == first
    assert first[0] != first[1]
    assert drawn(program, program, seed=8) != first
    assert program() not in first


def test_each_host_draws_by_itself_and_none_from_the_machine() -> None:
    async def draw() -> tuple[float, bytes]:
        return random.random(), os.urandom(4)

    async def main() -> list[tuple[float, bytes]]:
        async with pystack.Network(seed=1) as net:
            hosts = [net.host(name) for name in ("a", "b", "a2")]
            random.seed(5)
            return [await host.run(draw) for host in hosts]

    before = random.getstate()
    values = pystack.run(main)
    assert len(set(values)) == 3
    assert random.random() == random.Random(5).random()
    random.setstate(before)


def test_a_program_that_seeds_seeds_its_host() -> None:
    def program() -> tuple[float, float, float]:
        held_seed(5)
        state = held_getstate()
        first = random.random()
        held_setstate(state)
        again = random.random()
        held_setstate(state)
        held_gauss(0, 1)  # keeps another one for the next call
        held_seed(5)
        held_gauss(0, 1)
        return first, again, held_gauss(0, 1)

    before = random.getstate()
    (values,) = drawn(program)
    own = random.Random(5)
    assert values[:2] == (own.random(), random.Random(5).random())
    own.seed(5)
    own.gauss(0, 1)
    assert values[2] == own.gauss(0, 1)
    assert random.getstate() == before


def test_what_is_drawn_is_not_drawn_from_the_network() -> None:
    lost = []
    for draws in (0, 1000):

        async def main(draws: int = draws) -> int:
            async with pystack.Network(seed=1) as net:
                a, b = net.host("a"), net.host("b")
                link = net.link(a, b, loss="20%")

                async def send() -> None:
                    for _ in range(draws):
                        random.random()
                        os.urandom(1)
                    socket = await a.open_udp_socket()
                    for _ in range(100):
                        await socket.send_to(b"x", ("b", 9))

                await a.run(send)
                await trio.sleep(1)
                return sorted(link.counters.items())

        lost.append(pystack.run(main))
    assert lost[0] == lost[1]


def test_wrong_sizes_get_the_errors_that_they_get() -> None:
    def program() -> None:
        with pytest.raises(ValueError, match="negative"):
            os.urandom(-1)
        with pytest.raises(TypeError):
            os.urandom("x")  # type: ignore[arg-type]
        with pytest.raises(ValueError, match=r"num|negative"):
            ssl.RAND_bytes(-1)
        with pytest.raises(OSError, match="Invalid"):
            os.getrandom(-1)
        assert os.urandom(0) == b""

    drawn(program)


def test_the_time_in_a_uuid_is_the_worlds_and_its_node_the_hosts() -> None:
    machines = uuid.uuid1()
    (first, second) = drawn(uuid.uuid1, uuid.uuid1)
    assert (first.time - 0x01B21DD213814000) * 100 == 1767225600 * 10**9
    assert second.time == first.time + 1
    assert first.node == second.node
    assert first.node >> 40 & 2  # locally administered, as the MACs of hosts
    assert first.node != machines.node
    assert uuid.uuid1().time > machines.time > first.time


def test_temporary_files_have_the_same_names_unless_they_are_taken() -> None:
    def program() -> str:
        with tempfile.NamedTemporaryFile() as file:
            return os.path.basename(file.name)

    assert drawn(program, program) == drawn(program, program)
    assert program() not in drawn(program)


def test_a_module_that_is_imported_on_a_host_draws_the_same_too() -> None:
    text = """
import sys
import pystack
assert "uuid" not in sys.modules
async def program():
    import uuid
    from uuid import uuid1
    return uuid1(), uuid.getnode()
async def main():
    async with pystack.Network(seed=7) as net:
        a, b = net.host("a"), net.host("b")
        net.link(a, b)
        print(*await a.run(program))
pystack.run(main)
import uuid
assert uuid.uuid1().time > 0x1f0000000000000
"""
    runs = [subprocess.check_output([sys.executable, "-c", text], text=True) for _ in range(2)]
    assert runs[0] == runs[1]
    assert runs[0].split()[0] == str(drawn(uuid.uuid1)[0])


def test_the_whole_block_may_draw_from_the_world() -> None:
    async def main() -> tuple[float, bytes]:
        async with pystack.Network(seed=1, world="whole"):
            return random.random(), os.urandom(3)

    assert pystack.run(main) == pystack.run(main)
    assert type(random._inst) is random.Random
