"""The keyed ends of a tunnel: who is believed, what is new, and what a stranger can do."""

import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pystack.core.errors import WireError
from pystack.runtime.vxlan.session import Session, key_of
from pystack.runtime.vxlan.window import WINDOW, ReplayWindow

KEY, OTHER_KEY = bytes(range(32)), bytes(32)
FRAME = b"an Ethernet frame"


def chance(seed: int) -> Callable[[int], bytes]:
    return random.Random(seed).randbytes


def end(seed: int, key: bytes = KEY, vni: int = 1) -> Session:
    return Session(key, vni, chance(seed))


def take(session: Session, datagram: bytes, now: float = 0.0) -> tuple[bytes | None, bytes | None]:
    return session.open(memoryview(datagram), now)


def sealed(session: Session, frame: bytes = FRAME) -> bytes:
    return b"".join(session.seal((frame,)))


def refused(session: Session, datagram: bytes, now: float = 0.0) -> str:
    with pytest.raises(WireError) as caught:
        take(session, datagram, now)
    return caught.value.reason


def meet(a: Session, b: Session) -> list[bytes]:
    """Let `a` greet `b`; return all that was said."""
    said = [a.hello()]
    ends = [b, a]
    while len(said) < 9:
        _, answer = take(ends[(len(said) - 1) % 2], said[-1])
        if answer is None:
            break
        said.append(answer)
    return said


def pair() -> tuple[Session, Session]:
    a, b = end(1), end(2)
    meet(a, b)
    return a, b


def test_three_hellos_open_a_tunnel() -> None:
    a, b = end(1), end(2)
    assert not a.is_open
    assert len(meet(a, b)) == 3
    assert a.is_open
    assert b.is_open
    assert take(b, sealed(a)) == (FRAME, None)
    assert take(a, sealed(b)) == (FRAME, None)


@settings(max_examples=60)
@given(
    st.lists(
        st.sampled_from(["next"] * 6 + ["again", "late", "lost", "tag", "text", "hello", "old"]),
        min_size=1,
        max_size=30,
    ),
    st.booleans(),
    st.integers(0, 2**32),
)
def test_a_run_is_what_each_alone_is(kinds: list[str], short: bool, seed: int) -> None:
    (a, b), (_, same) = pair(), pair()  # the same numbers are drawn for both pairs
    frame, rng = bytes(40), random.Random(seed)  # as long as what a HELLO has
    sent: list[bytes] = []
    late: list[bytes] = []
    for kind in kinds:
        if kind == "hello":
            sent.append(a.hello())
            continue
        if kind == "again" and sent:
            sent.append(rng.choice(sent))
            continue
        datagram = bytearray(sealed(a, frame))
        if kind == "lost":
            continue
        if kind == "late":
            late.append(bytes(datagram))
            continue
        if kind in ("tag", "text"):
            datagram[-1 if kind == "tag" else 30] ^= 1
        if kind == "old":
            datagram[8] ^= 1
        sent.append(bytes(datagram))
    sent += late
    if short:
        sent.append(sealed(a, bytes(5)))
    whole, each = b"".join(sent), len(a.hello())

    def alone(session: Session, datagram: bytes) -> str:
        try:
            opened, answer = take(session, datagram)
        except WireError as error:
            return error.reason
        return f"{opened is not None} {answer is not None}"

    wanted = [alone(same, datagram) for datagram in sent]
    found: list[str] = []
    while len(found) < len(sent):
        found += ["True False"] * b.open_run(whole, len(found) * each, each)
        if len(found) < len(sent):
            found.append(alone(b, sent[len(found)]))
    assert found == wanted


@given(st.lists(st.integers(1, 3 * WINDOW), max_size=8), st.integers(0, 2 * WINDOW))
def test_a_run_in_the_window_is_each_of_its_numbers(before: list[int], count: int) -> None:
    one, other = ReplayWindow(), ReplayWindow()
    for number in before:
        for window in (one, other):
            if window.is_new(number):
                window.note(number)
    top = one.top
    one.note_run(count)
    for number in range(top + 1, top + count + 1):
        other.note(number)
    numbers = range(1, 6 * WINDOW, 7)
    assert [one.is_new(number) for number in numbers] == [other.is_new(n) for n in numbers]


def test_nobody_is_known_by_a_run_before_a_meeting() -> None:
    a, _b = pair()
    assert end(3).open_run(sealed(a), 0, 100) == 0


