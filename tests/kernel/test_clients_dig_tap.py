"""`pystack dig` on a TAP device, beside the real dig: the same server, the same lines."""

import re
import shutil
import sys
from typing import Final

import pytest
from netns import NetworkNamespace
from up import StackUp

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(shutil.which("dig") is None, reason="no dig here (bind9-dnsutils)"),
]

OURS: Final = (sys.executable, "-m", "pystack", "dig", "--via", "tap1", "--run-as", "root")
PLACE: Final = ("--address", "10.78.0.2/24", "--gateway", "10.78.0.1")
RECORDS: Final = (
    *("--record", "www.example.test 300 A 10.0.0.9"),
    *("--record", "alias.example.test 60 CNAME www.example.test"),
    *("--record", "example.test 300 MX 5 mail.example.test"),
    *("--record", "big.example.test 300 TXT " + " ".join(f'"{"x" * 200}{n}"' for n in range(9))),
)
# What differs: who asks and when, the query's number, cookies, how long it took.
_VARYING: Final = (
    (re.compile(r"^; <<>> DiG.*"), "; <<>> DiG"),
    (re.compile(r"id: \d+"), "id: 0"),
    (re.compile(r"Query time: \d+ msec"), "Query time: 0 msec"),
    (re.compile(r"^;; WHEN: .*"), ";; WHEN:"),
)


def lines(output: bytes) -> list[str]:
    """Return what is the same whoever asks; white space is one blank."""
    found = []
    for line in output.decode().splitlines():
        if "COOKIE" in line or line.startswith("; (1 server found)"):
            continue
        for pattern, word in _VARYING:
            line = pattern.sub(word, line)
        found.append(re.sub(r"\s+", " ", line))
    return found


@pytest.mark.parametrize(
    "words",
    [
        ("www.example.test",),
        ("alias.example.test", "A"),
        ("example.test", "MX", "+norecurse"),
        ("nobody.example.test", "+noedns"),
        ("big.example.test", "TXT"),
        ("www.example.test", "AAAA", "+tcp"),
        ("www.example.test", "+short"),
        ("alias.example.test", "+noall", "+answer"),
    ],
    ids=" ".join,
)
def test_it_says_what_dig_says(
    netns: NetworkNamespace, stack_up: StackUp, words: tuple[str, ...]
) -> None:
    stack_up("--serve", "dns", *RECORDS, "--gateway", "10.77.0.1")
    netns.run(["sysctl", "-qw", "net.ipv4.ip_forward=1"])
    # Without a cookie, which is 28 bytes of an answer.
    real = netns.run(["dig", "+nocookie", "@10.77.0.2", *words]).stdout
    ours = netns.run([*OURS, *PLACE, "@10.77.0.2", *words]).stdout
    assert lines(ours) == lines(real)


def test_silence_is_9_for_both(netns: NetworkNamespace, stack_up: StackUp) -> None:
    stack_up("--serve", "discard")
    words = ("@10.77.0.2", "-p", "9", "x.example", "+time=1", "+tries=1")
    netns.run(["dig", *words], expect=9)
    netns.run(["sysctl", "-qw", "net.ipv4.ip_forward=1"])
    done = netns.run([*OURS, *PLACE, *words], expect=9)
    assert b"communications error to 10.77.0.2#9: timed out" in done.stdout
