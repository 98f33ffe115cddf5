"""The system calls that scripts may make: from a line's arguments to what the socket does."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Final

from pystack.core.addresses import Ip
from pystack.stack.ports import ANY
from pystack.testing.packetdrill.constants import VALUES
from pystack.testing.packetdrill.datagrams import Datagrams
from pystack.testing.packetdrill.errors import MismatchError
from pystack.testing.packetdrill.files import DataFile, File, Outcome, Program, Steps, failed
from pystack.testing.packetdrill.polling import Epoll, poll
from pystack.testing.packetdrill.script import (
    ANYTHING,
    Call,
    Either,
    Expression,
    Listing,
    Structure,
    Text,
    Word,
)
from pystack.testing.packetdrill.streams import Stream
from pystack.testing.packetdrill.values import address, data_of, number, optional_number, show

# A call that may wait is stepped through; all others are done at once.
_Maker = Callable[[Program, Call], Steps | Outcome]


class _RefusedError(Exception):
    """The call fails before anything is done; `number` is its errno."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def start(program: Program, call: Call) -> Steps:
    """Return a line's call as something to be stepped through. MismatchError: it isn't known."""
    maker = _CALLS.get(call.name)
    if maker is None:
        raise MismatchError(f"{call.name} is none of the calls that are known: {', '.join(_CALLS)}")
    return _steps(maker, program, call)


def _steps(maker: _Maker, program: Program, call: Call) -> Steps:
    try:
        made = maker(program, call)
        return made if isinstance(made, Outcome) else (yield from made)
    except _RefusedError as error:
        return failed(error.number)


# Each of the functions below takes a line's arguments apart for one call.


def _socket(program: Program, call: Call) -> Outcome:
    kind = number(_argument(call, 1))
    proto = optional_number(_argument(call, 2), 0)
    file: File
    match kind & 0xF:
        case 1 if proto in (0, VALUES["IPPROTO_TCP"]):
            file = Stream(program)
        case 2 if proto in (0, VALUES["IPPROTO_UDP"]):
            file = Datagrams(program)
        case _:
            return failed(errno.EPROTONOSUPPORT)
    file.nonblocking = bool(kind & VALUES["SOCK_NONBLOCK"])
    return Outcome(program.add(file, _wanted(call)))


def _bind(program: Program, call: Call) -> Outcome:
    file = _socket_of(program, call)
    settings = program.settings
    where = address(_argument(call, 1), (settings.local_ip, settings.bind_port))
    return file.bind(*(where or (ANY, 0)))


def _listen(program: Program, call: Call) -> Outcome:
    return _stream_of(program, call, errno.EOPNOTSUPP).listen(number(_argument(call, 1)))


def _accept(program: Program, call: Call) -> Steps:
    listening = _stream_of(program, call, _bad_descriptor(program, call))
    outcome = yield from listening.accept()
    if outcome.error:
        return outcome
    stream = listening.accepted()
    flags = number(_argument(call, 3)) if call.name == "accept4" else 0
    stream.nonblocking = bool(flags & VALUES["SOCK_NONBLOCK"])
    return Outcome(program.add(stream, _wanted(call)))


def _connect(program: Program, call: Call) -> Steps:
    file = _socket_of(program, call)
    where = _remote(program, _argument(call, 1))
    if where is None:
        return file.disconnect()
    if isinstance(file, Datagrams):
        return file.connect(*where)
    return (yield from file.connect(*where))


def _write(program: Program, call: Call) -> Steps:
    size = number(_argument(call, 2))
    if size and _argument(call, 1) == Word("NULL"):
        return failed(errno.EFAULT)
    text = data_of(_argument(call, 1), size)
    flags = number(_argument(call, 3)) if call.name in ("send", "sendto") else 0
    to = None
    if call.name == "sendto" and _argument(call, 4) != Word("NULL"):
        to = _remote(program, _argument(call, 4)) if _argument(call, 4) != 0 else None
        if to is None and flags & VALUES["MSG_FASTOPEN"] and _argument(call, 4) != 0:
            return failed(errno.EOPNOTSUPP)  # to AF_UNSPEC, that is to nobody
    return (yield from _send(program, call, size, text, flags, to))


def _writev(program: Program, call: Call) -> Steps:
    size, text = _vector(_argument(call, 1))
    return (yield from _send(program, call, size, text, 0, None))


def _sendmsg(program: Program, call: Call) -> Steps:
    message = _argument(call, 1)
    if not isinstance(message, Structure):
        raise MismatchError(
            f"{show(message)} is not a message: {{msg_name(...)=..., msg_iov(1)=[...]}}"
        )
    size, text = _vector(message.fields.get("msg_iov", Listing(())))
    to = None
    if message.fields.get("msg_name", ANYTHING) is ANYTHING:
        to = (program.settings.remote_ip, program.settings.connect_port)
    return (yield from _send(program, call, size, text, number(_argument(call, 2)), to))