def test_where_frames_come_from_is_asked_once_a_second() -> None:
    a, b = pair()
    asked = [b.ask(now) for now in (5.0, 5.5, 5.99, 6.0, 6.5, 7.0)]
    assert [hello is not None for hello in asked] == [True, False, False, True, False, True]
    assert asked[-1] is not None
    _, answer = take(a, asked[-1])
    assert answer is not None
    proofs = b.proofs
    take(b, answer)
    assert b.proofs == proofs + 1


def test_both_may_greet_at_once() -> None:
    a, b = end(1), end(2)
    from_a, from_b = a.hello(), b.hello()
    (_, to_a), (_, to_b) = take(b, from_a), take(a, from_b)
    assert to_a is not None
    assert to_b is not None
    answers = [take(a, to_a)[1], take(b, to_b)[1]]
    while any(answers):
        answers = [take(a, each)[1] for each in answers[1:] if each] + [
            take(b, each)[1] for each in answers[:1] if each
        ]
    assert take(b, sealed(a)) == (FRAME, None)
    assert take(a, sealed(b)) == (FRAME, None)


def test_another_key_is_never_believed() -> None:
    a, b = end(1), end(2, OTHER_KEY)
    assert refused(b, a.hello()) == "vxlan_bad_tag"
    assert refused(a, b.hello()) == "vxlan_bad_tag"
    assert not a.is_open


def test_each_bit_of_a_datagram_counts() -> None:
    a, b = pair()
    whole = sealed(a)
    for at in range(4, len(whole)):  # of what is before, VNI apart, the socket tells the kind
        changed = bytearray(whole)
        changed[at] ^= 0x10
        assert refused(b, bytes(changed)) in {
            "vxlan_bad_tag",
            "vxlan_unknown_session",
            "vxlan_bad_flags",
            "vxlan_replayed",
        }
    assert take(b, whole) == (FRAME, None)


def test_a_datagram_is_taken_once() -> None:
    a, b = pair()
    one, other = sealed(a), sealed(a)
    assert take(b, other)[0] == FRAME
    assert take(b, one)[0] == FRAME  # overtaken, and new
    for each in (one, other):
        assert refused(b, each) == "vxlan_replayed"


def test_what_is_older_than_the_window_is_refused() -> None:
    a, b = pair()
    old = sealed(a)
    for _ in range(WINDOW):
        assert take(b, sealed(a))[0] == FRAME
    assert refused(b, old) == "vxlan_replayed"


def test_our_own_datagrams_are_refused() -> None:
    a, b = pair()
    assert refused(a, sealed(a)) == "vxlan_reflected"
    assert refused(b, b.hello()) == "vxlan_reflected"


def test_frames_before_a_restart_of_the_receiver_are_not_taken_after_it() -> None:
    a, b = pair()
    recorded = sealed(a)
    b = end(3)
    assert refused(b, recorded) == "vxlan_unknown_session"
    meet(b, a)
    assert refused(b, recorded) == "vxlan_bad_tag"
    assert take(b, sealed(a))[0] == FRAME


def test_frames_before_a_restart_of_the_sender_are_not_taken_after_it() -> None:
    a, b = pair()
    recorded = sealed(a)
    a = end(3)
    meet(a, b)
    assert refused(b, recorded) == "vxlan_unknown_session"
    assert take(b, sealed(a))[0] == FRAME


def test_recorded_hellos_bring_no_old_session_back() -> None:
    a, b = end(1), end(2)
    recorded = meet(a, b)
    a = end(3)
    recorded += meet(a, b)
    for at, each in enumerate(recorded):
        assert take_or_refuse(b, each, at) in {"answered", "vxlan_reflected"}
        assert take(b, sealed(a))[0] == FRAME
        assert take(a, sealed(b))[0] == FRAME


def test_a_hello_that_was_held_back_is_healed_by_what_comes_next() -> None:
    old, b = end(1), end(2)
    _, answer = take(b, old.hello())
    assert answer is not None
    _, held_back = take(old, answer)  # somebody on the way keeps it
    assert held_back is not None
    a = end(3)
    _, answer = take(b, a.hello())
    assert answer is not None
    take(a, answer)
    take(b, held_back)  # and gives it after `old` has ended
    assert refused(b, sealed(a)) == "vxlan_unknown_session"
    hello = b.doubt(now=1.0)
    assert hello is not None
    _, answer = take(a, hello)
    assert answer is not None
    take(b, answer)
    assert take(b, sealed(a))[0] == FRAME


