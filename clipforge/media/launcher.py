"""Become another program that dies with the process that started it, and starts none itself.

A worker can be killed at any moment, and a decoder that outlives it would hold a core
for an hour; one that could start processes could leave some where nobody looks for them. Run as a script, with nothing but the standard library, because every
ffmpeg is started through it: `python -I -S launcher.py PARENT PROGRAM [ARGUMENT...]`.
"""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
PR_SET_NO_NEW_PRIVS = 38
SECCOMP_SET_MODE_FILTER = 1
SECCOMP_FILTER_FLAG_SPEC_ALLOW = 4  # else older kernels slow down whoever has a filter
CLONE_THREAD = 0x10000

# Machine to: its number in a filter, that of the system call that sets one, those that only ever
# start a process, and `clone`, which starts threads too. `clone3` has one number everywhere.
MACHINES = {
    "x86_64": (0xC000003E, 317, (57, 58), 56),
    "aarch64": (0xC00000B7, 277, (), 220),
}
CLONE3 = 435
X32 = 0x40000000  # from here on x86-64 has every system call a second time

# Of the language of filters: load a word of what is asked, jump if it is equal, greater, or has a bit, return.
LOAD, IF_EQUAL, IF_FROM, IF_BIT, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
NUMBER, ARCHITECTURE, FIRST_ARGUMENT = 0, 4, 16  # where the words are
ALLOW, REFUSE = 0x7FFF0000, 0x00050000


def tied(argv: list[str]) -> list[str]:
    """The command that runs `argv` (an absolute program first) and dies with this thread.

    The kernel means the thread, not the process: start it from one that lives as long
    as the program has to, which for the media child is its main thread.
    """
    return [sys.executable, "-I", "-S", __file__, str(os.getpid()), *argv]


def die_with(parent: int) -> None:
    """Have the kernel kill this process when `parent` (a process id) ends."""
    if sys.platform != "linux":
        return  # development elsewhere works; only Linux promises this
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it ended before the kernel knew of our wish
        os._exit(1)


class Instruction(ctypes.Structure):
    _fields_ = (
        ("code", ctypes.c_ushort),
        ("jump_true", ctypes.c_ubyte),
        ("jump_false", ctypes.c_ubyte),
        ("k", ctypes.c_uint),
    )


class Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.POINTER(Instruction)))


def start_no_processes() -> None:
    """From now on this process and what it becomes may start threads, but no process (EAGAIN).

    RLIMIT_NPROC would not do: it counts all that belong to the user, other workers included, and
    root is exempt. Needs no privilege. Does nothing where there are no such filters.
    """
    machine = MACHINES.get(os.uname().machine)
    if sys.platform != "linux" or machine is None:
        return  # development elsewhere works
    architecture, seccomp, starters, clone = machine
    libc = ctypes.CDLL(None)
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    rules = _filter(architecture, starters, clone)
    program = Program(len(rules), (Instruction * len(rules))(*rules))
    flag = SECCOMP_FILTER_FLAG_SPEC_ALLOW
    libc.syscall(seccomp, SECCOMP_SET_MODE_FILTER, flag, ctypes.byref(program))


def _filter(architecture: int, starters: tuple[int, ...], clone: int) -> list[Instruction]:
    """Jumps say how many instructions are left out."""
    refuse = Instruction(RETURN, 0, 0, REFUSE | errno.EAGAIN)
    # glibc then asks again with `clone`, whose flags can be seen from here.
    unknown = Instruction(RETURN, 0, 0, REFUSE | errno.ENOSYS)
    allow = Instruction(RETURN, 0, 0, ALLOW)
    checks = [
        Instruction(LOAD, 0, 0, ARCHITECTURE),
        Instruction(IF_EQUAL, 1, 0, architecture),
        refuse,  # the system calls of another architecture, which have other numbers
        Instruction(LOAD, 0, 0, NUMBER),
    ]
    for number in starters:
        checks += [Instruction(IF_EQUAL, 0, 1, number), refuse]
    return [
        *checks,
        *(Instruction(IF_FROM, 0, 1, X32), refuse),
        *(Instruction(IF_EQUAL, 0, 1, CLONE3), unknown),
        *(Instruction(IF_EQUAL, 1, 0, clone), allow),
        Instruction(LOAD, 0, 0, FIRST_ARGUMENT),
        *(Instruction(IF_BIT, 1, 0, CLONE_THREAD), refuse, allow),
    ]


def main() -> None:
    die_with(int(sys.argv[1]))
    # Python ignores these two, and what is ignored stays ignored across exec: ffmpeg
    # would report a broken pipe or a full file instead of ending at once.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    start_no_processes()
    os.execv(sys.argv[2], sys.argv[2:])  # noqa: S606 - no shell is the point


if __name__ == "__main__":
    main()