def _send(
    program: Program,
    call: Call,
    size: int,
    text: bytes | None,
    flags: int,
    to: tuple[Ip, int] | None,
) -> Steps:
    file = _socket_of(program, call)
    if isinstance(file, Datagrams):
        return (yield from file.send(size, text, None if file.remote else to))
    if flags & VALUES["MSG_FASTOPEN"] and to is not None:
        return (yield from file.connect_with(*to, size, text, flags))
    return (yield from file.write(size, text, flags))


def _read(program: Program, call: Call) -> Steps:
    size = number(_argument(call, 2))
    if size and _argument(call, 1) == Word("NULL"):
        return failed(errno.EFAULT)
    flags = number(_argument(call, 3)) if call.name in ("recv", "recvfrom") else 0
    return (yield from _receive(program, call, size, flags))


def _open(program: Program, call: Call) -> Outcome:
    return Outcome(program.add(DataFile(), _wanted(call)))


def _sendfile(program: Program, call: Call) -> Steps:
    if not isinstance(program.files.get(number(_argument(call, 1))), DataFile):
        return failed(errno.EBADF)
    return (yield from _send(program, call, number(_argument(call, 3)), None, 0, None))


def _readv(program: Program, call: Call) -> Steps:
    size, _ = _vector(_argument(call, 1))
    return (yield from _receive(program, call, size, 0))


def _recvmsg(program: Program, call: Call) -> Steps:
    message = _argument(call, 1)
    vector = message.fields.get("msg_iov") if isinstance(message, Structure) else None
    size, _ = _vector(vector or Listing(()))
    outcome = yield from _receive(program, call, size, number(_argument(call, 2)))
    file = program.files.get(number(_argument(call, 0)))
    if outcome.message is None and isinstance(file, Stream):
        outcome.message = file.message()
    return outcome


def _receive(program: Program, call: Call, size: int, flags: int) -> Steps:
    file = _socket_of(program, call)
    if flags & VALUES["MSG_ERRQUEUE"]:
        return file.queued_error(size)
    if isinstance(file, Datagrams):
        return (yield from file.receive(size, flags))
    return (yield from file.read(size, flags))


def _close(program: Program, call: Call) -> Steps:
    file = program.files.pop(number(_argument(call, 0)), None)
    if file is None:
        return failed(errno.EBADF)
    return (yield from file.close())


def _shutdown(program: Program, call: Call) -> Outcome:
    return _stream_of(program, call, errno.ENOTCONN).shutdown(number(_argument(call, 1)))


def _fcntl(program: Program, call: Call) -> Outcome:
    file = _file_of(program, call)
    command = number(_argument(call, 1))
    if command == VALUES["F_GETFL"]:
        return Outcome(VALUES["O_RDWR"] | (VALUES["O_NONBLOCK"] if file.nonblocking else 0))
    if command == VALUES["F_SETFL"]:
        file.nonblocking = bool(number(_argument(call, 2)) & VALUES["O_NONBLOCK"])
    return Outcome(0)


def _ioctl(program: Program, call: Call) -> Outcome:
    file = _file_of(program, call)
    request = number(_argument(call, 1))
    if request == VALUES["FIONBIO"]:
        file.nonblocking = bool(number(_argument(call, 2)))
        return Outcome(0)
    if not isinstance(file, Stream):
        return failed(errno.EINVAL)
    found = file.control(request)
    return failed(errno.EINVAL) if found is None else Outcome(0, written={2: [found]})


def _setsockopt(program: Program, call: Call) -> Outcome:
    file = _socket_of(program, call)
    level, name = number(_argument(call, 1)), number(_argument(call, 2))
    value = _argument(call, 3)
    if isinstance(value, Listing) and len(value.items) == 1:
        value = value.items[0]
    if isinstance(value, Text):
        problem = file.options.set_text(level, name, value.data) if isinstance(file, Stream) else 0
    elif isinstance(file, Stream):
        problem = file.options.set(level, name, _numbers(value))
    else:
        problem = file.set_option(level, name, _numbers(value))
    return failed(problem) if problem else Outcome(0)


def _getsockopt(program: Program, call: Call) -> Outcome:
    file = _socket_of(program, call)
    level, name = number(_argument(call, 1)), number(_argument(call, 2))
    if isinstance(file, Datagrams):
        return Outcome(0, written={3: file.get_option(level, name)})
    found = file.options.get(level, name)
    if isinstance(found, int):
        return failed(found)
    if isinstance(found, bytes):
        return Outcome(0, text=found)
    return Outcome(0, written={3: found})


def _poll(program: Program, call: Call) -> Steps:
    array = _argument(call, 0)
    if not isinstance(array, Listing):
        raise MismatchError(f"{show(array)} is not [{{fd=..., events=...}}, ...]")
    wanted = [_pair(entry, "fd", "events") for entry in array.items]
    timeout_ms = optional_number(_argument(call, 2), -1)
    return (yield from poll(program, wanted, timeout_ms))


