"""Student code that works: what comes back, and how conversations end."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from drivers.sandboxed import body, run

from mmulab.coursework import sandbox


def test_arrays_and_values_come_back() -> None:
    verdict = run(
        "import numpy as np\ndef answer(x):\n    print('so far')\n    return x[::-1] * 2\n"
    )
    assert verdict.ok and verdict.kind == "finished" and verdict.printed == "so far\n"
    assert np.array_equal(verdict.outputs["y"], np.arange(10)[::-1] * 2)
    assert body("return {'a': [1, 2.5, None, 'text']}").outputs == {
        "value": {"a": [1, 2.5, None, "text"]}
    }


def test_layers_are_named() -> None:
    verdict = body("return 1")
    assert {"limits", "audit hook"} <= set(verdict.layers)
    assert set(verdict.layers) | set(verdict.missing) == {
        "privileges", "landlock", "limits", "seccomp", "audit hook",
    }  # fmt: skip


def test_the_packages_that_it_may_import_work() -> None:
    source = "".join(f"import {name}\n" for name in sandbox.IMPORTS if name != "__future__")
    assert run(source + "def answer(x):\n    return statistics.mean([1, 3])\n").outputs == {
        "value": 2
    }


def test_a_conversation_keeps_what_the_file_keeps() -> None:
    source = "seen = []\ndef policy(tick, free):\n    seen.append(tick)\n    return {'n': seen}\n"
    with sandbox.Conversation(source, "policy") as talk:
        assert [talk.ask(n, 1.5) for n in (3, 4)] == [{"n": [3]}, {"n": [3, 4]}]
        assert talk.verdict().ok
    assert talk.verdict().ok


def test_a_conversation_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "policy.py"
    file.write_text("def policy(x):\n    return 1 / x\n")
    with sandbox.Conversation(file, "policy") as talk:
        assert talk.ask(2) == 0.5
        with pytest.raises(sandbox.Stopped, match=r"line 2, in policy: ZeroDivisionError"):
            talk.ask(0)
        with pytest.raises(sandbox.Stopped, match="ZeroDivisionError"):
            talk.ask(2)
        assert talk.verdict().lines == ("line 2, in policy: return 1 / x",)


def test_all_answers_together_have_a_limit() -> None:
    source = "import time\ndef policy(x):\n    time.sleep(0.2)\n"
    limits = sandbox.Limits(call=10, wall=0.5)
    with sandbox.Conversation(source, "policy", limits, imports=None) as talk:
        with pytest.raises(sandbox.Stopped, match=r"all answers together took longer than 0\.5 s"):
            for number in range(9):
                talk.ask(number)
        assert number == 2


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("def other(x):\n    return 1\n", "there is no function policy"),
        ("def policy(:\n", "line 1: not Python"),
        ("def policy(x):\n    while True: pass\n", "answering took longer than 0.3 s"),
        ("while True: pass\n", "loading took longer than 0.3 s"),
        ("def policy(x):\n    return {1, 2}\n", "returned a value that JSON cannot express"),
        ("def policy(x):\n    return float('nan')\n", "returned a value that JSON cannot"),
        ("def policy(x):\n    raise SystemExit\n", "ended the program by itself"),
        ("def policy(x):\n    return 'x' * (1 << 21)\n", "bytes of JSON"),
        ("import os\n", "line 1: imports 'os'"),
        ("x" * (1 << 21), "is larger than"),
    ],
)
def test_conversations_end_with_a_sentence(source: str, said: str) -> None:
    limits = sandbox.Limits(call=0.3)
    with pytest.raises(sandbox.Stopped) as stopped:
        with sandbox.Conversation(source, "policy", limits) as talk:
            talk.ask(1)
    assert said in stopped.value.verdict.message and not stopped.value.verdict.ok
