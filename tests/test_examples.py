"""Every example runs, and prints what its docstring promises."""

import itertools
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"


def test_examples_are_short() -> None:
    paths = [*EXAMPLES.glob("*.*"), *(EXAMPLES / "experiments").glob("*.*")]
    lengths = {path.name: path.read_text("utf-8").count("\n") for path in paths}
    assert {name: lines for name, lines in lengths.items() if lines >= 60} == {}


def run(command: list[str]) -> str:
    """Run an example to its end; a minute is far more than any of them needs."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_http_hello_takes_three_round_trips_of_virtual_time() -> None:
    output = run([sys.executable, str(EXAMPLES / "http_hello.py")])
    assert "Hello! You sent GET /" in output
    assert "That took 0.120 s in the network." in output


def test_udp_service_answers_stays_silent_and_refuses() -> None:
    lines = run([sys.executable, str(EXAMPLES / "udp_service.py")]).splitlines()
    assert lines == [
        " 0.020 s  pear at port 5000: 4",
        " 3.020 s  melon at port 5000: no answer",
        " 3.030 s  pear at port 5001: nobody listens there (ICMP port unreachable)",
    ]


def test_name_lookups_shows_what_a_name_costs_and_what_it_does_to_a_connection() -> None:
    lines = run([sys.executable, str(EXAMPLES / "name_lookups.py")]).splitlines()
    assert [line[:31].rstrip() for line in lines] == [
        "new            40 ms  2 queries",
        "known          20 ms  0 queries",
        "lost once    5040 ms  4 queries",
        "late         2040 ms  2 queries",
        "dead          290 ms  2 queries",
        "nxdomain       20 ms  2 queries",
        "lost        10000 ms  4 queries",
    ]
    assert all(line.endswith("connected") for line in lines[:5])
    assert "no such name" in lines[5]
    assert "no answer from ns1" in lines[6]


def test_where_time_goes_tells_each_step_of_each_line() -> None:
    lines = run([sys.executable, str(EXAMPLES / "where_time_goes.py")]).splitlines()
    assert lines[0].split() == ["in", "ms", "name", "TCP", "TLS", "first", "total"]
    rows = [(*line[:20].split(), *map(float, line[20:].split())) for line in lines[1:]]
    assert [row[:2] for row in rows[::2]] == [
        (name, "first") for name in ("dc", "dsl", "lte", "satellite-geo")
    ]
    for _, turn, *instants in rows:
        assert instants == sorted(instants)
        assert (instants[0] == 0) == (turn == "again")
    assert 600 < rows[7][5] < 700  # once more by satellite: one round trip to the first byte


def test_tcp_and_udp_tells_holes_from_waiting_the_same_for_each_seed() -> None:
    output = run([sys.executable, str(EXAMPLES / "tcp_and_udp.py")])
    assert output == run([sys.executable, str(EXAMPLES / "tcp_and_udp.py"), "1"])
    head, *rows = [(line[:23].strip(), *line[23:].split()) for line in output.splitlines()]
    assert head == ("", "UDP", "TCP")
    found = {words: (int(udp), int(tcp)) for words, udp, tcp in rows[:7]}
    assert found["arrived"][1] == 1000
    assert 920 < found["arrived"][0] < 980
    assert found["lost for good"] == (1000 - found["arrived"][0], 0)
    assert found["sent again"][0] == 0
    assert 30 < found["sent again"][1] < 100
    assert 30 < found["after a later one"][0] < 100
    assert found["after a later one"][1] == 0
    assert found["waited"][0] == 0
    assert found["waited"][1] > 300
    assert found["ms, 99 %"][0] == 20
    assert found["ms, 99 %"][1] > 60  # the line, there and back and there
    udp, tcp = (dict(row[column].split(":") for row in rows[7:]) for column in (1, 2))
    assert list(tcp) == [str(number) for number in range(12)]
    missing = next(number for number in range(12) if str(number) not in udp)
    assert udp[str(missing + 1)] == "20"
    # What is lost is there a round trip and three messages later, and the next ones with it.
    assert [int(tcp[str(missing + more)]) for more in range(4)] == [70, 65, 60, 55]


def test_bufferbloat_is_there_with_a_long_queue_and_gone_with_fq_codel() -> None:
    output = run([sys.executable, str(EXAMPLES / "bufferbloat.py")])
    found = re.findall(r"ping 40 ms, beside the upload (\d+) ms;\s+([\d.]+) Mbit/s", output)
    (bloated_ms, fast), (cured_ms, as_fast) = [(int(ms), float(rate)) for ms, rate in found]
    assert bloated_ms > 400
    assert cured_ms < 50
    assert min(fast, as_fast) > 4.3


def test_fastapi_deadline_shows_a_server_that_works_for_nobody() -> None:
    lines = run([sys.executable, str(EXAMPLES / "fastapi_deadline.py")]).splitlines()
    assert lines == [
        "The shop's patience: 5 s",
        "  3.24 s: the customer hears nothing (ReadTimeout)",
        "  3.52 s: the shop has no answer (ConnectError)",
        "The shop's patience: 2 s",
        "  2.27 s: the shop has no answer (ConnectTimeout)",
        '  2.30 s: the customer hears {"detail":"ask again later"}',
    ]


def test_requests_workers_need_retries_when_a_server_loses_its_power() -> None:
    output = run([sys.executable, str(EXAMPLES / "requests_workers.py")])
    assert output == (
        "0 retries: 32 of 40 after 2.56 s\n"  # eight were under way
        "3 retries: 40 of 40 after 2.68 s\n"
    )


def test_custom_loss_loses_half_of_the_stream_in_bursts_of_eight() -> None:
    output = run([sys.executable, str(EXAMPLES / "custom_loss.py")])
    assert output == "500 of 1000 datagrams lost, up to 8 in a row\n"


def test_two_flows_share_evenly_with_their_like_and_cubic_outgrows_newreno() -> None:
    output = run([sys.executable, str(EXAMPLES / "two_flows.py")])
    found = re.findall(
        r"(\w+) ([\d.]+) Mbit/s, (\w+) ([\d.]+) Mbit/s; Jain's index ([\d.]+)", output
    )
    assert [(a, b) for a, _, b, _, _ in found] == [
        ("newreno", "newreno"),
        ("cubic", "cubic"),
        ("bbr", "bbr"),
        ("cubic", "newreno"),
        ("bbr", "cubic"),
    ]
    rates = [(float(line[1]), float(line[3])) for line in found]
    assert all(2 < first + second < 4 for first, second in rates)
    indexes = [float(line[4]) for line in found]
    assert min(indexes[:3]) > 0.9
    cubic, newreno = rates[3]
    assert cubic > 1.3 * newreno
    assert indexes[4] > 0.9


def test_cwnd_over_time_draws_a_saw_for_newreno_and_needs_no_matplotlib() -> None:
    output = run([sys.executable, str(EXAMPLES / "cwnd_over_time.py"), "newreno", "fixed:50"])
    found = re.findall(r"(\S+) up to +(\d+) \|(.{75})\|\n", output)
    assert [(name, int(largest)) for name, largest, _ in found][1] == ("fixed:50", 50)
    saw, flat = (line for _, _, line in found)
    assert set(flat) == {"█"}
    falls = sum(later < earlier for earlier, later in itertools.pairwise(saw[8:]))
    rises = sum(later > earlier for earlier, later in itertools.pairwise(saw[8:]))
    assert 2 <= falls < rises


def test_real_server_is_reached_from_inside_over_a_bad_line() -> None:
    lines = run([sys.executable, str(EXAMPLES / "real_server.py")]).splitlines()
    assert lines == ["hello from the machine", "connections to the outside: 1"]


@pytest.mark.kernel
def test_tap_client_fetches_a_page_from_a_server_on_the_machine() -> None:
    if not os.access("/dev/net/tun", os.R_OK | os.W_OK) or shutil.which("unshare") is None:
        pytest.skip("no /dev/net/tun that may be opened, or no unshare")
    unshare = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "-rn"]
    output = run([*unshare, sys.executable, str(EXAMPLES / "tap_client.py")])
    assert "The kernel sees you at 10.77.0.2" in output
    assert "-> SYN " in output
    assert "<- SYN ACK " in output


def numbers_of(head: str) -> list[list[str]]:
    """Return a table of docs/protocol-kit.md, without its first column."""
    table = (EXAMPLES.parent / "docs" / "protocol-kit.md").read_text("utf-8").partition(head)[2]
    rows = table.partition("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in row.strip("|").split("|")[1:]] for row in rows]


SERVED_TWICE = """
import sys
sys.path.insert(0, sys.argv[1])
import lab_programs
import pystack


