"""A script's text to its values: options, an initial command, and timed events."""

from __future__ import annotations

from collections.abc import Mapping

from pystack.testing.packetdrill.lexer import Cursor, Kind, Token, tokens
from pystack.testing.packetdrill.parse_call import parse_call
from pystack.testing.packetdrill.parse_packet import parse_packet
from pystack.testing.packetdrill.script import (
    Action,
    Call,
    Code,
    Command,
    Event,
    Packet,
    Script,
    TimeKind,
    When,
)


def parse(text: str, path: str, defines: Mapping[str, str] | None = None) -> Script:
    """Read a script. ScriptSyntaxError names the place of what can't be read."""
    cursor = Cursor(tokens(text, path, defines), path)
    lines = text.splitlines()
    script = Script(path)
    while cursor.here.kind is Kind.OPTION:
        token = cursor.take()
        name, equals, value = token.text.partition("=")
        shown = value.strip().strip("\"'") if equals else None
        script.options.append((token.line, name.strip(), shown))
    if cursor.here.kind is Kind.COMMAND:
        script.init_line = cursor.here.line
        script.init_command = Command(cursor.take().text)
    while cursor.here.kind is not Kind.END:
        if cursor.here.kind is Kind.COMMAND and cursor.ahead().kind is Kind.END:
            cursor.take()  # puts back what was changed, which here nothing outlives
            break
        script.events.append(_event(cursor, lines))
    return script


def _event(cursor: Cursor, lines: list[str]) -> Event:
    start = cursor.here
    when = _when(cursor)
    token = cursor.here
    action: Action
    if token.kind is Kind.COMMAND:
        action = Command(cursor.take().text)
    elif token.kind is Kind.CODE:
        action = Code(cursor.take().text)
    elif cursor.is_symbol("<", ">"):
        action = parse_packet(cursor)
    else:
        action = parse_call(cursor)
    outbound = isinstance(action, Packet) and not action.inbound
    if when.kind is TimeKind.ANY and not outbound:
        raise cursor.fault("only a packet that the host sends may come at any time, '*'", start)
    if when.end_s is not None and not outbound:
        raise cursor.fault("only a packet that the host sends may have a range of times", start)
    if isinstance(action, Call) and action.end_s is not None and action.end_s < when.start_s:
        raise cursor.fault("the call is to return before it is made", start)
    source = lines[start.line - 1].strip() if start.line <= len(lines) else ""
    return Event(start.line, when, action, source)


def _when(cursor: Cursor) -> When:
    start = cursor.here
    if cursor.accept("*"):
        return When(TimeKind.ANY)
    relative = cursor.accept("+")
    begin_s = _seconds(cursor)
    end_s = None
    if cursor.accept("~"):
        if relative:
            cursor.expect("+", "in a range of relative times")
        end_s = _seconds(cursor)
        if end_s < begin_s:
            raise cursor.fault("the range of times runs backwards", start)
    return When(TimeKind.RELATIVE if relative else TimeKind.ABSOLUTE, begin_s, end_s)


def _seconds(cursor: Cursor) -> float:
    token: Token = cursor.here
    if token.kind not in (Kind.FLOAT, Kind.INTEGER):
        raise cursor.fault(f"a time is missing: a line begins with one, not with {token}")
    value = float(token.text)
    if value < 0:
        raise cursor.fault("a time can't be negative")
    cursor.take()
    return round(value, 6)
