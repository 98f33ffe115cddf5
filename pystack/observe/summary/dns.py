"""DNS messages in tcpdump's words; a part of `summarize`, imported when one is seen."""

from typing import Final

from pystack.wire import dns

_RCODES: Final = {1: " FormErr", 2: " ServFail", 3: " NXDomain", 4: " NotImp", 5: " Refused"}
_MOST_ANSWERS: Final = 16  # in a line


def describe(data: bytes) -> str:
    """Return a message in a few words. Raises WireError where it is none."""
    message = dns.parse_message(data)
    if not message.is_response:
        number = f"{message.ident}{'+' if message.recursion_desired else ''}"
        asked = ", ".join(f"{_kind(each.kind)}? {each.name}." for each in message.questions)
        return f"{number} {asked or '[no question]'} ({len(data)})"
    flags = f"{'*' if message.authoritative else ''}{'|' if message.truncated else ''}"
    additional = len(message.additional) + (message.edns is not None)
    counts = f"{len(message.answers)}/{len(message.authority)}/{additional}"
    told = [_answer(each) for each in message.answers[:_MOST_ANSWERS]]
    if len(message.answers) > _MOST_ANSWERS:
        told.append("...")
    answers = f" {', '.join(told)}" if told else ""
    error = _RCODES.get(message.rcode, "")
    return f"{message.ident}{error}{flags} {counts}{answers} ({len(data)})"


def _answer(record: dns.Record) -> str:
    what = record.address
    if what is None and record.target is not None:
        what = f"{record.target}."
    return _kind(record.kind) if what is None else f"{_kind(record.kind)} {what}"


def _kind(number: int) -> str:
    return dns.kind_name(number).replace("TYPE", "Type")
