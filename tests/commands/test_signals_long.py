"""A hundred signals at random moments of commands that write: for --long."""

from __future__ import annotations

import json
import os
import random
import shutil
import time
from pathlib import Path

import pytest
from drivers import fake_valgrind
from drivers.processes import ENDING, in_shell, of_session, said, start

from mmulab.workloads import open_trace

#: Seconds in which Python itself starts, on a busy machine: a signal then ends it as it will.
STARTING = 0.6

SEED = "a seed of thirty-two letters or so"


def commands(tmp_path: Path) -> dict[str, tuple[object, ...]]:
    """By name: arguments of commands that take seconds. Outputs go to out/."""
    out = tmp_path / "out"
    found: dict[str, tuple[object, ...]] = {
        "generate": ("trace", "generate", "gups:size=64M,accesses=20M", "-o", out / "a.mmt"),
        "compare": ("compare", "gups:size=64M,accesses=8M", "--json", out / "a.json",
                    "--csv", out / "a.csv", "--plot", out / "a.svg"),
        "run": ("run", "@double-paging", "--json", out / "a.json", "--plot", out / "a.png"),
        "grade": ("assignment", "grade", tmp_path / "student", "--seed", SEED,
                  "--json", out / "a.json", "--csv", out / "a.csv"),
    }  # fmt: skip
    line = "for i in 1 2; do ls / | wc -l; done; sleep 1 & wait"
    found["record"] = ("trace", "record", "-o", out / "a.mmt", "--", "sh", "-c", line)
    return found


def is_whole(path: Path) -> bool:
    text = path.read_bytes()
    if path.suffix == ".mmt":
        return sum(chunk.accesses for chunk in open_trace(path, va_bits=57).chunks()) > 0
    if path.suffix == ".json":
        return bool(json.loads(text))
    end = {".csv": b"\n", ".svg": b"</svg>\n", ".png": b"IEND\xaeB`\x82"}[path.suffix]
    return text.endswith(end)


def left_in(folder: Path) -> list[str]:
    return [each.name for each in folder.iterdir() if each.name.startswith((".mmulab", "mmulab-"))]


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.long
@pytest.mark.parametrize("name", ["generate", "compare", "run", "grade", "record"])
def test_signals_at_random_moments(tmp_path: Path, name: str) -> None:
    solve = f"mmulab assignment solve replacement-policy -o student --student a --seed '{SEED}'"
    done = in_shell(solve, tmp_path)
    assert done.returncode == 0, done.stderr
    command = commands(tmp_path)[name]
    out, temporary = tmp_path / "out", tmp_path / "temporary"
    temporary.mkdir()
    environment = {**os.environ, "TMPDIR": str(temporary)}
    if not shutil.which("valgrind"):
        tools = fake_valgrind.install(tmp_path / "tools")
        environment["PATH"] = f"{tools}{os.pathsep}{environment['PATH']}"
    out.mkdir()
    for _ in range(2):  # the first may compile
        began = time.monotonic()
        process = start(*command, env=environment)
        assert process.communicate() and process.returncode == 0
        usual = time.monotonic() - began
    written = sorted(each.name for each in out.iterdir())
    assert written
    chance = random.Random(f"signals of {name}")
    for _ in range(20):
        shutil.rmtree(out)
        out.mkdir()
        process = start(*command, env=environment)
        after, number = chance.uniform(0.1, usual), chance.choice(ENDING)
        time.sleep(after)
        process.send_signal(number)
        _, err = process.communicate(timeout=120)
        what = (
            f"{name}, {number.name} after {after:.3f} of {usual:.2f} s: {process.returncode} {err}"
        )
        is_early = after < STARTING and (process.returncode == -number or "Fatal Python" in err)
        assert process.returncode in (0, 1) or is_early, what
        there = sorted(each.name for each in out.iterdir())
        if is_early:
            assert there == [], what
        elif process.returncode == 1:
            (sentence,) = said(err) or [""]
            nothing = sentence.endswith("; nothing was written")
            assert nothing or sentence.endswith("; what was written is whole"), what
            assert there == ([] if nothing else written), what
        assert process.returncode != 0 or there == written, what
        assert "Traceback" not in err or is_early, what
        assert all(is_whole(path) for path in out.iterdir()), what
        assert not left_in(out) and list(temporary.iterdir()) == [], what
        assert of_session(process.pid) == [], what
