"""What went wrong in a student's file, in words that help its author."""

from __future__ import annotations

import ast
import re
import traceback
from typing import Any

from .hook import Refused

_MOST_LINES, _MOST_CHARACTERS = 12, 300
#: Lines of numba's messages that say nothing about the student's code.
_NUMBA_NOISE = re.compile(
    r"^(Failed in nopython mode|During:|\[\d+\] During:|File \"|This error|There are \d+ candidate|"
    r"To see Python/NumPy|For more information|https?:|Enable logging|Raised from|"
    r"This is not usually|Please report)"
)


class NotAllowed(Exception):
    """The file breaks a rule of the assignment; says which, and on which line."""


def describe(error: BaseException, file: str) -> dict[str, Any]:
    """{"kind", "text", "lines"}: lines are those of the student's file, innermost last."""
    lines = [
        f"line {frame.lineno}, in {frame.name}: {frame.line or ''}"[:_MOST_CHARACTERS]
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename == file
    ]
    where = re.match(r"line \d+(, in (?!<module>)[^:]*)?", lines[-1]) if lines else None
    place = f"{where.group()}: " if where else ""
    if isinstance(error, SyntaxError) and error.filename == file:
        return {"kind": "syntax", "text": f"line {error.lineno}: not Python: {error.msg}",
                "lines": []}  # fmt: skip
    if isinstance(error, MemoryError):
        return {"kind": "memory", "text": f"{place}ran out of memory", "lines": lines}
    if isinstance(error, NotAllowed):
        return {"kind": "not allowed", "text": str(error), "lines": []}
    if isinstance(error, Refused):
        return {"kind": "refused", "text": f"{place}{error}", "lines": lines[-_MOST_LINES:]}
    if isinstance(error, SystemExit):
        return {"kind": "exit", "text": f"{place}ended the program by itself", "lines": lines}
    kind = "recursion" if isinstance(error, RecursionError) else "error"
    text = f"{place}{type(error).__name__}: {_message(error)}"
    return {"kind": kind, "text": text, "lines": lines[-_MOST_LINES:]}


def _message(error: BaseException) -> str:
    """The message; numba's are long, and most of it is not for the student."""
    try:
        text = str(error)
    except Exception:  # its __str__ is the student's
        return "(without a message)"
    if type(error).__module__.startswith("numba"):
        kept = [
            line.strip()
            for line in text.splitlines()
            if line.strip() and not _NUMBA_NOISE.match(line.strip())
        ]
        where = re.search(r'File "[^"]*", line (\d+)', text)
        text = (f"line {where.group(1)}: " if where else "") + " ".join(kept[:4])
    return text[: 2 * _MOST_CHARACTERS] or "(without a message)"


def check_imports(tree: ast.Module, allowed: tuple[str, ...]) -> None:
    """Raises NotAllowed for an import of anything else. Readable, and no boundary."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Import | ast.ImportFrom):
            continue
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            names = [node.module or "."]
        for name in names:
            if name.partition(".")[0] not in allowed:
                raise NotAllowed(
                    f"line {node.lineno}: imports {name!r}, which is not available here; "
                    f"these are: {', '.join(allowed) or 'none'}"
                )