async def main():
    async with pystack.Network(seed=1) as net:
        client, server = net.host("client"), net.host("server")
        net.link(client, server, delay="20ms")
        for port, service in enumerate((lab_programs.echo, lab_programs.sink), 7):
            await server.start(service, server, port)
        for port in (7, 8):
            stream = await client.open_tcp_stream("server", port)
            await stream.send_all(b"ping")
            stream.abort()
        await client.run(lab_programs.ask, client, "server", 7, 1)
        await client.run(lab_programs.fill, client, "server", 8, 0.1)


pystack.run(main)
"""


def test_the_services_of_labs_outlive_clients_that_reset() -> None:
    lines = run([sys.executable, "-c", SERVED_TWICE, str(EXAMPLES)]).splitlines()
    assert lines[0].startswith("client: answer 1 after ")
    assert lines[1].startswith("client: ")


def test_a_policy_that_is_learnt_does_better_than_cubic_on_lines_it_has_not_seen() -> None:
    pytest.importorskip("gymnasium", reason="the extra gym")
    lines = run([sys.executable, str(EXAMPLES / "train_congestion.py")]).splitlines()
    assert len(lines) == 7
    found = [
        dict(re.findall(r"(learnt|fixed:20|cubic|bbr) (-?[\d.]+)", line)) for line in lines[3:]
    ]
    assert [list(row.values()) for row in found] == numbers_of("| Line | learnt |")
    assert all(float(row["learnt"]) > float(row["cubic"]) for row in found)
    total = {name: sum(float(row[name]) for row in found) for name in found[0]}
    assert total["learnt"] > total["fixed:20"]
