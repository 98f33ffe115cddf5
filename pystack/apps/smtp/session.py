"""One SMTP session at the server (RFC 5321), sans-IO: a command goes in, a reply comes out.

States are those of section 4.1.4: greeted or not, and within a mail transaction the sender and its
recipients. What has to happen beside the reply is in `step`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final

from pystack.apps.limits import DEFAULT_SMTP_LIMITS
from pystack.apps.lines import split_command
from pystack.apps.smtp import replies
from pystack.apps.smtp.replies import Reply, reply
from pystack.apps.smtp.syntax import (
    NULL_SENDER,
    Mailbox,
    SyntaxTroubleError,
    is_helo_name,
    parse_parameters,
    parse_recipient,
    parse_sender,
)

ANYBODY: Final = "*"  # among the domains whose mail is taken
MAX_SIZE_DIGITS: Final = 20  # RFC 1870 (3)

# What those say who take this for another protocol, or are made to by a web page.
_FOREIGN: Final = frozenset({"GET", "HEAD", "POST", "PUT", "OPTIONS", "CONNECT", "USER", "PRI"})
_ERRORS: Final = frozenset({500, 501, 502, 503, 504, 555})
_BODIES: Final = frozenset({"7BIT", "8BITMIME"})
_HELP: Final = (
    "HELO EHLO MAIL RCPT DATA RSET NOOP VRFY HELP QUIT STARTTLS",
    "This host keeps mail, and sends none on",
)


class Step(Enum):
    """What the driver does once the reply is sent."""

    COMMAND = auto()  # reads the next command
    CONTENT = auto()  # reads a message, and says what became of it
    TLS = auto()  # begins TLS
    END = auto()  # ends the connection


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What a server takes, and from whom."""

    host_name: str
    # Whose mail is taken: names in small letters and canonical literals; "*": anybody's.
    domains: frozenset[str]
    size_bytes: int
    max_recipients: int = DEFAULT_SMTP_LIMITS.recipients
    max_errors: int = DEFAULT_SMTP_LIMITS.errors

    def takes(self, mailbox: Mailbox) -> bool:
        """Tell whether mail for it is for here. A Postmaster without a domain is."""
        return not mailbox.domain or bool({ANYBODY, mailbox.domain} & self.domains)


@dataclass(slots=True)
class Envelope:
    """A mail transaction: whoever sends to whom."""

    sender: Mailbox
    is_utf8: bool = False  # SMTPUTF8 was asked for
    body: str = "7BIT"
    recipients: list[Mailbox] = field(default_factory=list)
    was_refused: bool = False  # a recipient was


