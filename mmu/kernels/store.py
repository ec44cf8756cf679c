"""Where compiled code is kept: one file an entry, checked before it is believed.

A file is written beside its place and moved there, so that no process sees half of one.
Its head holds a digest of its name and content: an empty, truncated, overwritten or foreign
file is noticed, removed and compiled anew. Where nothing can be kept (no home directory, no
permission, no room), a run goes on without and says so once.

The files hold pickles, which are code. A directory that somebody else may write to is
therefore not used.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import struct
import sys
import time
from contextlib import suppress

try:
    import fcntl
except ImportError:  # Windows: what two processes need at once, both compile
    fcntl = None  # type: ignore[assignment]

SUFFIX = ".mmulab"  # the directory may be shared with others

_MAGIC = b"mmulab\r\n"
_VERSION = 1
_HEAD = struct.Struct("<8sI32sQ")  # magic, version, digest of name and content, bytes of content

#: Bytes that all entries may take, and seconds after which one that is not used is removed.
MOST_BYTES = 512 << 20
KEPT = 30 * 86400
_DAY = 86400

#: Seconds to wait for another process that compiles the same; it may have been stopped.
PATIENCE = 600
_LOOK_AGAIN = 0.02

_said = False
_tidied: set[str] = set()


class NoPlaceError(OSError):
    """There is no directory to keep compiled code in. Its text says why."""


def directory() -> str:
    """Where compiled code is kept; it need not exist. Raises NoPlaceError where there is no
    such place, or somebody else may write to it."""
    path = _chosen()
    try:
        about = os.stat(path)
    except OSError:
        return path
    if hasattr(os, "geteuid"):
        if about.st_uid != os.geteuid():
            raise NoPlaceError(f"{path} belongs to another user")
        if about.st_mode & 0o022:
            raise NoPlaceError(f"others may write to {path}")
    return path


def _chosen() -> str:
    if root := os.environ.get("NUMBA_CACHE_DIR"):
        return os.path.abspath(root)
    base = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG Base Directory Specification has a relative path ignored.
    if sys.platform == "darwin" or not os.path.isabs(base):
        home = os.path.expanduser("~")
        if not os.path.isabs(home) or not os.environ.get("HOME", home):
            raise NoPlaceError("there is no home directory")
        base = os.path.join(home, *_CACHES)
    return os.path.join(base, "mmulab")


_CACHES = ("Library", "Caches") if sys.platform == "darwin" else (".cache",)


def say_no_place(error: OSError) -> None:
    """Says, once, that each run compiles anew, and why."""
    global _said
    if _said or sys.stderr is None:
        return
    _said = True
    why = str(error)
    if not isinstance(error, NoPlaceError):
        why = ": ".join(filter(None, [str(error.filename or ""), error.strerror or why]))
    with suppress(OSError, ValueError):
        print(
            f"mmulab: no place to keep compiled code ({why}); each run compiles anew",
            file=sys.stderr,
        )


def read(name: str) -> memoryview | None:
    """The content of a file; None where there is none that can be believed."""
    try:
        path = os.path.join(directory(), name)
        with open(path, "rb") as file:
            used = os.fstat(file.fileno()).st_mtime
            whole = file.read()
    except NoPlaceError as error:
        say_no_place(error)
        return None
    except OSError:
        return None
    content = memoryview(whole)[_HEAD.size :]
    if whole[: _HEAD.size] != _head(name, content):
        remove(name)
        return None
    if time.time() - used > _DAY:
        with suppress(OSError):
            os.utime(path)  # when it was last used, to the day: see _tidy
    return content


def _head(name: str, content: bytes | memoryview) -> bytes:
    digest = hashlib.sha256(name.encode())
    digest.update(content)
    return _HEAD.pack(_MAGIC, _VERSION, digest.digest(), len(content))


def has(name: str) -> bool:
    """True where there is a file of the right length; `read` checks what it holds."""
    try:
        with open(os.path.join(directory(), name), "rb") as file:
            head = file.read(_HEAD.size)
            size = os.fstat(file.fileno()).st_size
    except OSError:
        return False
    if len(head) < _HEAD.size:
        return False
    magic, version, _, length = _HEAD.unpack(head)
    return (magic, version, _HEAD.size + length) == (_MAGIC, _VERSION, size)


def remove(name: str) -> None:
    """Removes a file, if it is there and can be removed."""
    with suppress(OSError):
        os.unlink(os.path.join(directory(), name))


def write(name: str, content: bytes) -> bool:
    """Keeps a file; False where it can't be kept, which is said once."""
    try:
        folder = directory()
        os.makedirs(folder, mode=0o700, exist_ok=True)
        path = os.path.join(folder, name)
        _write_whole(path, _head(name, content) + content)
    except OSError as error:
        say_no_place(error)
        return False
    if folder not in _tidied:
        _tidied.add(folder)
        _tidy(folder)
    return True


