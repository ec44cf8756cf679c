"""An audit hook (PEP 578): Python itself refuses what student code has no business with.

It works on every system, and says what was tried in words. It is no boundary: code that
sets out to can get round it, through ctypes or a bug in an extension module; where the kernel
helps, `landlock` and `seccomp` stand behind it.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from .places import Places

#: Beginnings of the names of events that are refused, with what to say. The events are listed
#: in the Python documentation, "Audit events table".
_REFUSED = {
    "os.remove": "delete a file", "os.rmdir": "delete a directory", "shutil.": "change files",
    "os.rename": "rename a file", "os.mkdir": "make a directory", "os.link": "make a link",
    "os.symlink": "make a link", "os.truncate": "change a file", "os.utime": "change a file",
    "os.chmod": "change a file's rights", "os.chown": "change a file's owner",
    "os.chflags": "change a file", "os.setxattr": "change a file", "os.chdir": "change directory",
    "os.removexattr": "change a file", "os.lockf": "lock a file", "fcntl.": "change an open file",
    "os.system": "run a program", "os.exec": "run a program", "os.spawn": "run a program",
    "os.posix_spawn": "run a program", "os.startfile": "run a program", "pty.": "run a program",
    "subprocess.": "run a program", "os.fork": "make a process", "os.kill": "send a signal",
    "signal.": "send a signal", "socket.": "use the network", "ssl.": "use the network",
    "_thread.start": "make a thread",
    "urllib.": "use the network", "http.": "use the network", "ftplib.": "use the network",
    "smtplib.": "use the network", "poplib.": "use the network", "imaplib.": "use the network",
    "telnetlib.": "use the network", "nntplib.": "use the network", "sqlite3.": "open a database",
    "ctypes.dlopen": "load a library", "ctypes.dlsym": "call a library",
    "ctypes.call_function": "call a library", "resource.": "change its limits",
    "sys.addaudithook": "add an audit hook", "syslog.": "write a log",
    "winreg.": "use the registry",
    "tempfile.": "make a file", "mmap.": "map a file", "glob.": "list files",
    "webbrowser.": "open a browser",
}  # fmt: skip
_LISTING = ("os.listdir", "os.scandir", "os.walk", "os.fwalk")
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class Refused(PermissionError):
    """What the student's file tried, in words."""


class Hook:
    """found: directories, and files, that may be read."""

    def __init__(self, found: Places, allowed: tuple[str, ...] = ()) -> None:
        places = {os.path.realpath(path) for path in found.readable}
        self._listed = frozenset(map(os.path.realpath, found.listed))
        self._files = frozenset(places)
        self._below = tuple(sorted(place + os.sep for place in places))
        self._refused = {k: v for k, v in _REFUSED.items() if k not in allowed}
        self._beginnings = tuple(self._refused)
        self._busy = False

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            self._open(*arguments)
        elif event in _LISTING:
            if not self._readable(arguments[0] if arguments else ".", self._listed):
                raise Refused("tried to list a directory, which is not allowed here")
        elif event.startswith(self._beginnings):
            what = next(v for k, v in self._refused.items() if event.startswith(k))
            raise Refused(f"tried to {what}, which is not allowed here")

    def _open(self, path: Any, mode: Any, flags: Any) -> None:
        if isinstance(path, int) and not isinstance(path, bool):
            return  # what is open already; its file was checked when it was opened
        writes = isinstance(flags, int) and flags & _WRITING
        if writes or (isinstance(mode, str) and set(mode) & set("wax+")):
            raise Refused("tried to open a file for writing, which is not allowed here")
        if not self._readable(path):
            raise Refused("tried to read a file, which is not allowed here")

    def _readable(self, path: Any, also: frozenset[str] = frozenset()) -> bool:
        try:
            name = os.path.realpath(os.fsdecode(path))
        except (TypeError, ValueError, OSError):
            return False
        return name in self._files or name in also or (name + os.sep).startswith(self._below)


def install(found: Places, allowed: tuple[str, ...] = ()) -> None:
    """Puts the hook on this interpreter, for good. allowed: keys of the table above."""
    sys.addaudithook(Hook(found, allowed))
