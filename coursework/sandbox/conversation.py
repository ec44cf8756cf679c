"""A conversation: the grader's simulator asks a function of the student's, again and again."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from mmulab.coursework.sandbox.inside import wire
from mmulab.coursework.sandbox.process import Child, Ended
from mmulab.coursework.sandbox.verdict import IMPORTS, LIMITS, Limits, Verdict


class Stopped(Exception):
    """The student's function can be asked no more; verdict says why."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(verdict.message)
        self.verdict = verdict


class Conversation:
    """A student's function in a child of its own.

        with Conversation(source, "targets", name="policy.py") as policy:
            answer = policy.ask(vms, free, total)

    source: the file's text, or a Path to it. function: which of its functions. What it keeps
    between calls, in variables of the module, stays. limits: `call` is of each answer, `cpu` and
    `wall` of all together. imports, preload: as for `run`. Use it in the thread that made it.

    Raises Stopped, where the file cannot be loaded or has no such function, and RunError.
    """

    def __init__(
        self,
        source: str | Path,
        function: str,
        limits: Limits = LIMITS,
        *,
        name: str = "the file",
        imports: Sequence[str] | None = IMPORTS,
        preload: Sequence[str] = (),
    ) -> None:
        if isinstance(source, Path):
            name, source = source.name, source.read_text(encoding="utf-8")
        self._limits = limits
        self._left = limits.wall
        self._stopped: Verdict | None = None
        told = {
            "mode": "conversation",
            "driver": "",
            "source": source,
            "name": name,
            "function": function,
            "imports": None if imports is None else list(imports),
        }
        try:
            self._child = Child(told, limits, tuple(preload))
        except wire.BadMessage:
            message = f"is larger than {wire.MOST_HEADER >> 1:,} bytes"
            raise Stopped(Verdict(False, "not allowed", message)) from None
        try:
            self._receive("loading")
        except BaseException:  # whoever made this has nothing to close yet
            self._child.close()
            raise

    def ask(self, *arguments: Any) -> Any:
        """What the function returns for these arguments, both of plain values (JSON: a tuple
        becomes a list). The answer is the student's: check it like any input. Raises Stopped,
        and does so again for each further question."""
        if self._stopped is not None:
            raise Stopped(self._stopped)
        self._child.send({"arguments": list(arguments)})
        return self._receive("answering").get("answer")

    def _receive(self, doing: str) -> dict[str, Any]:
        began = time.monotonic()
        most = min(self._limits.call, max(self._left, 0.001))
        try:
            values, _ = self._child.receive(most)
            self._left -= time.monotonic() - began
            answer = values.get("ok")
            if not isinstance(answer, dict):
                raise Ended("result", "returned something that is no answer")
            return answer
        except Ended as ended:
            if ended.kind == "wall":
                text = f"{doing} took longer than {self._limits.call:g} s; an endless loop?"
                if most < self._limits.call:
                    text = f"all answers together took longer than {self._limits.wall:g} s"
                ended = Ended("wall", text)
            self._stopped = self._child.verdict(ended)
            self._child.close()
            raise Stopped(self._stopped) from None

    def verdict(self) -> Verdict:
        """How things stand: ok while the function can be asked."""
        return self._stopped or self._child.verdict()

    def close(self) -> None:
        """Ends the child. A verdict of a conversation that went well stays ok."""
        if self._stopped is None:
            self._stopped = self._child.verdict()
        self._child.close()

    def __enter__(self) -> Conversation:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
