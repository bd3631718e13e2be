"""No network for this process, and no file but those of its work. For the child that decodes.

A video that takes over a decoder must reach neither the service's database and Redis, nor another
customer's files, nor the secrets that the worker has in `/proc`. seccomp refuses sockets, and
Landlock every path that was not named; both are inherited by ffmpeg, need no privilege and cannot be
taken back. Where the kernel lacks one, the rest of the sandbox holds without it: `missing` says so.

ctypes and not a package: the wrappers of Landlock on PyPI know its first version only, and a
container that lacks a build of libseccomp would lose the whole sandbox for it.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import os
import stat
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Final

from clipforge.media import launcher
from clipforge.media.launcher import IF_EQUAL, RETURN, Instruction

# By machine, as `launcher.MACHINES`: the number of the system call `socket`.
SOCKET: Final = {"x86_64": 41, "aarch64": 198}
# Has one number everywhere, and opens sockets past a filter.
IO_URING_SETUP: Final = 425

# One number everywhere, too.
CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
ASK_VERSION, RULE_PATH_BENEATH = 1, 1

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
REFER, TRUNCATE, IOCTL_DEV = 1 << 13, 1 << 14, 1 << 15
OF_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV
READING = EXECUTE | READ_FILE | READ_DIR
# All that the first version can refuse: the three above, and every way to change a folder.
FIRST_VERSION = (1 << 13) - 1
# Signals to processes outside, from the sixth version on.
SCOPE_SIGNAL = 1 << 1

# What an interpreter, the dynamic linker and libraries that count cores read.
SYSTEM: Final = (
    *("/usr", "/lib", "/lib64", "/etc/ld.so.cache", "/etc/localtime"),
    *("/dev/null", "/dev/zero", "/dev/urandom", "/dev/random"),
    *("/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/proc/self", "/sys/devices/system/cpu"),
)
WRITABLE_DEVICES: Final = ("/dev/null",)


class _Ruleset(ctypes.Structure):
    _fields_ = (
        ("files", ctypes.c_uint64),
        ("network", ctypes.c_uint64),
        ("scoped", ctypes.c_uint64),
    )


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("folder", ctypes.c_int32))


_opened_ahead: list[IO[bytes]] = []


def open_ahead() -> None:
    """Open a temporary file for later, when this process can reach no folder for such."""
    _opened_ahead.append(tempfile.TemporaryFile())  # noqa: SIM115 - closed by who takes it


def temporary_file() -> IO[bytes]:
    """One without a name, opened ahead where there is such."""
    return _opened_ahead.pop() if _opened_ahead else tempfile.TemporaryFile()


def missing() -> list[str]:
    """The parts of the world that this kernel cannot refuse to the child, in words."""
    return [
        *([] if _has_seccomp() else ["the network (no seccomp)"]),
        *([] if landlock_version() else ["files outside its work (no Landlock)"]),
    ]


def confine(reads: Iterable[str], writes: Iterable[str]) -> None:
    """Take network and files from this process, and from all that it will start, except these.

    Each path is a file, or a folder with all that is in it. `reads` are not written; `writes` are read too.
    """
    launcher.forbid_gaining_privileges()
    _forbid_sockets()
    _forbid_files([*SYSTEM, *_of_python(), *reads], [*WRITABLE_DEVICES, *writes])


@functools.cache
def landlock_version() -> int:
    """0: there is none."""
    if sys.platform != "linux":
        return 0
    version = _libc().syscall(CREATE_RULESET, None, ctypes.c_size_t(0), ASK_VERSION)
    return max(0, int(version))


def _has_seccomp() -> bool:
    if os.uname().machine not in SOCKET:
        return False
    status = Path("/proc/self/status")
    return status.exists() and "Seccomp:" in status.read_text()


def _forbid_sockets() -> None:
    machine = os.uname().machine
    if sys.platform != "linux" or machine not in SOCKET:
        return
    refuse = Instruction(RETURN, 0, 0, launcher.REFUSE | errno.EACCES)
    launcher.add_filter(
        [
            *launcher.checks_of_architecture(launcher.MACHINES[machine][0], refuse),
            *(Instruction(IF_EQUAL, 0, 1, SOCKET[machine]), refuse),
            *(Instruction(IF_EQUAL, 0, 1, IO_URING_SETUP), refuse),
            Instruction(RETURN, 0, 0, launcher.ALLOW),
        ]
    )


def _forbid_files(reads: Iterable[str], writes: Iterable[str]) -> None:
    version = landlock_version()
    if not version:
        return
    everything = FIRST_VERSION
    for since, right in ((2, REFER), (3, TRUNCATE), (5, IOCTL_DEV)):
        everything |= right if version >= since else 0
    asked = _Ruleset(everything, 0, SCOPE_SIGNAL if version >= 6 else 0)
    # Older kernels take no more than they know.
    size = 24 if version >= 6 else 8
    rules = _called(CREATE_RULESET, ctypes.byref(asked), ctypes.c_size_t(size), 0)
    try:
        for path in reads:
            _allow(rules, path, READING & everything)
        for path in writes:
            _allow(rules, path, everything & ~EXECUTE)
        _called(RESTRICT_SELF, rules, 0)
    finally:
        os.close(rules)


def _allow(rules: int, path: str, rights: int) -> None:
    """Not of what is not there: other machines have other folders."""
    try:
        opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        is_folder = stat.S_ISDIR(os.fstat(opened).st_mode)
        rule = _PathBeneath(rights if is_folder else rights & OF_FILES, opened)
        _called(ADD_RULE, rules, RULE_PATH_BENEATH, ctypes.byref(rule), 0)
    finally:
        os.close(opened)


def _of_python() -> list[str]:
    """Where modules and the libraries beside them are; of this tree, which may hold data, only the code."""
    tree = Path(__file__).resolve().parents[2]
    inside = (Path(path) for path in sys.path if path)
    installed = [str(path) for path in inside if path.resolve() not in (tree, *tree.parents)]
    return [sys.prefix, sys.base_prefix, str(tree / "clipforge"), *installed]


def _called(number: int, *arguments: object) -> int:
    result = _libc().syscall(number, *arguments)
    if result < 0:
        raise OSError(ctypes.get_errno(), f"the kernel refused system call {number}")
    return int(result)


@functools.cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
