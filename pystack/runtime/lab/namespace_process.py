"""The program behind a network namespace: it makes one, keeps it, and ends all that ran in it.

Run by its path, not as a module: `hold FD` talks over the Unix socket FD with `namespaces.py`, and
lives until the other end of that closes, as it does whenever the lab's process ends, in whatever
way. `enter PID DIRECTORY KINDS COMMAND...` becomes a command inside the namespaces of process PID;
`front WORDS COMMAND...` does too, as the caller's own: `Front` has what WORDS, in JSON, say.

The TAP device is made here, inside, and its descriptor handed out; so the lab itself stays where it
is and needs no privilege. Without root, everything happens in a user namespace, whose owner the
lab's user is: as root there and nobody outside, or as itself, with no powers for its programs.
"""

import ctypes
import errno
import json
import os
import signal
import socket
import sys
import time
import types
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Final, NoReturn, TypedDict

# <sched.h>, <sys/mount.h>
_CLONE_NEWNS: Final = 0x00020000
_CLONE_NEWUTS: Final = 0x04000000
_CLONE_NEWUSER: Final = 0x10000000
_CLONE_NEWNET: Final = 0x40000000
_MS_BIND: Final = 0x1000
_MS_REC: Final = 0x4000
_MS_PRIVATE: Final = 0x40000
_MNT_DETACH: Final = 2
_PR_SET_PDEATHSIG: Final = 1  # <linux/prctl.h>

_MESSAGE_BYTES: Final = 65536
# How long programs have for a tidy end (SIGTERM) before there is none to be had (SIGKILL).
_GRACE_S: Final = 0.5
_GIVE_UP_S: Final = 5.0
_LOOK_AGAIN_S: Final = 0.01
_FAILED: Final = 125  # as env(1) has it: the command has not begun


def main(argv: Sequence[str]) -> None:
    """Do what the first word says."""
    match argv:
        case ["hold", fd]:
            hold(socket.socket(fileno=int(fd)))
        case ["enter", pid, directory, kinds, *command]:
            enter(int(pid), directory, kinds.split(","), command)
        case ["front", words, *command]:
            front(json.loads(words), command)
        case _:
            sys.exit("this program is pystack's own: use Network.namespace")


def hold(control: socket.socket) -> None:
    """Make the namespace that is asked for, configure it as told, end it at the end."""
    # Ctrl-C is for the lab, which then closes its end of the socket.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    before = _spaces_of("self")
    with suppress(OSError):  # the other end has gone in the middle of a word: it is the end, too
        if message := control.recv(_MESSAGE_BYTES):
            _serve(control, json.loads(message), before)
    end_all(_spaces_of("self") - before)  # nothing that the machine itself is in


def _serve(control: socket.socket, request: dict[str, object], before: set[int]) -> None:
    """Make what is asked for, and change it as long as somebody asks. OSError: nobody listens.

    `before`: the numbers of the namespaces that it began in.
    """
    try:
        kinds = isolate(mounts=bool(request["files"]), as_root=bool(request["as_root"]))
        set_up(request)
        fd, device = _open_device(request)
    except OSError as error:
        _say(control, error=_sentence(error))
        return
    _say(control, fds=[fd], kinds=kinds, spaces=sorted(_spaces_of("self") - before), device=device)
    while message := control.recv(_MESSAGE_BYTES):
        asked = json.loads(message)
        try:
            (introduce if "neighbors" in asked else configure)(asked)
        except OSError as error:
            _say(control, error=_sentence(error))
        else:
            _say(control)


