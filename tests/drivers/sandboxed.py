"""Student code, run in the sandbox."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

from mmulab.coursework import sandbox

LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux")
SHORT = sandbox.Limits(cpu=1, wall=60, call=60)


def run(source: str, limits: sandbox.Limits = SHORT, **options: Any) -> sandbox.Verdict:
    inputs = {"x": np.arange(10, dtype=np.int64)}
    return sandbox.run(source, "drivers.student", inputs, limits, name="work.py", **options)


def body(text: str) -> sandbox.Verdict:
    """What becomes of a function with this body; it may import anything."""
    lines = "".join(f"    {line}\n" for line in text.splitlines())
    return run(f"def answer(x):\n{lines}", imports=None)


def asked(text: str, limits: sandbox.Limits = SHORT) -> tuple[sandbox.Verdict, Any]:
    """The same in a conversation, which starts faster for want of NumPy; (verdict, answer)."""
    lines = "".join(f"    {line}\n" for line in text.splitlines())
    preload = ["numpy"] if "numpy" in text else []
    answer = None
    try:
        with sandbox.Conversation(
            f"def answer():\n{lines}", "answer", limits, imports=None, preload=preload
        ) as talk:
            answer = talk.ask()
    except sandbox.Stopped as stopped:
        return stopped.verdict, None
    return talk.verdict(), answer
