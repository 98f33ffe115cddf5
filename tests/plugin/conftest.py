"""The plug-in is tested from outside: pytest runs pytest."""

from collections.abc import Callable

import anyio.pytest_plugin
import hypothesis
import pytest
import pytest_trio.plugin

import pystack.testing.bench

# Imported here, so that the inner runs find them: they forget what they import.
_IMPORTED = (anyio, hypothesis, pytest_trio, pystack)
PYSTACK = ("-p", "pystack.testing.plugin")

TALK = """
import pytest, trio

async def echo(stream):
    async for data in stream:
        await stream.send_all(data)

async def ask(word):
    async with await trio.open_tcp_stream("server", 7) as stream:
        await stream.send_all(word)
        return await stream.receive_some()

def two_hosts(net, **words):
    client, server = net.host("client"), net.host("server")
    net.link(client, server, **words)
    return client, server
"""


@pytest.fixture
def run(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[pytest.RunResult, dict[str, int]]]:
    """Return a function that runs a test file with these plug-ins, and counts how it went."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("COLUMNS", "240")  # else pytest cuts the lines of its summary
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    monkeypatch.delenv("PYTEST_PLUGINS", raising=False)

    def run_source(
        source: str, *args: str, source_before: str = TALK, in_process: bool = True
    ) -> tuple[pytest.RunResult, dict[str, int]]:
        pytester.makepyfile(source_before + source)
        # In this process, which has imported everything already; another one takes a second.
        method = pytester.runpytest_inprocess if in_process else pytester.runpytest_subprocess
        try:
            result = method("-p", "no:cacheprovider", *PYSTACK, *args)
        finally:
            # One that the run has loaded would hold in the tests that follow, for what they draw.
            hypothesis.settings.load_profile("pystack")  # tests/conftest.py
        # A run that only refuses its arguments, or lists the markers, has no summary.
        has_summary = any(" in " in line and "==" in line for line in result.outlines)
        outcomes = result.parseoutcomes() if has_summary else {}
        outcomes.pop("warnings", None)
        return result, outcomes

    return run_source
