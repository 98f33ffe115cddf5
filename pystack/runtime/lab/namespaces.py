"""A node of the lab that is a network namespace of Linux, in which real programs run.

It has one interface, `eth0`: a TAP device whose other end is the node's link. Its default route and
its DNS are the lab's. A small process of its own (`namespace_process.py`) holds it open; when that
sees the lab end, in whatever way, it ends what still runs inside, and the namespace is gone.
"""

from __future__ import annotations

import json
import mmap
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import trio

from pystack.core.addresses import Ip, Mac, format_ip, format_mac
from pystack.core.errors import ConfigError, DeviceError
from pystack.runtime.device.packet_device import PacketDevice, Ring
from pystack.runtime.device.privileges import Account
from pystack.runtime.device.tap_device import TapDevice
from pystack.runtime.device.tun import OpenTun
from pystack.runtime.lab import namespace_process

if TYPE_CHECKING:
    from pystack.topology.nodes import Station

INTERFACE: Final = "eth0"
_MESSAGE_BYTES: Final = 65536
# Longer than the holder takes to end programs that do not want to end.
_END_S: Final = 8.0
_HOSTS: Final = "127.0.0.1 localhost\n"
_NSSWITCH: Final = Path("/etc/nsswitch.conf")

Word = str | os.PathLike[str]
_Ancillary = tuple[int, int, bytes]
Stdio = int | None  # a descriptor, subprocess.PIPE, DEVNULL, STDOUT; None: the lab's own


@dataclass(frozen=True, slots=True, kw_only=True)
class Inside:
    """What its programs find besides the network."""

    as_root: bool = True  # where that takes a user namespace, they are root in it; else who we are
    hostname: str | None = None  # None: the node's name
    # Files that they see instead of the machine's own; None: as the words of the node's dns have it
    files: Mapping[str, str | None] | None = None


