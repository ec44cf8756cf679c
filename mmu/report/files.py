"""Writing files whole or not at all."""

from __future__ import annotations

import os
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from mmulab.mmu.errors import InputError, RunError, printable
from mmulab.mmu.outputs import taking_their_places

_MOST_LINKS = 40  # as Linux: path_resolution(7)
_SUFFIX = ".tmp"


def check_writable(path: str | Path, what: str) -> Path:
    """The path, if it can be written by `replacing`. Raises InputError naming what it is for."""
    target = Path(path)
    shown = printable(str(target))
    found = _followed(target)
    if isinstance(found, int):
        if not _is_open_for_writing(found):
            raise InputError(f"{what} {shown}: descriptor {found} is not open for writing")
        return target
    about = _about(found)
    if about is not None and stat.S_ISDIR(about.st_mode):
        raise InputError(f"{what} {shown}: is a directory; expected a file name")
    if about is not None and stat.S_ISSOCK(about.st_mode):
        raise InputError(f"{what} {shown}: is a socket; expected a file, pipe or device")
    parent = found.parent if os.path.islink(target) else target.parent
    if not parent.is_dir():
        raise InputError(f"{what} {shown}: the directory {printable(str(parent))} does not exist")
    if about is None:
        _check_name(found, f"{what} {shown}")
    elif not os.access(found, os.W_OK):
        raise InputError(f"{what} {shown}: is not writable")
    if (about is None or stat.S_ISREG(about.st_mode)) and not os.access(parent, os.W_OK):
        raise InputError(f"{what} {shown}: the directory {printable(str(parent))} is not writable")
    return target


def check_apart(paths: Mapping[str, str | Path]) -> None:
    """Raises InputError where two outputs, by what each is for, are one file. '-' is standard
    output. Devices such as /dev/null may stand for several."""
    seen: dict[object, str] = {}
    for what, path in paths.items():
        found = 1 if path == "-" else _followed(Path(path))
        try:
            about = os.stat(found)
        except OSError:
            key: object = found
        else:
            if stat.S_ISCHR(about.st_mode) and not isinstance(found, int):
                continue
            key = (about.st_dev, about.st_ino)
        if key in seen:
            raise InputError(
                f"{seen[key]} and {what}: {printable(str(path))}: the same file; expected two"
            )
        seen[key] = what


@contextmanager
def replacing(path: str | Path, name: str = "") -> Iterator[Path]:
    """A temporary file, which the target becomes if all goes well; none is left in any case, but
    by a process that is killed. name: of it, for a target that only one process writes to: one that
    is there is taken; else it is new.

    A link is followed. A file that is there keeps its mode and, where that is allowed, its
    owner; a new one gets 0666 less the umask. What is no regular file (a device, a pipe, a
    descriptor such as /dev/stdout) is written to in the end. Within `together`, the end is the
    end of that. Raises RunError where it can't be.
    """
    outputs = _together or _Outputs()
    try:
        yield outputs.open(path, name)
        if outputs is not _together:
            outputs.finish()
    finally:
        if outputs is not _together:
            outputs.clear()


@contextmanager
def together() -> Iterator[None]:
    """All outputs that are written within it take their places when it ends, or none does."""
    global _together
    outer, outputs = _together, _Outputs()
    _together = outputs
    try:
        yield
        outputs.finish()
    finally:
        _together = outer
        outputs.clear()


class _Output(NamedTuple):
    name: str | Path  # as it was given
    target: Path | int
    about: os.stat_result | None  # of what is there
    temporary: Path

    @property
    def is_file(self) -> bool:
        """False for what is written to instead of replaced."""
        is_other = self.about is not None and not stat.S_ISREG(self.about.st_mode)
        return not isinstance(self.target, int) and not is_other


class _Outputs:
    """Temporary files and what they will be. Each is noted before it is made, so that whatever
    happens in between none is left."""

    def __init__(self) -> None:
        self._outputs: list[_Output] = []

    def open(self, path: str | Path, known: str = "") -> Path:
        target = _followed(Path(path))
        name = f"mmulab-{secrets.token_hex(8)}{_SUFFIX}"
        output = _Output(path, target, _about(target), Path(name))
        if isinstance(target, Path) and output.is_file:
            output = output._replace(temporary=target.parent / (known or f".{name}"))
            if known:
                output.temporary.unlink(missing_ok=True)
        else:
            output = output._replace(temporary=Path(tempfile.gettempdir()) / name)
        self._outputs.append(output)
        is_new = output.is_file and output.about is None
        _create(output.temporary, 0o666 if is_new else 0o600)
        return output.temporary

    def finish(self) -> None:
        """Writes to what is no file, which may take its time; then replaces the files."""
        for each in self._outputs:
            if not each.is_file:
                _pour(each.temporary, each.target, each.name)
            elif each.about is not None:
                _make_alike(each.temporary, each.about)
        with taking_their_places():
            for each in self._outputs:
                if not isinstance(each.target, int) and each.is_file:
                    os.replace(each.temporary, each.target)

    def clear(self) -> None:
        for each in self._outputs:
            each.temporary.unlink(missing_ok=True)


_together: _Outputs | None = None


def _followed(path: Path) -> Path | int:
    """Where links lead to: a path whose last part is no link, or an open descriptor's number."""
    descriptors = {os.path.realpath(each) for each in ("/dev/fd", "/proc/self/fd")}
    here = os.fspath(path)
    for _ in range(_MOST_LINKS):
        folder, name = os.path.split(here)
        folder = os.path.realpath(folder or os.curdir)
        if folder in descriptors and name.isdigit():
            return int(name)
        here = os.path.join(folder, name)
        if not os.path.islink(here):
            return Path(here)
        here = os.path.join(folder, os.readlink(here))
    raise InputError(f"{path}: too many symbolic links")


def _about(target: Path | int) -> os.stat_result | None:
    try:
        return os.stat(target)
    except OSError:
        return None


def _is_open_for_writing(number: int) -> bool:
    try:
        os.write(number, b"")
    except OSError:
        return False
    return True


def _check_name(path: Path, what: str) -> None:
    """Raises InputError for a name that the file system does not take."""
    try:
        os.lstat(path)
    except FileNotFoundError:
        pass
    except (OSError, ValueError) as error:
        raise InputError(f"{what}: {getattr(error, 'strerror', None) or error}") from None


def _create(path: Path, mode: int) -> None:
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode))


def _make_alike(path: Path, about: os.stat_result) -> None:
    """Gives a file the owner, as far as that is allowed, and the mode of another."""
    if hasattr(os, "chown"):
        for owner, group in ((-1, about.st_gid), (about.st_uid, -1)):
            with suppress(OSError):
                os.chown(path, owner, group)
    path.chmod(stat.S_IMODE(about.st_mode) & 0o777)


def _pour(source: Path, target: Path | int, name: str | Path) -> None:
    """Writes what a file holds to what is no regular file."""
    try:
        handle = os.dup(target) if isinstance(target, int) else os.open(target, os.O_WRONLY)
        with open(handle, "wb") as out, open(source, "rb") as content:
            shutil.copyfileobj(content, out)
    except OSError as error:
        raise RunError(f"{name}: {error.strerror or error}") from None