def _write_whole(path: str, content: bytes) -> None:
    temporary = f"{path}.{secrets.token_hex(8)}.tmp"
    file = os.open(
        temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600
    )
    try:
        try:
            left = memoryview(content)
            while left:
                left = left[os.write(file, left) :]
        finally:
            os.close(file)
        os.replace(temporary, path)
    except BaseException as error:
        with suppress(OSError):
            os.unlink(temporary)
        if isinstance(error, OSError):
            error.filename = error.filename or os.path.dirname(path)
        raise


def _tidy(folder: str) -> None:
    """Removes what has not been used for long, the oldest of too much, and what processes
    that were killed have left."""
    now = time.time()
    kept = []
    with suppress(OSError), os.scandir(folder) as files:
        for file in files:
            with suppress(OSError):
                about = file.stat()
                if file.name.endswith(SUFFIX):
                    kept.append((about.st_mtime, about.st_size, file.path))
                elif f"{SUFFIX}." not in file.name or now - about.st_mtime < _DAY:
                    continue
                elif file.name.endswith(".tmp"):
                    os.unlink(file.path)
                elif file.name.endswith(".lock"):
                    left = _opened(file.path)
                    if left is not None:
                        Lock(file.path, left).release()
    total = 0
    for used, size, path in sorted(kept, reverse=True):
        total += size
        if total > MOST_BYTES or now - used > KEPT:
            with suppress(OSError):
                os.unlink(path)


class _NoLocksError(OSError):
    """A file system without locks."""


class Lock:
    """The right to compile what a file will hold. It ends with the process that has it."""

    def __init__(self, path: str, file: int) -> None:
        self._path, self._file = path, file

    def release(self) -> None:
        """Gives the right up. The lock file goes first: see `_opened`."""
        with suppress(OSError):
            os.unlink(self._path)
        with suppress(OSError):
            fcntl.flock(self._file, fcntl.LOCK_UN)  # a forked child may share the file
        os.close(self._file)


def lock(name: str, patience: float = PATIENCE) -> tuple[bool, Lock | None]:
    """(may one compile, the lock): waits up to `patience` seconds while another process has
    it. One may compile without a lock where none can be made, or none is given up in time."""
    if fcntl is None:
        return True, None
    try:
        folder = directory()
        os.makedirs(folder, mode=0o700, exist_ok=True)
        path = os.path.join(folder, f"{name}.lock")
        until = time.monotonic() + patience
        while True:
            file = _opened(path)
            if file is not None:
                return True, Lock(path, file)
            if time.monotonic() >= until:
                return patience > 0, None
            time.sleep(_LOOK_AGAIN)
    except _NoLocksError:
        return True, None
    except OSError as error:
        say_no_place(error)
        return True, None


def can_lock() -> bool:
    """True where processes can be kept apart, so that several may share the work."""
    may, held = lock("mmulab", 1)
    if held is not None:
        held.release()
    return may and held is not None


def _opened(path: str) -> int | None:
    """A lock file that this process has locked; None where another has.

    Whoever has the lock removes the file as it ends. One that was opened before and
    locked after is no longer what its name leads to, and does not count.
    """
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(file), os.stat(path)):
            return file
    except (BlockingIOError, FileNotFoundError):
        pass
    except OSError as error:
        os.close(file)
        raise _NoLocksError(*error.args) from None
    os.close(file)
    return None
