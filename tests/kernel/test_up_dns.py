"""dig, host, nslookup, curl and the machine's own resolver against `pystack up --serve dns`."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from netns import NetworkNamespace
from up import StackUp

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(shutil.which("dig") is None, reason="no dig here: apt-get install dnsutils"),
]

RECORDS = [
    "www.example.test 300 A 10.77.0.2",
    "www.example.test 300 A 10.77.0.6",
    "example.test 300 MX 10 mail.example.test",
    "mail.example.test 300 A 10.77.0.25",
    "alias.example.test 60 CNAME web.example.test",
    "web.example.test 60 A 10.77.0.2",
    "slow.example.test 60 A 10.77.0.2",
    *(f"many.example.test 60 A 10.78.{number // 250}.{number % 250}" for number in range(500)),
]
ALL = [
    *("--serve", "dns", "--serve", "http"),
    *(word for record in RECORDS for word in ("--record", record)),
    *("--dns-fault", "slow.example.test late 1500ms"),
    *("--dns-fault", "gone.example.test lost"),
    *("--dns-fault", "broken.example.test servfail"),
]
DIG = ["dig", "@10.77.0.2", "+tries=1", "+time=20"]


def dig(netns: NetworkNamespace, *words: str, expect: int = 0) -> str:
    return netns.run([*DIG, *words], expect=expect).stdout.decode()


def test_dig_gets_records_of_all_kinds(netns: NetworkNamespace, stack_up: StackUp) -> None:
    stack_up(*ALL)
    first = dig(netns, "+short", "www.example.test").split()
    second = dig(netns, "+short", "www.example.test").split()
    assert first == ["10.77.0.2", "10.77.0.6"]
    assert second == first[::-1]
    mail = dig(netns, "example.test", "MX")
    assert re.search(r"status: NOERROR.*flags: qr aa rd;", mail, re.DOTALL)
    assert re.search(r"^example\.test\.\s+300\s+IN\s+MX\s+10 mail\.example\.test\.$", mail, re.M)
    assert re.search(r"^mail\.example\.test\.\s+300\s+IN\s+A\s+10\.77\.0\.25$", mail, re.M)
    nothing = dig(netns, "nothing.example.test")
    assert "status: NXDOMAIN" in nothing
    assert re.search(r"^example\.test\.\s+60\s+IN\s+SOA\s+pystack\. ", nothing, re.M)
    assert "status: NOERROR" in dig(netns, "www.example.test", "AAAA")
    assert "status: REFUSED" in dig(netns, "www.example.org")
    assert "status: BADVERS" in dig(netns, "+edns=7", "+noednsneg", "www.example.test")
    assert dig(netns, "+short", "-x", "10.77.0.2") == "pystack.\n"
    assert "Transfer failed" in dig(netns, "example.test", "AXFR")


def test_a_long_answer_is_cut_by_udp_and_dig_comes_by_tcp(
    netns: NetworkNamespace, stack_up: StackUp, offload: str
) -> None:
    stack_up(*ALL, offload)
    cut = dig(netns, "+ignore", "many.example.test")
    assert re.search(r"flags: qr aa tc rd; QUERY: 1, ANSWER: 0", cut)
    whole = dig(netns, "many.example.test")
    assert "ANSWER: 500," in whole
    assert "(TCP)" in whole
    # Five questions on one connection
    kept = dig(netns, "+tcp", "+keepopen", "+short", *["web.example.test"] * 5)
    assert kept.split() == ["10.77.0.2"] * 5


def test_faults_are_seen_by_dig(netns: NetworkNamespace, stack_up: StackUp) -> None:
    stack_up(*ALL)
    slow = dig(netns, "slow.example.test")
    took = re.search(r"Query time: (\d+) msec", slow)
    assert took is not None
    assert int(took[1]) >= 1500
    assert "status: SERVFAIL" in dig(netns, "broken.example.test")
    assert "timed out" in dig(netns, "+time=1", "gone.example.test", expect=9)


def test_host_and_nslookup_find_names(netns: NetworkNamespace, stack_up: StackUp) -> None:
    stack_up(*ALL)
    told = netns.run(["host", "alias.example.test", "10.77.0.2"]).stdout.decode()
    assert "alias.example.test is an alias for web.example.test." in told
    assert "web.example.test has address 10.77.0.2" in told
    told = netns.run(["nslookup", "alias.example.test", "10.77.0.2"]).stdout.decode()
    assert "canonical name = web.example.test." in told


def test_the_machines_resolver_uses_it(
    netns: NetworkNamespace, stack_up: StackUp, tmp_path: Path
) -> None:
    stack_up(*ALL)
    (tmp_path / "resolv.conf").write_text("nameserver 10.77.0.2\nsearch example.test\n")
    (tmp_path / "nsswitch.conf").write_text("hosts: files dns\n")
    binds = " && ".join(
        f"mount --bind {tmp_path / name} /etc/{name}" for name in ("resolv.conf", "nsswitch.conf")
    )

    def with_it(command: str) -> str:
        shell = ["unshare", "--mount", "sh", "-c", f"{binds} && exec {command}"]
        return netns.run(shell).stdout.decode()

    assert "10.77.0.25" in with_it("getent ahostsv4 mail")
    assert "pystack" in with_it("getent hosts 10.77.0.2")
    assert "500" in with_it(
        "python3 -c 'import socket;"
        ' print(len({a[4] for a in socket.getaddrinfo("many", 80, socket.AF_INET)}))\''
    )
    assert len(with_it("curl -sS http://alias/bytes/10")) == 10


def test_curl_asks_it_by_itself(netns: NetworkNamespace, stack_up: StackUp) -> None:
    features = subprocess.run(["curl", "--version"], capture_output=True, text=True).stdout
    if "c-ares" not in features:
        pytest.skip("this curl was built without c-ares, which --dns-servers needs")
    stack_up(*ALL)
    told = netns.run(["curl", "-sS", "--dns-servers", "10.77.0.2", "http://web.example.test/"])
    assert told.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--record", "www A"], "'www A' is not a record such as"),
        (["--dns-fault", "www slow"], "there is no fault 'slow'"),
    ],
)
def test_bad_words_are_one_sentence(netns: NetworkNamespace, words: list[str], said: str) -> None:
    argv = [sys.executable, "-m", "pystack", "up", "tap0", "--serve", "dns", *words]
    done = netns.run(argv, expect=2)
    assert said in done.stderr.decode()
    assert done.stderr.count(b"\n") == 1
