"""Why there is no namespace, as /proc of such machines has it."""

import errno
from pathlib import Path

import pytest

from pystack.core.errors import DeviceError
from pystack.runtime.lab.obstacles import sentence


def refusal(code: int, call: str = "unshare") -> OSError:
    return OSError(code, "as the kernel says it", call)


@pytest.mark.parametrize(
    ("code", "files", "word"),
    [
        (errno.ENOSPC, {"sys/user/max_user_namespaces": "0\n"}, "user.max_user_namespaces=10000"),
        (errno.ENOSPC, {"sys/user/max_user_namespaces": "100\n"}, "no more namespaces are allowed"),
        (errno.EPERM, {"sys/kernel/unprivileged_userns_clone": "0\n"}, "userns_clone=1"),
        (
            errno.EPERM,
            {"sys/kernel/apparmor_restrict_unprivileged_userns": "1\n"},
            "apparmor_restrict_unprivileged_userns=0",
        ),
        (errno.EPERM, {"self/status": "Name:\tsh\nSeccomp:\t2\n"}, "seccomp=unconfined"),
        (errno.EPERM, {"self/status": "Name:\tsh\nSeccomp:\t0\n"}, "run it as root (sudo)"),
        (errno.EINVAL, {}, "this kernel has no network namespaces for users"),
    ],
)
def test_the_setting_that_helps_is_named(
    tmp_path: Path, code: int, files: dict[str, str], word: str
) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    said = sentence(refusal(code), tmp_path)
    assert word in said
    assert "\n" not in said


def test_a_map_that_may_not_be_written_is_the_same_obstacle(tmp_path: Path) -> None:
    said = sentence(refusal(errno.EPERM, "/proc/self/uid_map"), tmp_path)
    assert said.startswith("no permission to make a network namespace")


@pytest.mark.parametrize("code", [errno.EPERM, errno.EACCES, errno.EINVAL])
def test_where_nothing_can_be_mounted_there_is_a_way_without(tmp_path: Path, code: int) -> None:
    assert "--own-files" in sentence(refusal(code, "mount"), tmp_path)


def test_what_is_a_sentence_stays_one(tmp_path: Path) -> None:
    assert sentence(DeviceError("there is no device"), tmp_path) == "there is no device"