def _epoll_create(program: Program, call: Call) -> Outcome:
    return Outcome(program.add(Epoll(program), _wanted(call)))


def _epoll_ctl(program: Program, call: Call) -> Outcome:
    epoll = _epoll_of(program, call)
    op, fd, event = number(_argument(call, 1)), number(_argument(call, 2)), _argument(call, 3)
    events = data = 0
    if isinstance(event, Structure):
        events = number(event.fields.get("events", 0))
        data = _epoll_data(event)
    return epoll.control(op, fd, events, data)


def _epoll_wait(program: Program, call: Call) -> Steps:
    epoll = _epoll_of(program, call)
    most, timeout_ms = number(_argument(call, 2)), number(_argument(call, 3))
    return (yield from epoll.wait(most, timeout_ms))


_CALLS: Final[dict[str, _Maker]] = {
    "socket": _socket,
    "bind": _bind,
    "listen": _listen,
    "accept": _accept,
    "accept4": _accept,
    "connect": _connect,
    "read": _read,
    "readv": _readv,
    "recv": _read,
    "recvfrom": _read,
    "recvmsg": _recvmsg,
    "write": _write,
    "writev": _writev,
    "send": _write,
    "sendto": _write,
    "sendmsg": _sendmsg,
    "open": _open,
    "sendfile": _sendfile,
    "close": _close,
    "shutdown": _shutdown,
    "fcntl": _fcntl,
    "ioctl": _ioctl,
    "setsockopt": _setsockopt,
    "getsockopt": _getsockopt,
    "poll": _poll,
    "epoll_create": _epoll_create,
    "epoll_create1": _epoll_create,
    "epoll_ctl": _epoll_ctl,
    "epoll_wait": _epoll_wait,
}


def _argument(call: Call, position: int) -> Expression:
    if position >= len(call.arguments):
        raise MismatchError(f"{call.name} wants {position + 1} arguments or more")
    return call.arguments[position]


def _wanted(call: Call) -> int:
    """Return the descriptor that the line calls the new file by; -1: any."""
    return -1 if call.result is ANYTHING else number(call.result)


def _file_of(program: Program, call: Call) -> File:
    file = program.files.get(number(_argument(call, 0)))
    if file is None:
        raise _RefusedError(errno.EBADF)
    return file


def _socket_of(program: Program, call: Call) -> Stream | Datagrams:
    file = _file_of(program, call)
    if not isinstance(file, Stream | Datagrams):
        raise _RefusedError(errno.ENOTSOCK)
    return file


def _stream_of(program: Program, call: Call, otherwise: int) -> Stream:
    file = program.files.get(number(_argument(call, 0)))
    if not isinstance(file, Stream):
        raise _RefusedError(otherwise)
    return file


def _epoll_of(program: Program, call: Call) -> Epoll:
    file = program.files.get(number(_argument(call, 0)))
    if not isinstance(file, Epoll):
        raise _RefusedError(errno.EBADF)
    return file


def _bad_descriptor(program: Program, call: Call) -> int:
    return errno.ENOTSOCK if number(_argument(call, 0)) in program.files else errno.EBADF


def _remote(program: Program, expression: Expression) -> tuple[Ip, int] | None:
    settings = program.settings
    return address(expression, (settings.remote_ip, settings.connect_port))


def _numbers(value: Expression) -> list[int]:
    if isinstance(value, Listing):
        return [number(item) for item in value.items]
    if isinstance(value, Structure):
        return [number(item) for item in value.fields.values()]
    if value is ANYTHING:
        return []
    assert isinstance(value, int | Word | Either) or value is not None
    return [number(value)]


def _vector(expression: Expression) -> tuple[int, bytes | None]:
    """Return size and text of `[{..., 100}, {"abc", 3}]`; text None where a part is `...`."""
    size, text = 0, b""
    patterned = False
    for entry in expression.items if isinstance(expression, Listing) else ():
        if not isinstance(entry, Listing) or len(entry.items) != 2:
            raise MismatchError(f"{show(entry)} is not a part of a message: {{..., SIZE}}")
        part = number(entry.items[1])
        data = data_of(entry.items[0], part)
        size += part
        patterned |= data is None
        text += data or b""
    return size, None if patterned or not size else text


def _pair(entry: Expression, first: str, second: str) -> tuple[int, int]:
    if not isinstance(entry, Structure):
        raise MismatchError(f"{show(entry)} is not {{{first}=..., {second}=...}}")
    return number(entry.fields.get(first, 0)), number(entry.fields.get(second, 0))


def _epoll_data(event: Structure) -> int:
    for name in ("fd", "ptr", "u32", "u64"):
        if name in event.fields:
            return number(event.fields[name])
    return 0
