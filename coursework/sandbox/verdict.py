"""What a run may take, and what became of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from mmulab.mmu.errors import InputError

if TYPE_CHECKING:
    import numpy as np

#: What a student's file may import unless an assignment says otherwise.
IMPORTS = (
    "__future__", "abc", "array", "bisect", "collections", "copy", "dataclasses", "enum",
    "fractions", "functools", "heapq", "itertools", "math", "numbers", "numpy", "operator",
    "random", "statistics", "string", "typing",
)  # fmt: skip


@dataclass(frozen=True)
class Limits:
    """What the student's file may take. All are assumptions, generous for coursework.

    cpu: seconds of CPU time, compiling included. wall: seconds of a batch, or of all answers
    of a conversation. call: seconds of one answer. memory: bytes of address space beyond what
    Python and its packages take. output: bytes of a result. printed: bytes of text. files: open
    at once.
    """

    cpu: float = 10
    wall: float = 60
    call: float = 5
    memory: int = 1 << 30
    output: int = 64 << 20
    printed: int = 64 << 10
    files: int = 32

    def __post_init__(self) -> None:
        for each in fields(self):
            if not getattr(self, each.name) > 0:
                raise InputError(f"sandbox limit {each.name}: expected more than 0")


LIMITS = Limits()

#: How a run may end; see `Verdict`.
KINDS = (
    "finished", "cpu", "wall", "memory", "recursion", "error", "syntax", "not allowed", "refused",
    "exit", "signal", "result", "printed",
)  # fmt: skip


@dataclass(frozen=True)
class Verdict:
    """What became of a run.

    ok: the driver came to its end. outputs: what it returned, arrays and plain values by
        name; their contents are the student's, and to be checked like any input.
    kind: how it ended, one of KINDS.
    message: why it did not come to its end, one sentence for the student. lines: those of
        the student's file that it was at, innermost last. printed: what it printed.
    layers: of protection that were in force. missing: why others were not.
    """

    ok: bool
    kind: str = "finished"
    message: str = ""
    lines: tuple[str, ...] = ()
    outputs: Mapping[str, np.ndarray | object] = field(default_factory=dict)
    printed: str = ""
    layers: tuple[str, ...] = ()
    missing: Mapping[str, str] = field(default_factory=dict)

    def array(self, name: str, shape: Sequence[int | None], most: int) -> np.ndarray | None:
        """The array of this name, int64, where it is one: of this shape (None: any length) and
        of at most `most` elements. Else None."""
        import numpy as np

        found = self.outputs.get(name)
        if not isinstance(found, np.ndarray) or found.dtype != np.int64 or found.size > most:
            return None
        if found.ndim != len(shape):
            return None
        fits = all(want in (None, have) for want, have in zip(shape, found.shape, strict=True))
        return found if fits else None

    def value(self, *names: str, kind: type) -> Any:
        """The plain value below these names, one after the other, where it is of exactly this
        type (bool is no int). Else None."""
        found: object = self.outputs
        for name in names:
            found = found.get(name) if isinstance(found, Mapping) else None
        return found if type(found) is kind else None
