"""What we use of other libraries that they do not promise to keep: one list, held against them.

A library may change such a name in any release. Then this is the test that says so, and where it is
used, before a stranger of our users does.
"""

import ast
import inspect
import sys
from collections.abc import Iterator
from functools import reduce
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from types import CodeType, FunctionType
from typing import Final, NamedTuple

import pytest

ROOT: Final = Path(__file__).resolve().parent.parent


class Borrowed(NamedTuple):
    """Names of one class or module that are not public, or public and nowhere documented."""

    library: str  # its distribution
    owner: str  # "module" or "module:Class"
    names: tuple[str, ...]  # attributes, also those that only its methods set
    used_in: str  # below pystack/
    since: tuple[int, int] = (3, 11)  # Pythons that have them
    before: tuple[int, int] = (4, 0)


BORROWED: Final = (
    # The order of tasks that are ready at once, and whether all of them wait
    Borrowed(
        "trio",
        "trio._core._run",
        ("_ALLOW_DETERMINISTIC_SCHEDULING", "_r", "GLOBAL_RUN_CONTEXT"),
        "runtime/driver/virtual.py",
    ),
    Borrowed(
        "trio",
        "trio._core._run:Runner",
        ("runq", "waiting_for_idle", "entry_queue"),
        "runtime/driver/virtual.py",
    ),
    Borrowed("trio", "trio._core._entry_queue:EntryQueue", ("size",), "runtime/driver/virtual.py"),
    # By the names of their functions: what a task waits for
    Borrowed("trio", "trio._core._traps", ("wait_task_rescheduled",), "runtime/driver/virtual.py"),
    Borrowed("trio", "trio._threads", ("to_thread_run_sync",), "runtime/driver/virtual.py"),
    # AnyIO looks for Python's socket there; ours has the name too
    Borrowed("trio", "trio._socket:_SocketType", ("_sock",), "runtime/socket/anyio_listener.py"),
    # A connection of our own under hypercorn's protocols
    Borrowed(
        "hypercorn",
        "hypercorn.trio.tcp_server:TCPServer",
        (
            *("app", "config", "context", "idle_task", "protocol", "send_lock", "state"),
            *("_idle_timeout", "_initiate_server_close", "_read_data", "protocol_send", "run"),
        ),
        "apps/asgi/connection.py",
    ),
    Borrowed(
        "hypercorn",
        "hypercorn.trio.task_group:TaskGroup",
        ("_nursery", "spawn", "spawn_app"),
        "apps/asgi/connection.py",
    ),
    Borrowed(
        "hypercorn",
        "hypercorn.protocol:ProtocolWrapper",
        ("handle", "initiate", "protocol"),
        "apps/asgi/connection.py",
    ),
    Borrowed(
        "hypercorn",
        "hypercorn.protocol.h11:H11Protocol",
        ("_check_protocol", "connection"),
        "apps/asgi/connection.py",
    ),
    Borrowed(
        "hypercorn",
        "hypercorn.events",
        ("Closed", "Event", "RawData", "Updated"),
        "apps/asgi/connection.py",
    ),
    Borrowed(
        "hypercorn", "hypercorn.trio.worker_context", ("WorkerContext",), "apps/asgi/connection.py"
    ),
    Borrowed("hypercorn", "hypercorn.app_wrappers", ("ASGIWrapper",), "apps/asgi/application.py"),
    Borrowed(
        "hypercorn",
        "hypercorn.trio.lifespan:Lifespan",
        ("app", "asgi_send", "handle_lifespan", "wait_for_shutdown", "wait_for_startup"),
        "apps/asgi/lifespan.py",
    ),
    Borrowed(
        "hypercorn",
        "hypercorn.utils",
        ("LifespanFailureError", "LifespanTimeoutError"),
        "apps/asgi/lifespan.py",
    ),
    Borrowed(
        "hypercorn",
        "hypercorn.typing",
        ("AppWrapper", "ASGIReceiveEvent", "ASGISendEvent", "ConnectionState", "Scope"),
        "apps/asgi/connection.py",
    ),
    Borrowed("hypercorn", "hypercorn.typing", ("LifespanState",), "apps/asgi/lifespan.py"),
    # Frames that are not written in hexadecimal for a log, and fewer closed streams in memory
    Borrowed(
        "h2",
        "h2.connection:H2Connection",
        ("_receive_frame", "MAX_CLOSED_STREAMS"),
        "apps/http/http2.py",
    ),
    Borrowed("hyperframe", "hyperframe.frame:Frame", ("serialize_body",), "apps/http/http2.py"),
    # Payloads that are bounded while they are inflated
    Borrowed(
        "wsproto",
        "wsproto.frame_protocol",
        (
            "CloseReason",
            "Frame",
            "FrameDecoder",
            "FrameProtocol",
            "Opcode",
            "ParseFailed",
            "RsvBits",
        ),
        "apps/websocket/",
    ),
    # Names of strangers, whose pointers are bounded
    Borrowed("dnspython", "dns.wire:Parser", ("current", "get_name", "wire"), "wire/dns.py"),
    # Tests by Hypothesis in virtual time, beside pytest-trio
    Borrowed(
        "pytest-trio", "pytest_trio.plugin", ("_trio_test_runner_wrapped",), "testing/plugin.py"
    ),
    # One test with many seeds: it is run again and again, in forks that capture for themselves
    Borrowed("pytest", "_pytest.runner", ("runtestprotocol",), "testing/seed_run.py"),
    Borrowed("pytest", "_pytest.python:Function", ("_instance", "_obj"), "testing/seed_run.py"),
    Borrowed("pytest", "_pytest.nodes:Item", ("_report_sections",), "testing/seed_run.py"),
    Borrowed("pytest", "_pytest.main:Session", ("_setupstate",), "testing/exploring.py"),
    Borrowed("pytest", "_pytest.runner:SetupState", ("teardown_exact",), "testing/exploring.py"),
    Borrowed(
        "pytest",
        "_pytest.capture:CaptureManager",
        ("_global_capturing", "start_global_capturing", "suspend_global_capture"),
        "testing/seed_workers.py",
    ),
    Borrowed("pytest", "_pytest.terminal:TerminalReporter", ("_tw",), "testing/exploring.py"),
    Borrowed("pytest", "_pytest.terminal:TerminalReporter", ("stats",), "testing/seeds_told.py"),
    Borrowed("pytest", "_pytest._io:TerminalWriter", ("_file",), "testing/exploring.py"),
    # Python's own
    # What a point may have changed, looked at after each
    Borrowed("", "os:environ", ("_data",), "experiments/running/child.py"),
    Borrowed("", "_signal", ("getsignal",), "experiments/running/child.py"),
    Borrowed("", "sys", ("_getframe",), "runtime/socket/seal.py"),
    # Sockets of programs that are not written for Trio
    Borrowed("", "socket:socket", ("_sendfile_use_send",), "runtime/socket/plain_socket.py"),
    Borrowed("", "socket:socket", ("_real_close",), "runtime/socket/plain_base.py"),
    Borrowed("", "ssl:SSLContext", ("_wrap_bio",), "runtime/socket/plain_tls.py"),
    Borrowed("", "ssl:SSLContext", ("_wrap_socket",), "runtime/borrowed/tls.py"),
    Borrowed("", "sys", ("_getframe",), "testing/runs.py"),
    # Trio's run is kept apart from another one in the same thread, and asked from other threads
    Borrowed("trio", "trio._core._run", ("GLOBAL_RUN_CONTEXT",), "runtime/driver/guest_run.py"),
    Borrowed("trio", "trio._core._run", ("GLOBAL_RUN_CONTEXT",), "runtime/blocking/turns.py"),
    # Tasks end without being run once more
    Borrowed("trio", "trio._core._run:CancelScope", ("_cancel_status",), "runtime/lab/crash.py"),
    Borrowed(
        "trio",
        "trio._core._run:CancelStatus",
        ("_children", "_scope", "_tasks", "parent"),
        "runtime/lab/crash.py",
    ),
    Borrowed(
        "trio",
        "trio._core._run:Task",
        ("_activate_cancel_status", "_child_nurseries", "_next_send_fn"),
        "runtime/lab/crash.py",
    ),
    Borrowed("", "contextlib", ("_GeneratorContextManagerBase",), "runtime/borrowed/dropping.py"),
    Borrowed("", "contextlib:ExitStack", ("_exit_callbacks",), "runtime/borrowed/dropping.py"),
    Borrowed(
        "",
        "asyncio:Task",
        ("_callbacks", "_fut_waiter", "_log_destroy_pending"),
        "runtime/aio/crash.py",
    ),
    Borrowed("", "asyncio.tasks", ("_unregister_task",), "runtime/aio/crash.py"),
    Borrowed(
        "",
        "asyncio.selector_events:_SelectorTransport",
        ("_closing", "_sock"),
        "runtime/aio/crash.py",
    ),
    Borrowed(
        "",
        "asyncio.selector_events:BaseSelectorEventLoop",
        ("_transports",),
        "runtime/aio/crash.py",
    ),
    # asyncio's event loop, whose rounds are run from a task of Trio's
    Borrowed("", "asyncio.events", ("_set_running_loop",), "runtime/aio/loop.py"),
    Borrowed("", "asyncio", ("_get_running_loop",), "runtime/aio/top.py"),
    Borrowed(
        "", "asyncio.events:Handle", ("_cancelled", "_context", "_run"), "runtime/aio/loop.py"
    ),
    Borrowed("", "asyncio.events:TimerHandle", ("_scheduled",), "runtime/aio/loop.py"),
    Borrowed(
        "",
        "asyncio.selector_events:BaseSelectorEventLoop",
        (
            *(
                "_add_callback_signalsafe",
                "_add_reader",
                "_add_writer",
                "_remove_reader",
                "_remove_writer",
            ),
            *("_asyncgen_finalizer_hook", "_asyncgen_firstiter_hook", "_check_closed"),
            *("_check_running", "_close_self_pipe", "_closed", "_current_handle", "_debug"),
            *("_make_self_pipe", "_process_events", "_ready", "_scheduled", "_selector"),
            *("_stopping", "_thread_id", "_timer_cancelled_count", "_write_to_self"),
        ),
        "runtime/aio/loop.py",
    ),
    Borrowed("", "asyncio.events:Handle", ("_callback",), "runtime/aio/tasks.py"),
    # Threads of programs, and what they wait for
    Borrowed("", "_thread", ("_count",), "runtime/blocking/turns.py"),
    Borrowed("", "_thread", ("_ThreadHandle",), "runtime/borrowed/locks.py", since=(3, 13)),
    Borrowed("", "_thread:RLock", ("_acquire_restore",), "runtime/borrowed/locks.py"),
    Borrowed(
        "", "threading:Thread", ("_daemonic", "_invoke_excepthook"), "runtime/blocking/run_sync.py"
    ),
    Borrowed("", "threading:Thread", ("_handle",), "runtime/blocking/run_sync.py", since=(3, 13)),
    Borrowed(
        "", "threading:Thread", ("_tstate_lock",), "runtime/blocking/run_sync.py", before=(3, 13)
    ),
    Borrowed("", "threading:Thread", ("_target",), "runtime/borrowed/threads.py"),
    Borrowed("", "threading:Thread", ("_args", "_target"), "runtime/blocking/pools.py"),
    Borrowed(
        "",
        "concurrent.futures.thread",
        ("_threads_queues", "_worker"),
        "runtime/blocking/pools.py",
    ),
    Borrowed(
        "",
        "concurrent.futures.thread:ThreadPoolExecutor",
        ("_idle_semaphore", "_threads"),
        "runtime/blocking/pools.py",
    ),
    # What a host's programs draw from
    Borrowed("", "random", ("_inst",), "runtime/borrowed/chance.py"),
    Borrowed("", "tempfile", ("_get_candidate_names",), "runtime/borrowed/chance.py"),
    Borrowed("", "tempfile", ("_RandomNameSequence",), "runtime/borrowed/sources.py"),
    Borrowed(
        "", "tempfile:_RandomNameSequence", ("_rng", "_rng_pid"), "runtime/borrowed/sources.py"
    ),
    Borrowed("", "uuid", ("_generate_time_safe", "_last_timestamp"), "runtime/borrowed/chance.py"),
    Borrowed(
        "",
        "uuid",
        ("_last_counter_v7", "_last_timestamp_v6", "_last_timestamp_v7"),
        "runtime/borrowed/chance.py",
        since=(3, 14),
    ),
    # Tests of asyncio in virtual time, and tests by Hypothesis that draw the same again
    Borrowed(
        "pytest-asyncio",
        "pytest_asyncio.plugin:PytestAsyncioFunction",
        ("_loop_scope",),
        "testing/on_asyncio.py",
    ),
    Borrowed(
        "hypothesis", "hypothesis.core", ("_hypothesis_internal_use_seed",), "testing/seed_run.py"
    ),
    # Numbers in the names of threads, and the pipe by which a pool of threads is told of changes
    Borrowed("", "threading", ("_newname",), "runtime/borrowed/threads.py"),
    Borrowed(
        "", "concurrent.futures:ThreadPoolExecutor", ("_counter",), "runtime/borrowed/threads.py"
    ),
    Borrowed(
        "", "multiprocessing.pool:Pool", ("_wait_for_updates",), "runtime/borrowed/threads.py"
    ),
    Borrowed("", "multiprocessing.queues:SimpleQueue", ("_reader",), "runtime/borrowed/threads.py"),
)
# The words of what we call by position, or in place of which others are called
SIGNATURES: Final = {
    ("hypercorn", "hypercorn.protocol:ProtocolWrapper.__init__"): (
        "self app config context task_group state ssl client server send alpn_protocol"
    ),
    ("hypercorn", "hypercorn.trio.tcp_server:TCPServer.__init__"): (
        "self app config context state stream"
    ),
    ("hypercorn", "hypercorn.trio.task_group:TaskGroup.spawn_app"): "self app config scope send",
    ("h2", "h2.connection:H2Connection._receive_frame"): "self frame",
    ("hyperframe", "hyperframe.frame:Frame.serialize_body"): "self",
    ("dnspython", "dns.wire:Parser.get_name"): "self origin decompress",
}
# Theirs for everybody, by Python's documentation, in spite of the underscore
DOCUMENTED: Final = {"_asdict", "_replace", "_current_frames", "_is_gil_enabled"}
# Of types alone, for type checkers, which run with one version
FOR_TYPES: Final = {"_Decompress", "_Compress"}