class Holder:
    """The process that holds a namespace open, and the way to talk with it."""

    def __init__(self, process: subprocess.Popen[bytes], control: trio.socket.SocketType) -> None:
        self._process = process
        self._control = control
        self._talking = trio.Lock()
        self._owed = 0  # answers that are still to come: who asked was cancelled meanwhile
        self.kinds: list[str] = []  # of the namespaces that it has of its own; known once it has
        # The numbers of those that its programs share, likewise, and a descriptor of each: while
        # that is open, no other namespace of the machine gets the number.
        self._spaces: dict[int, int] = {}
        self.device: dict[str, Any] = {}  # what it has made; likewise

    @classmethod
    async def start(cls) -> Holder:
        """Start it; it makes nothing yet."""
        ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        command = [sys.executable, "-P", namespace_process.__file__, "hold", str(its.fileno())]
        with its:
            try:
                process = await trio.to_thread.run_sync(
                    lambda: subprocess.Popen(
                        command,
                        pass_fds=[its.fileno()],
                        stdin=subprocess.DEVNULL,
                        # So that Ctrl-C at a terminal does not reach it.
                        start_new_session=True,
                    )
                )
            except BaseException:
                ours.close()
                raise
        return cls(process, trio.socket.from_stdlib_socket(ours))

    async def ask(self, **request: object) -> list[int]:
        """Let it do something; return the descriptors that it hands over. Raises DeviceError."""
        message = json.dumps(request).encode()
        if len(message) > _MESSAGE_BYTES:
            raise DeviceError("the files of a namespace are more than 64 KiB in all")
        async with self._talking:
            try:
                while self._owed:
                    _close(_fds_of((await self._answer())[1]))
                await self._control.send(message)
                self._owed += 1
                data, ancillary = await self._answer()
            except OSError:  # it was ended in the middle
                data, ancillary = b"", []
        fds = _fds_of(ancillary)
        answer: dict[str, Any] = (
            json.loads(data) if data else {"error": "the namespace's process has gone"}
        )
        if "error" in answer:
            _close(fds)
            raise DeviceError(answer["error"])
        self.kinds = answer.get("kinds", self.kinds)
        if "spaces" in answer:
            self._hold_on_to(answer["spaces"])
        self.device = answer.get("device", self.device)
        return fds

    def _hold_on_to(self, spaces: Sequence[int]) -> None:
        for kind in ("net", "uts"):
            with suppress(OSError):  # it has just been ended
                fd = os.open(f"/proc/{self._process.pid}/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC)
                if (number := os.fstat(fd).st_ino) in spaces:
                    self._spaces[number] = fd
                else:  # the machine's own
                    os.close(fd)

    async def _answer(self) -> tuple[bytes, list[_Ancillary]]:
        data, ancillary, _, _ = await self._control.recvmsg(
            # Not to be handed on to what we start, of which exec's command is given all.
            _MESSAGE_BYTES,
            socket.CMSG_SPACE(4),
            socket.MSG_CMSG_CLOEXEC,
        )
        self._owed -= 1
        return data, ancillary

    def command(self, words: Sequence[str], directory: str) -> list[str]:
        """Return the command that becomes `words` inside of the namespace."""
        pid, kinds = str(self._process.pid), ",".join(self.kinds)
        enter = [sys.executable, "-I", "-S", namespace_process.__file__, "enter"]
        return [*enter, pid, directory, kinds, *words]

    def foreground(
        self,
        words: Sequence[str],
        directory: str,
        *,
        blocked: Sequence[int],
        files: int,
        account: Account | None,
    ) -> list[str]:
        """Return the command that becomes `words` inside, as a child of ours to the last.

        `blocked`: the signals that it is to have blocked, `files`: how many it may open,
        `account`: who it is to be; None: who we are.
        """
        own = namespace_process.Front(
            pid=self._process.pid,
            kinds=self.kinds,
            directory=directory,
            parent=os.getpid(),
            blocked=list(blocked),
            files=files,
            user=None if account is None else (account.uid, account.gid, list(account.groups)),
        )
        program = [sys.executable, "-I", "-S", namespace_process.__file__]
        return [*program, "front", json.dumps(own), *words]

    async def gone(self) -> None:
        """Wait for the end of its process, which nobody but us should bring about."""
        try:
            fd = os.pidfd_open(self._process.pid)
        except (OSError, AttributeError):  # an old kernel: then nobody watches
            await trio.sleep_forever()
        try:
            await trio.lowlevel.wait_readable(fd)
        finally:
            os.close(fd)

    async def aclose(self) -> None:
        """End the namespace and all that runs in it, also when this is cancelled."""
        self._control.close()  # that is its signal
        with trio.CancelScope(shield=True):
            with trio.move_on_after(_END_S):
                await trio.to_thread.run_sync(self._process.wait, abandon_on_cancel=True)
            if self._process.poll() is None:
                self._process.kill()
                await trio.to_thread.run_sync(self._process.wait)
            if self._process.returncode and self._spaces:  # it was killed: what it would have done
                await trio.to_thread.run_sync(namespace_process.end_all, set(self._spaces))
        _close(self._spaces.values())


@asynccontextmanager
async def open_namespace(
    name: str, station: Station, *, resolv_conf: str | None, offload: bool, inside: Inside
) -> AsyncIterator[tuple[Holder, TapDevice]]:
    """Have a namespace for the length of the block, with a TAP in it that is not configured yet.

    `resolv_conf`: whom its programs are to ask for names; None: they are left with the machine's
    files.
    Raises DeviceError.
    """
    files: Mapping[str, str | None] = {}
    if inside.files is not None:
        files = inside.files
    elif resolv_conf is not None:
        files = name_files(resolv_conf, _HOSTS)
    holder = await Holder.start()
    try:
        [fd] = await holder.ask(
            hostname=name if inside.hostname is None else inside.hostname,
            interface=INTERFACE,
            mac=format_mac(station.mac),
            mtu_bytes=station.mtu_bytes,
            offload=offload,
            as_root=inside.as_root,
            ipv6=any(prefix.is_v6 for _, prefix in station.addresses),
            files=files,
        )
        yield holder, _device_of(fd, holder.device)
    finally:
        await holder.aclose()


def _fds_of(ancillary: Sequence[_Ancillary]) -> list[int]:
    """Return the descriptors that came with an answer."""
    return [
        int.from_bytes(cargo[at : at + 4], sys.byteorder)
        for level, kind, cargo in ancillary
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS)
        for at in range(0, len(cargo) - len(cargo) % 4, 4)
    ]


