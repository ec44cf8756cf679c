"""Student code: what it may do, what it may not, and what its author is told."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest

from coursework import assignments, sandbox
from coursework.assignments.replacement_policy import replay
from coursework.draws import Draws
from coursework.model import Submission

DRIVER = "coursework.assignments.replacement_policy.driver"
LIMITS = sandbox.Limits(cpu=12, wall=40)
POLICY = assignments.get("replacement-policy")
PROBLEM = {**POLICY.problem(Draws("s", "ada", POLICY.name)), "accesses": 40_000}
GOOD = POLICY.solution(PROBLEM)["policy.py"]
ON_LINUX = sys.platform.startswith("linux")


def run(source: str, limits: sandbox.Limits = LIMITS) -> sandbox.Verdict:
    sets, ways = PROBLEM["sets"], PROBLEM["ways"]
    pages = np.arange(10_000, dtype=np.int64) * 7 % 3001
    geometry = np.array([sets, ways, ways + 1], np.int64)
    return sandbox.run(source, DRIVER, {"geometry": geometry, "trace": pages}, limits)


def test_a_policy_runs() -> None:
    verdict = run(GOOD)
    assert verdict.ok, verdict.message
    assert len(verdict.outputs["trace"]) > 5000
    assert "setrlimit" in verdict.layers and "audit hook" in verdict.layers


def test_reports_are_readable() -> None:
    assert "line 2: not Python" in run("x = 1\ndef on_hit(:\n").message
    assert run("def on_hit(state, way):\n    pass\n").message == (
        "TypeError: there is no function on_fill"
    )
    assert run("import sys\n1 / 0\n").message.startswith("line 2: ZeroDivisionError")
    wrong = GOOD.replace("return oldest", "return 'left'")
    assert "Error" in run(wrong).message
    assert "exit code 3" in run("import os\nos._exit(3)\n").message


def test_an_endless_loop_is_stopped() -> None:
    verdict = run("while True:\n    pass\n", sandbox.Limits(cpu=2, wall=30))
    assert not verdict.ok and "endless loop" in verdict.message
    asleep = run("import time\ntime.sleep(60)\n", sandbox.Limits(cpu=5, wall=6))
    assert "did not finish within 6 s" in asleep.message
    loop = "    oldest = 0\n    while state[0] >= 0:\n        state[1] += 1"
    compiled = GOOD.replace("    oldest = 0", loop)
    assert "endless loop" in run(compiled, sandbox.Limits(cpu=10, wall=40)).message


HARM = {
    "delete": "import os\nos.remove({canary!r})\n",
    "delete by hand": "import posix\nposix.unlink({canary!r})\n",
    "overwrite": "open({canary!r}, 'w').write('x')\n",
    "append": "import io\nio.open({canary!r}, 'a')\n",
    "low-level open": "import os\nos.write(os.open({canary!r}, os.O_WRONLY), b'x')\n",
    "rename": "import os\nos.rename({canary!r}, {canary!r} + 'x')\n",
    "rmtree": "import shutil\nshutil.rmtree({directory!r})\n",
    "subprocess": "import subprocess\nsubprocess.run(['rm', {canary!r}])\n",
    "system": "import os\nif os.system('rm ' + {canary!r}): raise OSError('refused')\n",
    "fork": "import os\nwhile True: os.fork()\n",
    "network": "import socket\nsocket.create_connection(('127.0.0.1', 9))\n",
    "read": "raise ValueError(open({canary!r}).read())\n",
    "environment": "import os\nraise ValueError(open(f'/proc/{{os.getppid()}}/environ').read())\n",
    "kill": "import os\nos.kill(os.getppid(), 9)\n",
    "chmod": "import os\nos.chmod({canary!r}, 0)\n",
    "libc": "import ctypes\nctypes.CDLL(None).unlink({canary!r}.encode())\nraise OSError('no')\n",
}  # fmt: skip


@pytest.mark.parametrize("name", HARM)
def test_harm_is_refused(tmp_path: Path, name: str) -> None:
    canary = tmp_path / "directory" / "canary"
    canary.parent.mkdir()
    canary.write_text("the secret")
    source = HARM[name].format(canary=str(canary), directory=str(canary.parent))
    verdict = run(source)
    assert not verdict.ok and "secret" not in verdict.message, verdict
    assert canary.read_text() == "the secret" and os.access(canary, os.W_OK)


@pytest.mark.skipif(not ON_LINUX, reason="limits on memory are Linux's")
def test_memory_is_limited() -> None:
    verdict = run("x = [0] * (1 << 33)\n")
    assert not verdict.ok and "memory" in verdict.message


def marks(source: str) -> dict[str, float]:
    results = POLICY.grade(PROBLEM, Submission(Path("."), {"policy.py": source}))
    return {r.part.key: round(r.earned, 2) for r in results}


def test_the_solution_has_full_marks_and_fifo_none() -> None:
    assert marks(GOOD) == {"valid": 10, "zipf": 30, "python": 30, "mixed": 30}
    fifo = (
        "def on_hit(state, way):\n    pass\n"
        "def on_fill(state, way):\n    state[0] = way + 1\n"
        f"def victim(state):\n    return state[0] % {PROBLEM['ways']}\n"
    )
    assert marks(fifo) == {"valid": 10, "zipf": 0, "python": 0, "mixed": 0}


def test_wrong_policies_lose_what_they_should() -> None:
    # The most recently used way goes: worse than FIFO everywhere.
    newest = GOOD.replace("state[way] < state[oldest]", "state[way] > state[oldest]")
    assert marks(newest) == {"valid": 10, "zipf": 0, "python": 0, "mixed": 0}
    # A way that does not exist.
    outside = GOOD.replace("return oldest", "return WAYS")
    assert sum(marks(outside).values()) == 0
    # Hits forgotten: FIFO with another name.
    deaf = GOOD.replace("    state[WAYS] += 1\n    state[way] = state[WAYS]", "    pass", 1)
    assert marks(deaf) == {"valid": 10, "zipf": 0, "python": 0, "mixed": 0}
    # Results in place of choices: too few victims are no valid ones.
    forged = 'import os\nos.write(3, b\'{"error": "", "layers": []}\')\nos._exit(0)\n'
    assert sum(marks(forged).values()) == 0


def test_known_policies_against_plain_lists() -> None:
    rng = np.random.default_rng(3)
    pages = rng.zipf(1.3, 3000).astype(np.int64) % 97
    for policy in (replay.FIFO, replay.LRU, replay.OPT):
        assert replay.known(pages, 4, 3, policy) == plain(pages.tolist(), 4, 3, policy)
    opt, lru = (replay.known(pages, 4, 3, policy) for policy in (replay.OPT, replay.LRU))
    assert opt < lru


def plain(pages: list[int], sets: int, ways: int, policy: int) -> int:
    held: list[list[int]] = [[] for _ in range(sets)]
    misses = 0
    for at, page in enumerate(pages):
        mine = held[page % sets]
        if page in mine:
            if policy == replay.LRU:
                mine.remove(page)
                mine.append(page)
            continue
        misses += 1
        if len(mine) == ways:
            rest = pages[at + 1 :]
            far = [rest.index(p) if p in rest else len(pages) for p in mine]
            mine.pop(far.index(max(far)) if policy == replay.OPT else 0)
        mine.append(page)
    return misses