def isolate(*, mounts: bool, as_root: bool) -> list[str]:
    """Leave the machine's network (and mounts) for new ones; return the kinds of what is new.

    `as_root`: in a user namespace, be root to its programs, and not the user whom they know.
    """
    flags = _CLONE_NEWNET | _CLONE_NEWUTS | (_CLONE_NEWNS if mounts else 0)
    kinds = ["net", "uts", *(["mnt"] if mounts else [])]
    if os.geteuid() == 0:
        try:
            _call("unshare", flags)
        except OSError as error:
            # Root without its powers, as in most containers, is a user like any other.
            if error.errno != errno.EPERM:
                raise
        else:
            return kinds
    user, group = os.geteuid(), os.getegid()
    _call("unshare", _CLONE_NEWUSER | flags)
    Path("/proc/self/setgroups").write_text("deny")  # user_namespaces(7): before the next but one
    # Whoever makes the namespace has all powers in it, whatever its number there; a program that it
    # becomes has them as number 0 alone.
    Path("/proc/self/uid_map").write_text(f"{0 if as_root else user} {user} 1")
    Path("/proc/self/gid_map").write_text(f"{0 if as_root else group} {group} 1")
    return ["user", *kinds]


def set_up(request: dict[str, object]) -> None:
    """Give the namespace its name, its files, and what a network namespace starts without."""
    hostname = str(request["hostname"]).encode()
    _call("sethostname", hostname, len(hostname))
    files = request["files"]
    assert isinstance(files, dict)
    if files:
        _hide_files(files)
    # In a lab of IPv4 the kernel would send router solicitations and multicast reports.
    _sysctl("ipv6/conf/default/disable_ipv6", "0" if request["ipv6"] else "1")
    # Nodes on the lab's link have their own addresses: no duplicate address detection, which takes
    # a second.
    _sysctl("ipv6/conf/default/accept_dad", "0")
    # Who has no powers here may ping, and serve on any port: there is nobody to be kept from it.
    _sysctl("ipv4/ping_group_range", f"{os.getegid()} {os.getegid()}")
    _sysctl("ipv4/ip_unprivileged_port_start", "0")
    _load_pystack()
    from pystack.runtime.device import ifconfig

    ifconfig.set_link("lo", up=True)


def configure(request: dict[str, object]) -> None:
    """Put the TAP on the lab's link: addresses, gateways, and where the names are known."""
    from pystack.core.addresses import Prefix, is_v6, parse_interface_address, parse_ip
    from pystack.runtime.device import ifconfig

    addresses, gateways = request["addresses"], request["gateways"]
    assert isinstance(addresses, list)
    assert isinstance(gateways, list)
    interface = str(request["interface"])
    ifconfig.set_link(interface, mtu_bytes=int(str(request["mtu_bytes"])))
    ifconfig.set_addresses(interface, [parse_interface_address(text) for text in addresses])
    ifconfig.delete_default_routes(interface)
    for via in map(parse_ip, gateways):
        everywhere = ifconfig.EVERYWHERE6 if is_v6(via) else ifconfig.EVERYWHERE
        ifconfig.add_route(everywhere, via=via, interface=interface)
    if request["on_link"] is not None:
        host = parse_ip(str(request["on_link"]))
        block = Prefix.of(host, 128 if is_v6(host) else 32)
        ifconfig.add_route(block, via=None, interface=interface)


def introduce(request: dict[str, object]) -> None:
    """Let the kernel know who others on the lab's link are, without asking."""
    from pystack.core.addresses import parse_ip, parse_mac
    from pystack.runtime.device import ifconfig

    neighbors = request["neighbors"]
    assert isinstance(neighbors, dict)
    for address, mac in neighbors.items():
        ifconfig.add_neighbor(str(request["interface"]), parse_ip(address), parse_mac(mac))


def enter(pid: int, directory: str, kinds: Sequence[str], command: Sequence[str]) -> NoReturn:
    """Become a command in the namespaces of a process."""
    _go_in(pid, directory, kinds)
    # Whoever starts it may have some blocked for reasons of its own (`taken_signals.py`).
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    _become(command, os.environb)


class Front(TypedDict):
    """What a command of the caller's own is given."""

    pid: int  # of the process in whose namespaces it is to be
    kinds: list[str]  # of these
    directory: str
    parent: int  # whose end is to be its end
    blocked: list[int]  # signals
    files: int  # how many it may open
    user: tuple[int, int, list[int]] | None  # and group, and groups; None: who we are