def _close(fds: Iterable[int]) -> None:
    for fd in fds:
        os.close(fd)


def _device_of(fd: int, said: Mapping[str, Any]) -> TapDevice:
    """Return the device that the holder has made, and tells of."""
    offload, offloads, ring = said["offload"], said["offloads"], said["ring"]
    if not ring:
        return TapDevice(OpenTun(INTERFACE, fd), offload=offload, offloads=offloads)
    try:
        shape = Ring(**ring)
        memory = mmap.mmap(fd, shape.total_bytes)
    except OSError as error:
        os.close(fd)
        raise DeviceError(f"{INTERFACE} has no memory for its frames: {error.strerror}") from None
    return PacketDevice(INTERFACE, fd, shape, memory, offload=offload, offloads=offloads)


async def configure(holder: Holder, station: Station, on_link: Ip | None) -> None:
    """Give the TAP what the lab has for the station: addresses and gateways, as they are now.

    `on_link`: an address beyond the station's block that is on its link. Raises DeviceError.
    """
    await holder.ask(
        interface=INTERFACE,
        mtu_bytes=station.mtu_bytes,
        addresses=[f"{format_ip(own)}/{prefix.length}" for own, prefix in station.addresses],
        gateways=[format_ip(gateway) for gateway in station.gateways],
        on_link=None if on_link is None else format_ip(on_link),
    )


async def introduce(holder: Holder, addresses: Sequence[Ip], mac: Mac) -> None:
    """Let its kernel know where addresses on its link are, without asking. Raises DeviceError."""
    neighbors = {format_ip(address): format_mac(mac) for address in addresses}
    await holder.ask(interface=INTERFACE, neighbors=neighbors)


def check_command(
    command: Sequence[Word], env: Mapping[str, str] | None, cwd: Word | None
) -> tuple[list[str], str]:
    """Return a command's words and its directory. Raises FileNotFoundError, ConfigError."""
    if isinstance(command, str) or not command:
        raise ConfigError('a command is a list of words: ["curl", "http://server/"]')
    words = [os.fspath(word) for word in command]
    directory = os.getcwd() if cwd is None else os.path.abspath(cwd)
    path = None if env is None else env.get("PATH")
    # Said here, for what is started is a program of ours, and it exists.
    if os.sep not in words[0] and shutil.which(words[0], path=path) is None:
        raise FileNotFoundError(2, f"there is no program {words[0]!r} (is it installed?)")
    return words, directory


def name_files(resolv_conf: str, hosts: str | None) -> dict[str, str | None]:
    """Return what programs that ask for names are to read instead of the machine's own files.

    `hosts`: of /etc/hosts; None: that of the machine is right.
    """
    files: dict[str, str | None] = {
        "/etc/resolv.conf": resolv_conf,
        # A daemon that answers for the machine would be asked before any DNS server: its socket is
        # a file, and does not care for network namespaces.
        "/var/run/nscd": None,
    }
    if hosts is not None:
        files["/etc/hosts"] = hosts
    if _NSSWITCH.exists():
        lines = _NSSWITCH.read_text(errors="replace").splitlines()
        kept = [line for line in lines if not line.lstrip().startswith("hosts:")]
        files[str(_NSSWITCH)] = "\n".join([*kept, "hosts: files dns", ""])
    return files
