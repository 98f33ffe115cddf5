"""Fixtures of the tests on a real TAP: a namespace each, and `pystack up` inside it."""

import sys
from collections.abc import Iterator
from pathlib import Path

import netns as namespaces
import pytest
import trio
from up import Stack, StackUp

import pystack


@pytest.fixture(scope="session")
def _namespaces_allowed() -> None:
    reason = namespaces.why_not()
    if reason:
        pytest.skip(reason)


@pytest.fixture(scope="session")
def _labs_allowed(_namespaces_allowed: None) -> None:
    """Skip, with the lab's own sentence, where it can have no namespace (as in a chroot)."""

    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            probe = net.namespace("probe")
            net.link(probe, net.host("host"))
            try:
                await probe.up()
            except pystack.DeviceError as error:
                problems.append(str(error))

    problems: list[str] = []
    trio.run(main)
    # That it ended is no rule of this machine, but a fault of ours.
    assert problems != ["the namespace's process has gone"]
    if problems:
        pytest.skip(problems[0])


@pytest.fixture
def netns(_namespaces_allowed: None) -> Iterator[namespaces.NetworkNamespace]:
    """Return a namespace of this test's own."""
    with namespaces.NetworkNamespace() as namespace:
        yield namespace


@pytest.fixture
def stack_up(netns: namespaces.NetworkNamespace, tmp_path: Path) -> Iterator[StackUp]:
    """Return a function that starts `pystack up tap0 ARGUMENTS` and waits until it is ready.

    What still runs when the test is over is ended by SIGTERM, and has to end with status 0.
    """
    stacks: list[Stack] = []

    def start(*arguments: str, interface: str = "tap0") -> Stack:
        log = tmp_path / f"stderr-{len(stacks)}"
        with log.open("wb") as file:
            # Said, or it warns where it is root, and behind sudo it may not be able to read us.
            user = [] if "--user" in arguments else ["--user", "root"]
            argv = [sys.executable, "-m", "pystack", "up", interface, *user, *arguments]
            process = netns.popen(argv, stderr=file)
        stack = Stack(process, log)
        assert stack.ready.startswith(("ready:", '{"ready":')), f"{stack.ready!r}\n{stack.log}"
        stacks.append(stack)
        return stack

    yield start
    for stack in stacks:
        if stack.process.poll() is None:
            assert stack.stop() == 0, stack.log
        assert "Traceback" not in stack.log, stack.log


@pytest.fixture(params=["10.77.0.2", "fd77::2"], ids=["ipv4", "ipv6"])
def address(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return where the stack is: tests that ask for it run over both IP versions.

    `clients/` read it from the environment.
    """
    monkeypatch.setenv("STACK_ADDRESS", request.param)
    return str(request.param)


@pytest.fixture
def url(address: str) -> str:
    """Return where the stack's http is; curl takes the brackets as they are (`-g`)."""
    return f"http://[{address}]" if ":" in address else f"http://{address}"


@pytest.fixture(params=["--offload", "--no-offload"])
def offload(request: pytest.FixtureRequest) -> str:
    """Return the option: tests that ask for it run with both."""
    return str(request.param)
