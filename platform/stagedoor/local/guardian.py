"""Runs one command in a process group of its own, and never lets any of it outlive whoever asked for it.

Run as a plain file: `python -I -S guardian.py GRACE -- COMMAND...`; it imports the standard library only, so that it costs
next to nothing. The asker holds the other end of standard input: when that closes, for whatever reason (even SIGKILL), or
on SIGTERM, the command gets SIGTERM and, GRACE seconds later, everything it left behind gets SIGKILL.
The guardian adopts orphans (PR_SET_CHILD_SUBREAPER), so that a process that leaves the group is found as well.
Exit code: the command's, or 128 + signal.
"""

import ctypes
import os
import select
import signal
import sys
import time
from typing import Final

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_CHILD_SUBREAPER: Final = 36
_REST: Final = 3.0
"""Seconds that what the command left behind has between SIGTERM and SIGKILL."""
_CANNOT_RUN: Final = 127


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def _spawn(command: list[str]) -> int:
    """Start `command` as the leader of its own group; it gets SIGTERM should the guardian be killed."""
    parent = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    try:
        os.setpgid(0, 0)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        signal.set_wakeup_fd(-1)
        _prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        if os.getppid() == parent:
            os.execvp(command[0], command)  # noqa: S606  the command is the asker's own
    except OSError as error:
        os.write(2, f"{command[0]}: {error.strerror}\n".encode())
    os._exit(_CANNOT_RUN)


def _reap(pid: int) -> tuple[int | None, bool]:
    """Collect every finished descendant. Returns (exit code of `pid` if it was among them, whether any still lives)."""
    code = None
    while True:
        try:
            gone, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return code, False
        if gone == 0:
            return code, True
        if gone == pid:
            code = os.waitstatus_to_exitcode(status)


def _children() -> list[int]:
    """Direct children, orphans that were adopted among them (Linux; elsewhere the group has to do)."""
    me = os.getpid()
    try:
        with open(f"/proc/{me}/task/{me}/children", encoding="ascii") as file:  # noqa: PTH123  pathlib would cost start time
            return [int(word) for word in file.read().split()]
    except OSError:
        return []


def _signal_all(group: int, number: int) -> None:
    for send, target in ((os.killpg, group), *((os.kill, child) for child in _children())):
        try:
            send(target, number)
        except (ProcessLookupError, PermissionError):
            continue


def _pause(wake: int, seconds: float) -> None:
    """Sleep until a signal comes, and forget that it came."""
    if select.select([wake], [], [], seconds)[0]:
        os.read(wake, 1024)


def _await(pid: int, wake: int, seconds: float) -> int | None:
    """Wait until `pid` has ended or the time is over; its exit code, if it has."""
    end = time.monotonic() + seconds
    code, _ = _reap(pid)
    while code is None and time.monotonic() < end:
        _pause(wake, 0.1)
        code, _ = _reap(pid)
    return code


def guard(command: list[str], grace: float) -> int:
    """Run `command` to its end, or to the end of whoever holds standard input."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    wake, waker = os.pipe()
    os.set_blocking(waker, False)
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD):
        signal.signal(number, lambda *_: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    pid = _spawn(command)
    code, _ = _reap(pid)
    while code is None:
        ready, _, _ = select.select([0, wake], [], [])
        asked = bool(ready) and 0 in ready and os.read(0, 1024) == b""
        signals = os.read(wake, 1024) if wake in ready else b""
        code, _ = _reap(pid)
        if code is None and (asked or signal.SIGTERM in signals or signal.SIGHUP in signals):
            os.kill(pid, signal.SIGTERM)
            code = _await(pid, wake, grace)
            break
    return _sweep(pid, wake, code)


def _sweep(pid: int, wake: int, code: int | None) -> int:
    """End whatever is left: first asked, then killed, again and again, since what dies leaves orphans."""
    kill_from = time.monotonic() + (_REST if code is not None else 0.0)
    asked = False
    while (now := time.monotonic()) < kill_from + _REST:
        seen, living = _reap(pid)
        code = seen if code is None else code
        if not living:
            break
        if now >= kill_from or not asked:
            _signal_all(pid, signal.SIGKILL if now >= kill_from else signal.SIGTERM)
            asked = True
        _pause(wake, 0.05)
    if code is None:
        return 128 + signal.SIGKILL
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(guard(sys.argv[3:], float(sys.argv[1])))