def front(words: Front, command: Sequence[str]) -> NoReturn:
    """Become a command that is the caller's own: its environment, its signals."""
    _limit_files(words["files"])
    try:
        _go_in(words["pid"], words["directory"], words["kinds"])
        if words["user"] is not None:
            user, group, groups = words["user"]
            os.setgroups(groups)
            os.setresgid(group, group, group)
            os.setresuid(user, user, user)
        # After the last change of who we are, which forgets it.
        _call("prctl", _PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
    except OSError as error:
        print(f"pystack: the namespace cannot be entered: {error}", file=sys.stderr)
        sys.exit(_FAILED)
    if os.getppid() != words["parent"]:
        sys.exit(128 + signal.SIGTERM)
    environ = environment()
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # one that has come ends us without more words
    signal.pthread_sigmask(signal.SIG_SETMASK, words["blocked"])
    _become(command, environ)


def _limit_files(files: int) -> None:
    """Have the limit of open files that the caller had: pystack may have raised its own."""
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))


def environment() -> dict[bytes, bytes]:
    """Return the environment as it came, without what Python does to it in the C locale."""
    try:
        words = Path("/proc/self/environ").read_bytes().split(b"\0")
    except OSError:
        return dict(os.environb)
    return dict(word.split(b"=", 1) for word in words if b"=" in word)


