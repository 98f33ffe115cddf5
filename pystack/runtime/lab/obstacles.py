"""Why a namespace cannot be had, in one sentence that says which setting helps.

The kernel says EPERM for a dozen reasons; which of them it is, is found in /proc. Whoever reads
the sentence wants to run a command: what makes that possible stands at its end.
"""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Final

_PROC: Final = Path("/proc")
_UNSHARE: Final = "unshare"  # how the calls are named in the errors of `namespace_process`
_MOUNT: Final = "mount"


def sentence(error: OSError, proc: Path = _PROC) -> str:
    """Say what `namespace_process` has met. `proc`: where the machine's settings stand."""
    what = error.filename
    if what is None:  # it is a sentence already: a DeviceError
        return error.strerror or str(error)
    if what == _MOUNT:
        return _no_mount(error)
    match error.errno:
        case errno.EPERM | errno.EACCES:
            return f"no permission to make a network namespace: {_forbidden_by(proc)}"
        case errno.ENOSPC | errno.EUSERS if _text(proc, "sys/user/max_user_namespaces") == "0":
            return (
                "user namespaces are switched off (user.max_user_namespaces is 0): have root allow "
                "some (sudo sysctl user.max_user_namespaces=10000), or run it as root (sudo)"
            )
        case errno.ENOSPC | errno.EUSERS:
            return "no more namespaces are allowed here: see sysctl user.max_user_namespaces"
        case errno.ENOSYS | errno.EINVAL if what == _UNSHARE:
            return "this kernel has no network namespaces for users: run it as root (sudo)"
    return f"a network namespace cannot be made: {error}"


def _forbidden_by(proc: Path) -> str:
    """Return who forbids it, as far as can be seen, and what helps."""
    if _text(proc, "sys/kernel/unprivileged_userns_clone") == "0":
        return (
            "users may make none (kernel.unprivileged_userns_clone is 0): have root allow it "
            "(sudo sysctl kernel.unprivileged_userns_clone=1), or run it as root (sudo)"
        )
    if _text(proc, "sys/kernel/apparmor_restrict_unprivileged_userns") == "1":
        return (
            "AppArmor lets users have none that is of any use, as on Ubuntu since 23.10: have root "
            "allow it (sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0), or run it as "
            "root (sudo)"
        )
    if _is_filtered(proc):
        return (
            "a seccomp filter forbids it, as Docker's does: start the container with "
            "--security-opt seccomp=unconfined, or with --cap-add SYS_ADMIN --cap-add NET_ADMIN"
        )
    return (
        "run it as root (sudo), or have root allow user namespaces (sysctl "
        "kernel.unprivileged_userns_clone=1, and on Ubuntu "
        "kernel.apparmor_restrict_unprivileged_userns=0); in a chroot there are none for users"
    )


def _no_mount(error: OSError) -> str:
    if error.errno == errno.EINVAL:
        return "in a chroot, files cannot be hidden: pass dns=False (of exec: --own-files)"
    return (
        f"nothing can be mounted here ({error.strerror}), so that the network's names cannot be "
        "told to programs: pass dns=False (of exec: --own-files), and use addresses"
    )


def _is_filtered(proc: Path) -> bool:
    lines = _text(proc, "self/status").splitlines()
    return any(line.split() == ["Seccomp:", "2"] for line in lines)


def _text(proc: Path, name: str) -> str:
    try:
        return (proc / name).read_text().strip()
    except OSError:
        return ""