class Session:
    """What the server knows of the client, and what it answers."""

    def __init__(self, policy: Policy, *, offers_tls: bool) -> None:
        self._policy = policy
        self._offers_tls = offers_tls
        self._errors = 0
        self.step = Step.COMMAND
        self.is_tls = False
        self.helo = ""  # "": it has not greeted
        self.is_extended = False  # it said EHLO, and not HELO
        self.envelope: Envelope | None = None  # None: no mail transaction
        self._commands: dict[str, Callable[[str], Reply]] = {
            "HELO": self._helo,
            "EHLO": self._ehlo,
            "MAIL": self._mail,
            "RCPT": self._rcpt,
            "DATA": self._data,
            "RSET": self._rset,
            "NOOP": lambda _: reply(250, "2.0.0", "OK"),
            "VRFY": self._vrfy,
            "EXPN": lambda _: reply(502, "5.5.1", "There are no lists"),
            "HELP": lambda _: reply(214, "2.0.0", *_HELP),
            "QUIT": self._quit,
            "STARTTLS": self._starttls,
        }

    def greeting(self) -> Reply:
        """Return what is said first."""
        return reply(220, "", f"{self._policy.host_name} ESMTP pystack")

    def command(self, line: bytes) -> Reply:
        """Answer one line."""
        self.step = Step.COMMAND
        verb, argument = split_command(line.rstrip(b" \t"))
        if verb in _FOREIGN:
            self.step = Step.END
            return replies.NO_COMMAND_HERE
        handler = self._commands.get(verb)
        if handler is None:
            return self.refuse(reply(500, "5.5.2", "There is no such command"))
        try:
            answer = handler(argument.decode("utf-8"))
        except UnicodeDecodeError:
            answer = reply(501, "5.5.2", "That is neither ASCII nor UTF-8")
        except SyntaxTroubleError as error:
            answer = reply(501, "5.5.4", _sentence(error))
        return self.refuse(answer) if answer.code in _ERRORS else answer

    def refuse(self, answer: Reply) -> Reply:
        """Return the reply to something wrong: after too many of them it is the last."""
        self._errors += 1
        if self._errors <= self._policy.max_errors:
            return answer
        self.step = Step.END
        return replies.TOO_MANY_ERRORS

    def tls_began(self) -> None:
        """Forget all that was said in clear, RFC 3207 (4.2)."""
        self.is_tls = True
        self.helo, self.is_extended, self.envelope = "", False, None

    def content_taken(self, answer: Reply) -> Reply:
        """End the transaction with what became of the message, and return that."""
        self.envelope = None
        self.step = Step.COMMAND
        if answer.code == 250:
            self._errors = 0
        return answer

    # commands

    def _helo(self, argument: str) -> Reply:
        return self._greet(argument, is_extended=False)

    def _ehlo(self, argument: str) -> Reply:
        return self._greet(argument, is_extended=True)

    def _greet(self, argument: str, *, is_extended: bool) -> Reply:
        if not is_helo_name(argument):
            raise SyntaxTroubleError("a domain or an address literal must follow")
        self.helo, self.is_extended, self.envelope = argument, is_extended, None
        name = self._policy.host_name
        if not is_extended:
            return reply(250, "", name)
        words = ["PIPELINING", f"SIZE {self._policy.size_bytes}", "8BITMIME", "SMTPUTF8"]
        words += ["STARTTLS"] if self._offers_tls and not self.is_tls else []
        return reply(250, "", f"{name} greets {argument}", *words, "ENHANCEDSTATUSCODES", "HELP")

    def _mail(self, argument: str) -> Reply:
        if not self.helo:
            return reply(503, "5.5.1", "Say EHLO or HELO first")
        if self.envelope is not None:
            return reply(503, "5.5.1", "There is a sender already: RSET, or go on")
        sender, rest = parse_sender(_after(argument, "FROM:"))
        parameters = self._parameters(rest)
        if parameters.keys() - {"SIZE", "BODY", "SMTPUTF8"}:
            return reply(555, "5.5.4", "There is no such parameter of MAIL")
        envelope = Envelope(sender)
        if "BODY" in parameters:
            envelope.body = (parameters["BODY"] or "").upper()
            if envelope.body not in _BODIES:
                raise SyntaxTroubleError("BODY is 7BIT or 8BITMIME")
        if "SMTPUTF8" in parameters:
            if parameters["SMTPUTF8"] is not None:
                raise SyntaxTroubleError("SMTPUTF8 has no value")
            envelope.is_utf8 = True
        if "SIZE" in parameters and _size(parameters["SIZE"]) > self._policy.size_bytes:
            return reply(552, "5.3.4", f"A message has at most {self._policy.size_bytes} bytes")
        if not sender.is_ascii and not envelope.is_utf8:
            return reply(553, "5.6.7", "That address needs the parameter SMTPUTF8")
        self.envelope = envelope
        return reply(250, "2.1.0", "OK" if sender == NULL_SENDER else f"{sender.text} OK")

    def _rcpt(self, argument: str) -> Reply:
        envelope = self.envelope
        if envelope is None:
            return reply(503, "5.5.1", "Say MAIL first")
        recipient, rest = parse_recipient(_after(argument, "TO:"))
        if self._parameters(rest):
            return reply(555, "5.5.4", "There is no such parameter of RCPT")
        if not recipient.is_ascii and not envelope.is_utf8:
            return reply(553, "5.6.7", "That address needs the parameter SMTPUTF8 of MAIL")
        if not self._policy.takes(recipient):
            envelope.was_refused = True
            return reply(550, "5.7.1", f"{recipient.text}: relaying denied")
        if len(envelope.recipients) >= self._policy.max_recipients:
            most = self._policy.max_recipients
            return reply(452, "4.5.3", f"A message has at most {most} recipients")
        envelope.recipients.append(recipient)
        return reply(250, "2.1.5", f"{recipient.text} OK")

    def _data(self, argument: str) -> Reply:
        _nothing(argument)
        if self.envelope is None:
            return reply(503, "5.5.1", "Say MAIL and RCPT first")
        if not self.envelope.recipients:
            if self.envelope.was_refused:
                return reply(554, "5.5.1", "There is no recipient that was taken")
            return reply(503, "5.5.1", "Say RCPT first")
        self.step = Step.CONTENT
        return replies.START_DATA

    def _rset(self, argument: str) -> Reply:
        _nothing(argument)
        self.envelope = None
        return reply(250, "2.0.0", "OK")

    def _vrfy(self, argument: str) -> Reply:
        if not argument:
            raise SyntaxTroubleError("a name must follow")
        return reply(252, "2.1.5", "Nobody is told; send mail and see")

    def _quit(self, argument: str) -> Reply:
        _nothing(argument)
        self.step = Step.END
        return replies.BYE

    def _starttls(self, argument: str) -> Reply:
        _nothing(argument)
        if not self._offers_tls:
            return reply(502, "5.5.1", "There is no certificate for TLS")
        if self.is_tls:
            return reply(503, "5.5.1", "This is TLS already")
        if not self.is_extended:
            return reply(503, "5.5.1", "Say EHLO first")
        self.step = Step.TLS
        return replies.READY_FOR_TLS

    def _parameters(self, text: str) -> dict[str, str | None]:
        parameters = parse_parameters(text)
        if parameters and not self.is_extended:
            raise SyntaxTroubleError("parameters are for those who say EHLO")
        return parameters


def _after(argument: str, word: str) -> str:
    """Return what follows FROM: or TO:, between which and the path there is no blank."""
    if argument[: len(word)].upper() != word:
        raise SyntaxTroubleError(f"{word}<path> must follow")
    rest = argument[len(word) :]
    if rest.startswith(" "):
        raise SyntaxTroubleError(f"there is no blank after {word}")
    return rest


def _nothing(argument: str) -> None:
    if argument:
        raise SyntaxTroubleError("nothing may follow")


def _size(value: str | None) -> int:
    if value is None or len(value) > MAX_SIZE_DIGITS or not (value.isascii() and value.isdigit()):
        raise SyntaxTroubleError("SIZE is a number of bytes")
    return int(value)


def _sentence(error: SyntaxTroubleError) -> str:
    text = str(error)
    return text[:1].upper() + text[1:]
