"""Writing files whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mmulab.mmu.errors import InputError


def check_writable(path: str | Path, what: str) -> Path:
    """The path, if a file can be made there. Raises InputError naming what it is for."""
    target = Path(path)
    if target.is_dir():
        raise InputError(f"{what} {target}: is a directory; expected a file name")
    if not target.parent.is_dir():
        raise InputError(f"{what} {target}: the directory {target.parent} does not exist")
    if not os.access(target.parent, os.W_OK):
        raise InputError(f"{what} {target}: the directory {target.parent} is not writable")
    return target


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A temporary file beside the target, which it becomes if all goes well.

    It keeps the target's suffixes, so that writers that look at them still work.
    """
    target = Path(path)
    handle, name = tempfile.mkstemp(prefix=".", suffix="-" + target.name, dir=target.parent)
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
