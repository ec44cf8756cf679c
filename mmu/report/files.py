"""Writing files whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mmulab.mmu.errors import InputError, printable

#: Bytes of a file's name that go into that of its temporary file, which is longer.
_LONGEST_END = 200


def check_writable(path: str | Path, what: str) -> Path:
    """The path, if a file can be made there. Raises InputError naming what it is for."""
    target = Path(path)
    shown, parent = (printable(str(each)) for each in (target, target.parent))
    try:
        is_directory = target.is_dir()
    except OSError as error:  # a name that is too long
        raise InputError(f"{what} {shown}: {error.strerror}") from None
    if is_directory:
        raise InputError(f"{what} {shown}: is a directory; expected a file name")
    if not target.parent.is_dir():
        raise InputError(f"{what} {shown}: the directory {parent} does not exist")
    if not os.access(target.parent, os.W_OK):
        raise InputError(f"{what} {shown}: the directory {parent} is not writable")
    return target


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A temporary file beside the target, which it becomes if all goes well.

    It keeps the target's suffixes, so that writers that look at them still work.
    """
    target = Path(path)
    end = os.fsdecode(os.fsencode(target.name)[-_LONGEST_END:])
    handle, name = tempfile.mkstemp(prefix=".", suffix="-" + end, dir=target.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        mask = os.umask(0)
        os.umask(mask)
        temporary.chmod(0o666 & ~mask)
        os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