def what_to_do(library: str, name: str, used_in: str) -> str:
    at = f"{library} {version(library)}" if library else "this Python"
    return (
        f"{at} has another {name}, or none. pystack/{used_in} uses it: see what stands in its "
        "place and use that, or say in pyproject.toml below which version it is as it was"
    )


def owner_of(path: str) -> object:
    module, _, attributes = path.partition(":")
    start: object = import_module(module)
    return reduce(getattr, attributes.split(".") if attributes else (), start)


def code_of(owner: object) -> Iterator[CodeType]:
    """Yield all code of a class or a module, of functions inside of functions too."""
    waiting = [
        each.__code__
        for part in (owner.__mro__ if isinstance(owner, type) else (owner,))
        for member in vars(part).values()
        if isinstance(each := member.fget if isinstance(member, property) else member, FunctionType)
    ]
    while waiting:
        code = waiting.pop()
        yield code
        waiting += [each for each in code.co_consts if isinstance(each, CodeType)]


def has(owner: object, name: str) -> bool:
    """Tell whether it has the name, or its code sets or asks for it."""
    known = {*dir(owner), *getattr(owner, "__annotations__", ()), *getattr(owner, "__slots__", ())}
    return name in known or any(
        name in (*code.co_names, *(each for each in code.co_consts if isinstance(each, str)))
        for code in code_of(owner)
    )


