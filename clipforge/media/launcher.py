"""Execute another program that dies with its parent process and can start no process itself.

A worker can be killed at any moment. A decoder that outlived it would occupy a core for an
hour, and processes that the decoder had started would be missed by the clean-up. Run as a
script that imports the standard library only, since every ffmpeg is started through it:
`python -I -S launcher.py PARENT PROGRAM [ARGUMENT...]`.
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
SECCOMP_FILTER_FLAG_SPEC_ALLOW = 4  # else older kernels slow down processes with a filter
CLONE_THREAD = 0x10000

# By machine: its architecture number in a filter, the number of the system call `seccomp`, the
# numbers of `fork` and `vfork`, and that of `clone`, which starts threads too. `clone3` has one
# number everywhere.
MACHINES = {
    "x86_64": (0xC000003E, 317, (57, 58), 56),
    "aarch64": (0xC00000B7, 277, (), 220),
}
CLONE3 = 435
X32 = 0x40000000  # from here on x86-64 has every system call a second time

# BPF instructions: load a word of the system call, jump if equal, if greater or equal, if a bit is
# set, return.
LOAD, IF_EQUAL, IF_FROM, IF_BIT, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
NUMBER, ARCHITECTURE, FIRST_ARGUMENT = 0, 4, 16  # offsets of the words
ALLOW, REFUSE = 0x7FFF0000, 0x00050000


def wrap(argv: list[str]) -> list[str]:
    """The command that runs `argv` (its program as an absolute path) and dies with this thread.

    The kernel watches the thread, not the process: start the command from a thread that
    lives as long as the program has to, which in the media child is the main thread.
    """
    return [sys.executable, "-I", "-S", __file__, str(os.getpid()), *argv]


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when `parent` (a process id) ends."""
    if sys.platform != "linux":
        return  # only Linux has this; development elsewhere works without
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it ended before the call above
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


def forbid_new_processes() -> None:
    """Forbid this process, also after exec, to start processes (EAGAIN). Threads are allowed.

    RLIMIT_NPROC would not do: it counts all processes of the user, other workers included, and
    root is exempt. Needs no privilege. Does nothing where the kernel has no seccomp filters.
    """
    machine = MACHINES.get(os.uname().machine)
    if sys.platform != "linux" or machine is None:
        return  # development elsewhere works without
    architecture, _, starters, clone = machine
    forbid_gaining_privileges()
    add_filter(_filter(architecture, starters, clone))


def forbid_gaining_privileges() -> None:
    """Of this process and of all that it becomes. The kernel asks it of who restricts itself."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def add_filter(rules: list[Instruction]) -> None:
    """Put one more filter on the system calls of this process, on a machine of MACHINES."""
    program = Program(len(rules), (Instruction * len(rules))(*rules))
    flag = SECCOMP_FILTER_FLAG_SPEC_ALLOW
    number = MACHINES[os.uname().machine][1]
    ctypes.CDLL(None).syscall(number, SECCOMP_SET_MODE_FILTER, flag, ctypes.byref(program))


def checks_of_architecture(architecture: int, refuse: Instruction) -> list[Instruction]:
    """The beginning of a filter: numbers are those of this architecture; the number is loaded then."""
    return [
        Instruction(LOAD, 0, 0, ARCHITECTURE),
        Instruction(IF_EQUAL, 1, 0, architecture),
        refuse,  # the system calls of another architecture, which have other numbers
        Instruction(LOAD, 0, 0, NUMBER),
        *(Instruction(IF_FROM, 0, 1, X32), refuse),
    ]


def _filter(architecture: int, starters: tuple[int, ...], clone: int) -> list[Instruction]:
    """The filter program. A jump is the number of instructions to skip."""
    refuse = Instruction(RETURN, 0, 0, REFUSE | errno.EAGAIN)
    # glibc then asks again with `clone`, whose flags can be seen from here.
    unknown = Instruction(RETURN, 0, 0, REFUSE | errno.ENOSYS)
    allow = Instruction(RETURN, 0, 0, ALLOW)
    checks = checks_of_architecture(architecture, refuse)
    for number in starters:
        checks += [Instruction(IF_EQUAL, 0, 1, number), refuse]
    return [
        *checks,
        *(Instruction(IF_EQUAL, 0, 1, CLONE3), unknown),
        *(Instruction(IF_EQUAL, 1, 0, clone), allow),
        Instruction(LOAD, 0, 0, FIRST_ARGUMENT),
        *(Instruction(IF_BIT, 1, 0, CLONE_THREAD), refuse, allow),
    ]


def main() -> None:
    die_with_parent(int(sys.argv[1]))
    # Python ignores these two, and what is ignored stays ignored across exec: ffmpeg
    # would report a broken pipe or a full file instead of ending at once.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    forbid_new_processes()
    os.execv(sys.argv[2], sys.argv[2:])  # noqa: S606 - no shell is the point


if __name__ == "__main__":
    main()