def test_who_speaks_from_elsewhere_is_asked_for_a_proof() -> None:
    a, b = pair()
    keeps_alive, proofs = a.hello(), b.proofs
    assert take(b, keeps_alive) == (None, None)
    _, asked = b.open(memoryview(keeps_alive), 0.0, moved=True)
    assert asked is not None
    assert b.proofs == proofs
    _, proof = take(a, asked)
    assert proof is not None
    assert b.open(memoryview(proof), 0.0, moved=True) == (None, None)
    assert b.proofs == proofs + 1
    _, asked = b.open(memoryview(proof), 0.0, moved=True)  # a recorded one is none
    assert asked is not None
    assert b.proofs == proofs + 1
    assert take(b, sealed(a)) == (FRAME, None)
    assert take(a, sealed(b)) == (FRAME, None)


def test_another_network_is_another_session() -> None:
    a, b = end(1), end(2, vni=2)
    assert take(b, a.hello())[0] is None  # the socket tells networks apart, and the tag does too
    forged = bytearray(a.hello())
    forged[6] = 2
    assert refused(b, bytes(forged)) == "vxlan_bad_tag"


def test_answers_to_repeated_hellos_are_few() -> None:
    _, b = pair()
    recorded = end(9).hello()
    counted = [take_or_refuse(b, recorded, now=10.0) for _ in range(1000)]
    assert counted.count("answered") == 8
    assert counted.count("vxlan_hello_limited") == 992
    assert take_or_refuse(b, recorded, now=10.2) == "answered"


def take_or_refuse(session: Session, datagram: bytes, now: float) -> str:
    try:
        take(session, datagram, now)
    except WireError as error:
        return error.reason
    return "answered"


def test_a_text_is_the_same_key_everywhere() -> None:
    assert key_of("correct horse").hex() == EXPECTED
    assert key_of("correct horsf").hex() != EXPECTED


EXPECTED = "c6961bb4c03243aee08e5e065986c670fd9ad2d086f1b30e3e63cfb7ca3f60b2"


@settings(max_examples=60)
@given(st.lists(st.tuples(st.sampled_from("abx"), st.integers(0, 30)), max_size=60), st.randoms())
def test_nobody_on_the_way_can_have_a_frame_taken_twice(
    acts: list[tuple[str, int]], chance_of_way: random.Random
) -> None:
    """Ends restart, send and greet; the way repeats, reorders and loses."""
    ends = {"a": end(1), "b": end(2)}
    seeds = iter(range(10, 1000))
    seen: list[tuple[str, bytes]] = []  # for whom, what
    taken: list[bytes] = []
    number = 0
    for who, choice in acts:
        if who in ends and choice < 2:
            ends[who] = end(next(seeds))
        elif who in ends and choice < 10:
            seen.append((other(who), ends[who].hello()))
        elif who in ends and ends[who].is_open:
            number += 1
            seen.append((other(who), sealed(ends[who], b"%d" % number)))
        for _ in range(4):
            if seen:
                to, datagram = chance_of_way.choice(seen)
                if chance_of_way.random() < 0.1:
                    to = other(to)
                try:
                    frame, answer = take(ends[to], datagram, number)
                except WireError:
                    continue
                if frame is not None:
                    taken.append(frame)
                if answer is not None:
                    seen.append((other(to), answer))
    assert len(taken) == len(set(taken))


def other(who: str) -> str:
    return "b" if who == "a" else "a"


@given(st.lists(st.integers(0, 5000), max_size=300))
def test_the_window_is_a_set_that_forgets_what_is_old(numbers: list[int]) -> None:
    window, came, top = ReplayWindow(), {0}, 0
    for number in numbers:
        expected = number not in came and number > top - WINDOW
        assert window.is_new(number) is expected
        if expected:
            window.note(number)
            came.add(number)
            top = max(top, number)


def test_the_window_does_not_grow() -> None:
    window = ReplayWindow()
    window.note(2**64 - 1)
    assert not window.is_new(2**64 - 1)
    assert window.is_new(2**64 - WINDOW)
    assert not window.is_new(2**64 - 1 - WINDOW)


