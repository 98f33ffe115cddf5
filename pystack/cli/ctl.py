"""The command `pystack ctl`: calls to what runs with --control, by words."""

import json as json_text
from typing import Annotated

import typer

from pystack.cli.control_text import Table as TextTable
from pystack.cli.control_text import as_lines, show
from pystack.core.called import typed
from pystack.runtime.control.calls import CALLS, WATCH, WATCHED, check_watched
from pystack.runtime.control.client import ControlClient, find
from pystack.runtime.control.table import Call, find_call

Socket = Annotated[
    str | None,
    typer.Option(
        metavar="PATH",
        help="The control socket, or the beginning of its name; default: the only one there is.",
    ),
]


def ctl_command(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="CALL [NAME=VALUE]...", help="What is wanted; without it, all calls are listed."
        ),
    ] = None,
    *,
    socket: Socket = None,
    json: Annotated[bool, typer.Option("--json", help="Print the answer as JSON.")] = False,
) -> None:
    """Look into what runs with --control, and change it.

    `pystack ctl` lists the calls, `pystack ctl help CALL` the arguments of one.
    """
    if not words or words == ["help"]:
        print("\n".join(calls_listed()))
        return
    if words[0] == "help":
        call, _ = (WATCHED, []) if words[1:] == [WATCH] else find_call(CALLS, words[1:])
        print("\n".join(call_explained(call)))
        return
    if words[0] == WATCH:
        _watch(words[1:], socket)
        return
    call, rest = find_call(CALLS, words)
    # Checked here as well: what is wrong is told even where nothing runs.
    arguments = call.read(rest)
    call.checked(arguments)
    with ControlClient(find(socket)) as client:
        answer = client.call(call.name, arguments)
    if json:
        print(json_text.dumps(answer))
    else:
        show(call.name, answer)


def _watch(words: list[str], socket: str | None) -> None:
    """Print updates of one call as lines of JSON, until Ctrl-C or the end."""
    rates = [word for word in words if word.startswith("per_s=")]
    call, rest = find_call(CALLS, [word for word in words if word not in rates])
    check_watched([call.name])
    arguments: dict[str, object] = {"calls": {call.name: call.read(rest)}}
    if rates:
        arguments |= {"per_s": WATCHED.arguments[1].read(WATCH, rates[-1].partition("=")[2])}
    WATCHED.checked(arguments)
    with ControlClient(find(socket)) as client:
        client.ask(WATCH, arguments)
        for message in client.updates():
            update = {"missed": message["missed"], "answer": message["update"][call.name]}
            print(json_text.dumps(update), flush=True)


def calls_listed() -> list[str]:
    """Return all calls, a line each."""
    rows = [
        [f"{call.name} {call.example}".strip(), call.about] for call in (*CALLS.values(), WATCHED)
    ]
    rows[-1][0] = "watch ss per_s=2"
    return as_lines(TextTable(["Call", "What it does"], rows))


def call_explained(call: Call) -> list[str]:
    """Return what there is to be known of a call."""
    lines = [typed(f"ctl {call.usage}"), f"    {call.about}"]
    rows = []
    for argument in call.arguments:
        ranges = str(argument.within) if argument.within is not None else ""
        rows.append([f"  {argument.name}", argument.kind, ranges, argument.about])
    if rows:
        lines += ["", *as_lines(TextTable(["  Argument", "Kind", "Range", "What it is"], rows))]
    return lines
