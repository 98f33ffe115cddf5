"""Lines of SMTP (RFC 5321) and FTP (RFC 959): commands, and replies with their codes."""

from typing import Final

from pystack.observe import amounts
from pystack.observe.dissect.layout import Dissection, signs

_SMTP: Final = {
    "HELO": "who the client is",
    "EHLO": "who the client is; which extensions are there?",
    "MAIL": "from whom the mail is",
    "RCPT": "to whom it is to go",
    "DATA": "the mail itself follows",
    "BDAT": "a piece of the mail follows",
    "RSET": "forget this mail",
    "VRFY": "is there such a user?",
    "EXPN": "who is on this list?",
    "HELP": "",
    "NOOP": "nothing",
    "QUIT": "that was all",
    "STARTTLS": "encrypted from here on",
    "AUTH": "who the user is, and a proof",
}
_FTP: Final = {
    "USER": "who the user is",
    "PASS": "the password, in clear",
    "CWD": "go to that directory",
    "CDUP": "go up",
    "PWD": "which directory is this?",
    "TYPE": "A: text, I: bytes as they are",
    "PASV": "say where a data connection may go",
    "EPSV": "say at which port a data connection may be made",
    "PORT": "make the data connection to there",
    "EPRT": "make the data connection to there",
    "LIST": "list the directory, by a data connection",
    "NLST": "list the names, by a data connection",
    "MLSD": "list the directory, for programs",
    "MLST": "",
    "RETR": "send that file, by a data connection",
    "STOR": "take a file, by a data connection",
    "APPE": "",
    "DELE": "",
    "MKD": "",
    "RMD": "",
    "RNFR": "",
    "RNTO": "",
    "SIZE": "how long is it?",
    "MDTM": "when was it changed?",
    "REST": "begin there",
    "FEAT": "what can you do?",
    "OPTS": "",
    "SYST": "what are you?",
    "STAT": "",
    "ABOR": "stop the transfer",
    "HELP": "",
    "NOOP": "nothing",
    "QUIT": "that was all",
    "AUTH": "encrypted from here on",
    "PBSZ": "",
    "PROT": "",
    "ALLO": "",
    "MODE": "",
    "STRU": "",
    "ACCT": "",
}
_COMMANDS: Final = {"SMTP": _SMTP, "FTP": _FTP}
_DIGITS: Final = {
    "1": "begun: another reply follows",
    "2": "done",
    "3": "go on",
    "4": "not now: try again later",
    "5": "refused",
}
_MOST_LINE_BYTES: Final = 4096


def lay_smtp(whole: Dissection, start: int, end: int) -> int:
    """Take apart a line of SMTP, or the text of a mail; return where it ends."""
    return _lay(whole, start, end, "SMTP")


def lay_ftp(whole: Dissection, start: int, end: int) -> int:
    """Take apart a line of FTP; return where it ends."""
    return _lay(whole, start, end, "FTP")


def _lay(whole: Dissection, start: int, end: int, protocol: str) -> int:
    raw = whole.data[start : min(end, start + _MOST_LINE_BYTES)]
    found = raw.find(b"\n")
    size = len(raw) if found < 0 else found + 1
    line = raw[:size].rstrip(b"\r\n")
    code = signs(line[:3])
    if len(line) >= 3 and line[:3].isdigit() and line[3:4] in (b" ", b"-", b""):
        layer = whole.layer("application", (7,), f"{protocol} reply", start, end)
        more = "; more lines follow" if line[3:4] == b"-" else ""
        layer.take("Reply-code", min(4, size), code, _DIGITS.get(code[0], "") + more)
        layer.take("text", start + size - layer.at, signs(line[4:]))
        layer.close(layer.at)
        return layer.at
    verb, _, argument = line.partition(b" ")
    name = signs(verb).upper()
    known = _COMMANDS[protocol]
    if name in known:
        layer = whole.layer("application", (7,), f"{protocol} command", start, end)
        layer.take("command", min(len(verb) + 1, size), name, known[name])
        layer.take("parameters", start + size - layer.at, signs(argument))
        layer.close(layer.at)
        return layer.at
    title = "Mail text" if protocol == "SMTP" else "FTP text"
    layer = whole.layer("application", (7,), title, start, end)
    text = f"{amounts.size(end - start)}: {signs(whole.data[start:end], 60)}"
    layer.content("data", "text that no command begins with: a mail's, or a cut line", text)
    return end
