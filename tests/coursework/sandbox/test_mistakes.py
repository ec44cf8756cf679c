"""What is said of mistakes in student code."""

from __future__ import annotations

from pathlib import Path

import pytest
from drivers.sandboxed import run


@pytest.mark.parametrize(
    ("source", "kind", "said"),
    [
        ("x = 1\ndef answer(:\n", "syntax", "line 2: not Python: invalid syntax"),
        ("def answer(x):\n    return x[99]\n", "error", "line 2, in answer: IndexError"),
        ("1 / 0\n", "error", "line 1: ZeroDivisionError: division by zero"),
        ("pass\n", "error", "ValueError: there is no function answer"),
        ("import os\n", "not allowed", "line 1: imports 'os', which is not available here"),
        ("from os.path import join\n", "not allowed", "line 1: imports 'os.path'"),
        ("from . import secrets\n", "not allowed", "line 1: imports '.'"),
        ("def answer(x):\n    return answer(x)\n", "recursion", "RecursionError"),
        ("raise SystemExit(0)\n", "exit", "line 1: ended the program by itself"),
        ("raise KeyboardInterrupt\n", "error", "line 1: KeyboardInterrupt"),
        ("def answer(x):\n    return {1}\n", "error", "a value that JSON cannot express"),
        ("import numpy\ndef answer(x):\n    return x.astype(object)\n", "error", "of object"),
        ("import numpy\ndef answer(x):\n    return numpy.zeros((1,) * 5)\n", "error", "5-dim"),
        ("\0", "not allowed", "not Python"),
        ("x = " + "(" * 5000, "syntax", "line 1"),
        ("x = " + "-" * 100_000 + "1", "not allowed", "nested too deeply"),
        ("print('x' * 100_000)\n", "printed", "printed more than 65,536 bytes"),
        (
            "import numpy\ndef answer(x):\n    return numpy.zeros(9_000_000)\n",
            "result",
            "returned more than 67,108,864 bytes",
        ),
    ],
)
def test_mistakes_are_told_readably(source: str, kind: str, said: str) -> None:
    verdict = run(source)
    assert (verdict.kind, verdict.ok) == (kind, False) and said in verdict.message, verdict
    assert str(Path.cwd()) not in verdict.message and "Traceback" not in verdict.message


def test_only_lines_of_the_file_are_shown() -> None:
    verdict = run("def f(v):\n    return v.index(7)\ndef answer(x):\n    return f([])\n")
    assert verdict.lines == ("line 4, in answer: return f([])", "line 2, in f: return v.index(7)")


def test_text_cannot_steer_a_terminal() -> None:
    verdict = run("print('a\\x1b[2Jb\\u202ec')\nraise ValueError('\\x1b]0;title\\x07')\n")
    assert verdict.printed == "a?[2Jb?c\n" and "\x1b" not in verdict.message