@pytest.mark.parametrize("row", BORROWED, ids=lambda row: row.owner)
def test_what_is_borrowed_is_there_and_used(row: Borrowed) -> None:
    owner = owner_of(row.owner)
    place = ROOT / "pystack" / row.used_in
    files = [place] if place.is_file() else sorted(place.glob("*.py"))
    text = "".join(file.read_text("utf-8") for file in files)
    is_here = row.since <= sys.version_info < row.before
    for name in row.names:
        assert has(owner, name) or not is_here, what_to_do(
            row.library, f"{row.owner}.{name}", row.used_in
        )
        assert name in text, (
            f"pystack/{row.used_in} does not use {name} any more: take it off the list"
        )


@pytest.mark.parametrize(("library", "function"), SIGNATURES, ids=lambda word: word)
def test_what_is_called_takes_what_it_took(library: str, function: str) -> None:
    words = " ".join(inspect.signature(owner_of(function)).parameters)  # type: ignore[arg-type]
    expected = SIGNATURES[library, function]
    used_in = next(row.used_in for row in BORROWED if row.owner == function.rpartition(".")[0])
    assert words == expected, what_to_do(library, f"{function}({expected})", used_in)


def test_nothing_is_borrowed_beside_the_list() -> None:
    owners = {row.owner.rpartition(":")[2] for row in BORROWED}
    listed = {name for row in BORROWED for name in row.names} | owners | FOR_TYPES
    own: set[str] = set()
    used: list[tuple[Path, int, str]] = []
    for path in (ROOT / "pystack").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            own.update(names_made(node))
            used += [(path, line, name) for line, name in private_uses(node)]
    found = [
        f"{path.relative_to(ROOT)}:{line}: {name}"
        for path, line, name in used
        if name not in own | listed | DOCUMENTED
    ]
    assert found == [], "names of others that they keep to themselves: put them on the list"


def names_made(node: ast.AST) -> Iterator[str]:
    """Yield the names that a node of ours makes."""
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            yield node.name
        case ast.Name(id=name, ctx=ast.Store()):
            yield name
        case ast.Attribute(attr=name, ctx=ast.Store(), value=ast.Name(id="self" | "cls")):
            yield name


def private_uses(node: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield where a node uses something that begins with an underscore, or is hypercorn's."""
    match node:
        case ast.ImportFrom(module=str(module), names=names, lineno=line):
            is_private = any(part.startswith("_") for part in module.split("."))
            is_hypercorns = module.startswith("hypercorn.") and module != "hypercorn.config"
            if module != "__future__" and not module.startswith("pystack"):
                for each in names:
                    if is_private or is_hypercorns or each.name.startswith("_"):
                        yield line, each.name
        case ast.Attribute(attr=name, lineno=line) if is_private_name(name):
            yield line, name
        case ast.Call(
            func=ast.Name(id="getattr" | "setattr" | "delattr"),
            args=[_, ast.Constant(value=str(name)), *_],
            lineno=line,
        ) if is_private_name(name):
            yield line, name


def is_private_name(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")
