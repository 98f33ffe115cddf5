"""The same run, told by us and read by tshark from its capture: the numbers agree."""

import shutil
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from pystack.apps.explain.asked import Asked
from pystack.apps.explain.laboratory import Line
from pystack.apps.explain.record import record_asked
from pystack.observe.amounts import duration
from pystack.observe.captures.as_recording import Capture
from pystack.observe.explain.story import Step, Story
from pystack.observe.explain.telling import tell

pytestmark = pytest.mark.skipif(shutil.which("tshark") is None, reason="no tshark here")
VERSIONS = pytest.mark.parametrize("version", [4, 6])


def told_and_captured(tmp_path: Path, url: str, version: int, **words: str) -> tuple[Story, Path]:
    path = tmp_path / "run.pcapng"
    recording = record_asked(
        Asked(
            url=url,
            version=version,  # type: ignore[arg-type]
            line=Line(words=words),
            size_bytes=60_000,
            seed=4,
            pcap=str(path),
        )
    )
    return tell(recording.items, recording), path


def fields(path: Path, only: str, *names: str) -> list[list[str]]:
    """Return what tshark says of the frames that a filter lets through."""
    words = ["tshark", "-r", str(path), "-Y", only, "-T", "fields"]
    for name in names:
        words += ["-e", name]
    output = subprocess.run(words, capture_output=True, check=True, timeout=60).stdout.decode()
    return [line.split("\t") for line in output.splitlines()]


def step(told: Story, kind: str) -> Step:
    return next(each for each in told.steps if each.kind == kind)


def detail(told: Step, name: str) -> str:
    return next(value for each, value, _ in told.details if each == name)


@VERSIONS
def test_a_clean_run(tmp_path: Path, version: int) -> None:
    told, path = told_and_captured(tmp_path, "http://server/", version)
    syn, syn_ack = fields(
        path,
        "tcp.flags.syn==1",
        "tcp.options.mss_val",
        "tcp.options.wscale.shift",
        "tcp.seq_raw",
        "tcp.srcport",
    )
    first, second = step(told, "syn"), step(told, "syn_ack")
    for said, seen in ((first, syn), (second, syn_ack)):
        assert detail(said, "MSS") == seen[0]
        assert detail(said, "window scale") == seen[1]
        assert detail(said, "sequence number") == seen[2]
    assert f"port {syn[3]}" in first.title
    ((rtt, *_), *_) = fields(path, "tcp.analysis.initial_rtt", "tcp.analysis.initial_rtt")
    assert duration(float(rtt)) in step(told, "handshake").title
    lengths = [int(each[0]) for each in fields(path, "tcp.len>0 && tcp.srcport==80", "tcp.len")]
    answer, cut = step(told, "answer"), step(told, "segments")
    assert f"{sum(lengths):,} bytes" in answer.title
    assert f"{len(lengths)} segments of up to {max(lengths):,} bytes" in cut.title
    (line,) = fields(path, "http.request", "http.request.line", "http.request.method")
    assert line[1] in step(told, "request").title
    segments = fields(path, "tcp", "frame.number")
    assert told.facts["segments"] == str(len(segments))
    kinds = {each.kind for each in told.steps}
    assert not fields(path, "tcp.analysis.flags", "frame.number")
    assert not {"loss", "spurious"} & kinds


@VERSIONS
def test_a_lossy_run(tmp_path: Path, version: int) -> None:
    told, path = told_and_captured(tmp_path, "http://server/", version, loss="5%")
    again = fields(
        path,
        "tcp.analysis.retransmission || tcp.analysis.fast_retransmission || "
        "tcp.analysis.spurious_retransmission || tcp.analysis.out_of_order",
        "frame.time_relative",
    )
    assert told.facts["sent again"] == str(len(again)) != "0"


def test_the_name_and_what_tls_shows(tmp_path: Path) -> None:
    told, path = told_and_captured(tmp_path, "https://server/", 4)
    ((asked, *_), *_) = fields(path, "dns.flags.response==1", "dns.qry.name", "dns.a")
    assert step(told, "resolve").title.startswith(f"{asked} is ")
    hello = fields(
        path,
        "tls.handshake.type==1",
        "tls.handshake.extensions_server_name",
        "tls.handshake.extensions_alpn_str",
        "tls.handshake.cipher_suites_length",
    )[0]
    said = step(told, "tls_hello")
    assert detail(said, "server_name (SNI)") == hello[0]
    assert detail(said, "ALPN").replace(" ", "") == hello[1]
    assert int(detail(said, "cipher suites")) == int(hello[2]) // 2


@VERSIONS
def test_a_capture_is_told_with_the_same_numbers_as_the_run(tmp_path: Path, version: int) -> None:
    told, path = told_and_captured(tmp_path, "http://server/", version, loss="5%")
    with closing(Capture(path)) as capture:
        recording = capture.recording()
    seen = tell(recording.items, recording)
    assert seen.facts["sent again"] == told.facts["sent again"]
    assert seen.facts["segments"] == told.facts["segments"]
    for kind in ("syn", "handshake", "request", "answer"):
        assert step(seen, kind).title == step(told, kind).title
    assert seen.unknown
    assert not any(each.states for each in seen.steps)
    assert all(not span.parts for span in seen.waterfall)
