"""Student code that takes too much is ended."""

from __future__ import annotations

import pytest
from drivers.sandboxed import LINUX, asked, run

from mmulab.coursework import sandbox


def test_endless_loops_end() -> None:
    verdict = run("def answer(x):\n    while True: pass\n")
    assert verdict.kind == "cpu" and "1 s of CPU time; is there an endless loop?" in verdict.message
    stubborn, _ = asked(
        "import signal\nsignal.signal(signal.SIGXCPU, signal.SIG_IGN)\nwhile 1: pass"
    )
    assert stubborn.kind == "cpu" and "was killed, after 1 s of CPU time" in stubborn.message


def test_waiting_ends() -> None:
    source = "import time\ndef answer(x):\n    time.sleep(60)\n"
    verdict = run(source, sandbox.Limits(wall=0.5), imports=None)
    assert verdict.kind == "wall" and "did not finish in 0.5 s" in verdict.message


@LINUX
@pytest.mark.parametrize("text", ["return [0] * (1 << 33)", "s = 'x'\nwhile True: s += s"])
def test_memory_bombs_end(text: str) -> None:
    # Little memory and much time: a busy machine may take a second to hand out a gigabyte.
    verdict, _ = asked(text, sandbox.Limits(memory=128 << 20))
    assert verdict.kind == "memory" and "ran out of memory" in verdict.message
