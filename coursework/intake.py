"""Files that others wrote: submissions and rosters, read with a limit and no surprises."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from mmulab.coursework.identity import MOST_CHARACTERS, checked_student
from mmulab.mmu.errors import InputError

MOST_BYTES = 1_000_000  # of each file that is handed in
MOST_STUDENTS = 100_000  # of a roster


def read_file(path: Path, most: int = MOST_BYTES, links: bool = False) -> str | None:
    """The text of a regular file; None where there is none. links: follow symbolic ones.

    Raises InputError for anything else: a link (to a file of the grader's, say), a device
    or pipe, which might never end, a file above `most` bytes, or not UTF-8.
    """
    try:
        # O_NONBLOCK: opening a pipe must not wait for its writer.
        flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
        handle = os.open(path, flags if links else flags | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    except OSError as error:
        reason = "is a symbolic link" if path.is_symlink() else error.strerror
        raise InputError(f"{path.name}: {reason}; expected a regular file") from None
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise InputError(f"{path.name}: is not a regular file")
    with os.fdopen(handle, "rb") as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise InputError(f"{path.name}: is larger than {most:,} bytes, the most that is read")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{path.name}: is not UTF-8 text, at byte {error.start}") from None


def read_roster(path: str | Path) -> list[str]:
    """Student ids, one a line; empty lines and those that begin with # are skipped.

    Raises InputError for a bad id, one that stands there twice, or none.
    """
    text = read_file(Path(path), MOST_STUDENTS * MOST_CHARACTERS, links=True)
    if text is None:
        raise InputError(f"roster {path}: no such file")
    seen: dict[str, int] = {}
    for number, line in enumerate(text.removeprefix("\ufeff").splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            student = checked_student(line)
        except InputError as error:
            raise InputError(f"roster {path}: line {number}: {error}") from None
        if student in seen:
            raise InputError(
                f"roster {path}: line {number}: {student!r} stands on line {seen[student]} too"
            )
        seen[student] = number
    if not seen:
        raise InputError(f"roster {path}: no student in it; expected one id a line")
    if len(seen) > MOST_STUDENTS:
        raise InputError(f"roster {path}: {len(seen):,} students; at most {MOST_STUDENTS:,}")
    return list(seen)
