"""Options of a command that come from a table."""

from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from pystack.cli.main import make_app
from pystack.cli.words import Option, Words, takes

TABLE = {
    "delay": Option(str, "A time.", "WORDS"),
    "gap": Option(int, "A count."),
    "names": Option(list[str], "Several.", flag="--name"),
    "writable": Option(bool, "A switch."),
}


@takes(words=TABLE)
def command(where: Annotated[str, typer.Argument()], *, port: int = 7, words: Words) -> None:
    """Say what was given."""
    print(where, port, dict(words))


def run(*arguments: str) -> str:
    app = typer.Typer()
    app.command()(command)
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    return done.output.strip()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "{}"),
        (("--delay", "5ms", "--gap", "0"), "{'delay': '5ms', 'gap': 0}"),
        (("--name", "a", "--name", "b"), "{'names': ['a', 'b']}"),
        (("--writable",), "{'writable': True}"),
    ],
)
def test_what_is_given_comes_as_one_mapping(arguments: tuple[str, ...], said: str) -> None:
    assert run("here", *arguments) == f"here 7 {said}"


def test_the_help_tells_of_them() -> None:
    said = run("--help")
    assert "A time." in said
    assert "--no-writable" not in said


@pytest.mark.parametrize(
    ("command", "first", "second", "third"),
    [("exec", "--outside", "--control", "--delay"), ("proxy", "--udp", "--control", "--delay")],
)
def test_help_has_what_the_command_is_for_first(
    command: str, first: str, second: str, third: str, capsys: pytest.CaptureFixture[str]
) -> None:
    make_app(command)([command, "--help"], standalone_mode=False)
    text = capsys.readouterr().out
    lines = [text.index(f"\n  {option} ") for option in (first, second, third)]
    assert lines == sorted(lines)