def test_who_floods_both_ends_with_forged_datagrams_does_not_keep_them_apart() -> None:
    """Nor does who repeats HELLOs, to one of them."""
    a, b = end(1), end(2)
    recorded = end(3).hello()
    for _ in range(20):
        a.doubt(0.0)
        b.doubt(0.0)
    for _ in range(8):
        take(b, recorded)
    assert refused(b, recorded) == "vxlan_hello_limited"
    assert a.doubt(0.0) is None
    answer = take(a, b.hello())[1]
    assert answer is not None
    proof = take(b, answer)[1]
    assert proof is not None
    assert take(a, proof) == (None, None)
    assert take(b, sealed(a)) == (FRAME, None)
    assert take(a, sealed(b)) == (FRAME, None)


class Meddled:
    """Two ends behind NATs, and a stranger who records all, and repeats it from anywhere."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.now = 0.0
        self.ends = [self.new(), self.new()]
        self.ports = [100, 200]
        self.to = [200, 100]  # where each takes the other to be
        self.wire: list[tuple[int, bytes, int]] = []  # for whom, from which port
        self.recorded: list[tuple[int, bytes]] = []
        self.sent: list[list[bytes]] = [[], []]
        self.got: list[list[bytes]] = [[], []]

    def new(self) -> Session:
        return Session(KEY, 1, self.rng.randbytes)

    def send(self, number: int, datagram: bytes, to: int) -> None:
        self.recorded.append((1 - number, datagram))
        if to == self.ports[1 - number]:
            self.wire.append((1 - number, datagram, self.ports[number]))

    def greet(self, number: int) -> None:
        self.send(number, self.ends[number].hello(), self.to[number])

    def say(self, number: int) -> None:
        if self.ends[number].is_open:
            text = b"%d of %d" % (len(self.sent[number]), number)
            self.sent[number].append(text)
            self.send(number, sealed(self.ends[number], text), self.to[number])

    def arrives(self, number: int, datagram: bytes, port: int) -> None:
        """What `VxlanPort` does with one."""
        end, answer = self.ends[number], None
        proofs = end.proofs
        try:
            moved = port != self.to[number]
            frame, answer = end.open(memoryview(datagram), self.now, moved=moved)
        except WireError as error:
            frame = None
            doubt = end.doubt(self.now) if error.reason == "vxlan_unknown_session" else None
            if doubt is not None:
                self.send(number, doubt, self.to[number])
        if answer is not None:
            self.send(number, answer, port)
        if end.proofs != proofs:
            self.to[number] = port
        if frame is not None:
            self.got[number].append(bytes(frame))

    def step(self) -> None:
        rng, number = self.rng, self.rng.randrange(2)
        self.now += rng.choice((0, 0.01, 0.3))
        match rng.choices(range(6), (10, 10, 3, 3, 25, 50))[0]:
            case 0:
                self.greet(number)
            case 1:
                self.say(number)
            case 2:
                self.ends[number] = self.new()
            case 3:
                self.ports[number] = rng.randrange(300, 400)
            case 4 if self.recorded:
                number, datagram = rng.choice(self.recorded)
                port = rng.choice((self.ports[1 - number], 666))
                self.arrives(rng.choice((number, 1 - number)), datagram, port)
            case 5 if self.wire:
                self.arrives(*self.wire.pop(rng.choice((0, -1))))

    def settle(self) -> None:
        """The stranger has gone, and both ends keep their NATs awake."""
        for _ in range(4):
            self.now += 1.0
            self.greet(0)
            self.greet(1)
            for _ in range(50):
                if self.wire:
                    self.arrives(*self.wire.pop(0))
            assert not self.wire, "they answer each other for ever"


def test_no_stranger_takes_part_or_keeps_the_ends_from_meeting_again() -> None:
    met = 0
    for seed in range(200):
        world = Meddled(seed)
        for _ in range(80):
            world.step()
        for number in range(2):
            assert len(set(world.got[number])) == len(world.got[number]), seed
            assert set(world.got[number]) <= set(world.sent[1 - number]), seed
        if all(to != port for to, port in zip(world.to, reversed(world.ports), strict=True)):
            continue  # both NATs have forgotten: neither end can reach the other
        met += 1
        world.settle()
        for number in range(2):
            world.say(number)
            world.arrives(*world.wire.pop())
            assert world.got[1 - number][-1:] == world.sent[number][-1:] != [], seed
    assert met > 150


def test_the_last_sequence_number_there_is_ends_no_run_with_an_error() -> None:
    a, b = pair()
    a._counter = (1 << 64) - 2
    last = sealed(a)
    assert take(b, last) == (FRAME, None)
    assert b.open_run(last * 2, 0, len(last)) == 0  # and raises nothing