def _go_in(pid: int, directory: str, kinds: Sequence[str]) -> None:
    """Enter the namespaces of a process, and its directory."""
    # All are opened first: once in the user namespace, /proc/PID may be out of reach.
    opened = [os.open(f"/proc/{pid}/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC) for kind in kinds]
    root = os.open(f"/proc/{pid}/root", os.O_RDONLY | os.O_CLOEXEC)
    for fd in opened:
        _call("setns", fd, 0)
    if "mnt" in kinds:
        # Entering led to the very root of the mounts, which is another one where a chroot is used.
        os.fchdir(root)
        os.chroot(".")
    os.chdir(directory)


def _become(command: Sequence[str], environ: Mapping[bytes, bytes]) -> NoReturn:
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)  # Python ignores them, and exec would keep that
    try:
        os.execvpe(command[0], list(command), environ)
    except OSError as error:
        print(f"{command[0]}: {error.strerror}", file=sys.stderr)
        sys.exit(127 if error.errno == errno.ENOENT else 126)  # as a shell says it


def end_all(spaces: set[int]) -> None:
    """End every process in one of these namespaces but this one: politely, then surely.

    A browser's sandbox has a network namespace of its own, and still the name of its machine.
    """
    start = time.monotonic()
    victims = _processes(spaces)
    for pid in victims:
        _signal(pid, signal.SIGTERM)
    while victims and time.monotonic() - start < _GIVE_UP_S:
        if time.monotonic() - start > _GRACE_S:
            for pid in victims:
                _signal(pid, signal.SIGKILL)
        time.sleep(_LOOK_AGAIN_S)
        victims = _processes(spaces)


def _processes(spaces: set[int]) -> list[int]:
    """Return the ids of all other processes that are in one of these namespaces."""
    pids = (int(name) for name in os.listdir("/proc") if name.isdigit())
    return [pid for pid in pids if pid != os.getpid() and _spaces_of(pid) & spaces]


def _spaces_of(pid: int | str) -> set[int]:
    """Return the numbers of the namespaces of a process; none where it is gone, or not ours."""
    found = set()
    for kind in ("net", "uts"):
        with suppress(OSError):
            found.add(os.stat(f"/proc/{pid}/ns/{kind}").st_ino)
    return found


def _signal(pid: int, number: signal.Signals) -> None:
    with suppress(OSError):  # it has ended by itself
        os.kill(pid, number)


def _hide_files(files: dict[str, str | None]) -> None:
    """Show other contents for some files to the programs in this mount namespace, and only there.

    What does not exist stays away; None instead of contents hides a whole directory.
    """
    _call("mount", None, b"/", None, _MS_REC | _MS_PRIVATE, None)
    # In memory, so that nothing has to be deleted: over a file that is deleted, programs could
    # mount nothing of their own (another one of us, a container). And for a moment over a directory
    # that is there anyway, so that nothing stays behind whenever this is killed.
    folder = Path("/proc")
    _call("mount", b"tmpfs", os.fsencode(folder), b"tmpfs", 0, b"mode=755")
    try:
        for number, (path, contents) in enumerate(files.items()):
            if not os.path.exists(path):
                continue
            source = Path(folder, str(number))
            if contents is None:
                source.mkdir()
            else:
                source.write_text(contents)
            target = os.fsencode(os.path.realpath(path))
            _call("mount", os.fsencode(source), target, None, _MS_BIND, None)
    finally:
        # What is mounted elsewhere lives on as long as it is.
        _call("umount2", os.fsencode(folder), _MNT_DETACH)


def _open_device(request: dict[str, object]) -> tuple[int, dict[str, object]]:
    """Make the namespace's interface; return its descriptor, and what `namespaces.py` has to know.

    A TAP, or where none may be had, a veth pair with a packet socket.
    """
    from pystack.core.addresses import parse_mac
    from pystack.core.errors import DeviceError
    from pystack.runtime.device import ifconfig
    from pystack.runtime.device.packet_device import open_packet_device
    from pystack.runtime.device.tap_device import open_tap

    interface = str(request["interface"])
    mtu_bytes = int(str(request["mtu_bytes"]))
    offload = bool(request["offload"])
    try:
        tap = open_tap(interface, mtu_bytes=mtu_bytes, host_addresses=(), offload=offload)
    except DeviceError as no_tap:
        try:
            packet = open_packet_device(interface, mtu_bytes=mtu_bytes, offload=offload)
        except OSError as error:
            raise DeviceError(f"{no_tap}; nor is there {_instead(error)}") from None
        fd, offloads = packet.fd, packet.offloads
        ring = asdict(packet.ring)
    else:
        fd, offload, offloads, ring = tap.fd, tap.offload, tap.offloads, {}
    ifconfig.set_link(interface, mac=parse_mac(str(request["mac"])))
    return fd, {"offload": offload, "offloads": offloads, "ring": ring}


def _load_pystack() -> None:
    """Make single modules of the package importable without all the rest, Trio first of all.

    Importing `pystack` takes a third of a second; what is needed of it here, a twentieth.
    """
    package = types.ModuleType("pystack")
    package.__path__ = [str(Path(__file__).resolve().parents[2])]
    sys.modules["pystack"] = package


def _sysctl(name: str, value: str) -> None:
    # Read-only in many containers, and not there in a kernel without IPv6: nothing depends on it.
    with suppress(OSError):
        Path("/proc/sys/net", name).write_text(value)


def _call(name: str, *arguments: int | bytes | None) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*arguments):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), name)


def _say(control: socket.socket, *, fds: Sequence[int] = (), **words: object) -> None:
    socket.send_fds(control, [json.dumps(words).encode()], list(fds))


def _instead(error: OSError) -> str:
    """Return in words what could not be had in place of a TAP."""
    device = "a veth pair with a packet socket in its place"
    match error.errno:
        case errno.EOPNOTSUPP:
            return f"{device}: this kernel has no veth (modprobe veth)"
        case errno.EAFNOSUPPORT | errno.ENOPROTOOPT:
            return f"{device}: this kernel has no packet sockets for it (Linux 4.20)"
    return f"{device}: {error.strerror or error}"


def _sentence(error: OSError) -> str:
    _load_pystack()
    from pystack.runtime.lab.obstacles import sentence

    return sentence(error)


if __name__ == "__main__":
    main(sys.argv[1:])
