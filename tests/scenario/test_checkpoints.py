"""A run that is ended in the middle goes on from its checkpoint to the same end."""

from __future__ import annotations

import io
import json
import os
import random
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from drivers.broken_off import PAGING, SCENARIOS, broken_off, resumed, scenario, whole
from drivers.command_line import check_error
from drivers.processes import start

from mmulab.mmu.errors import InputError
from mmulab.mmu.scenario import checkpoints, parsing
from mmulab.mmu.scenario.checkpoints import Checkpoints

PARTS = (0.02, 0.6)


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_run_goes_on_to_the_same_end(name: str, tmp_path: Path) -> None:
    of = scenario(name)
    end, turns = whole(of)
    for part in PARTS:
        path = tmp_path / f"{part}"
        assert broken_off(of, 1 + int(part * turns), path)
        assert resumed(of, path) == end, part


def test_a_run_that_was_resumed_is_resumed_again(tmp_path: Path) -> None:
    of = scenario("paging")
    end, turns = whole(of)
    path = tmp_path / "kept"
    assert broken_off(of, turns // 4, path)
    for _ in range(2):
        assert broken_off(of, turns // 4, path, resume=path)
    assert resumed(of, path) == end
    assert resumed(of, path) == end  # which it is, by now


def test_a_balloon_policy_of_ones_own_remembers(tmp_path: Path) -> None:
    policy = tmp_path / "mine.py"
    policy.write_text(
        "class Policy:\n"
        "    def __init__(self):\n"
        "        self.asked = 0\n"
        "    def targets(self, vms, host):\n"
        "        self.asked += 1\n"
        "        return [min(self.asked * 8, int(most) // 2) for most in vms.memory]\n"
    )
    of = parsing.parse(PAGING.replace("[balloon]", f'[balloon]\npolicy = "{policy}"'), "x")
    end, turns = whole(of)
    assert broken_off(of, turns // 2, tmp_path / "kept")
    assert resumed(of, tmp_path / "kept") == end


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize("kills", [2, pytest.param(20, marks=pytest.mark.long)])
def test_killed_at_random_moments(mmulab: Callable, tmp_path: Path, kills: int) -> None:
    file, kept, chosen = tmp_path / "s.toml", tmp_path / "kept", random.Random(kills)
    file.write_text(PAGING.replace("60k", "300k").replace("40k", "200k"))
    expected, wanted = mmulab("run", file, "--json", tmp_path / "a").out, results(tmp_path / "a")
    command = ("run", file, "--json", tmp_path / "b", "--checkpoint", kept, "--every", "20ms")
    killed = 0
    while killed < kills:
        resume = ("--resume", kept) if kept.exists() else ()
        process = start(*command, *resume)
        begun = written(kept)
        while process.poll() is None and written(kept) == begun:
            time.sleep(0.005)
        time.sleep(chosen.random() * 0.2)
        process.kill()
        out, err = process.communicate()
        assert process.returncode in (0, -9), err
        killed += process.returncode != 0
        if process.returncode == 0:
            assert (out, results(tmp_path / "b")) == (expected, wanted)
            kept.unlink()  # from the beginning again
    assert mmulab(*command, "--resume", kept).out == expected
    assert results(tmp_path / "b") == wanted
    assert {each.name for each in tmp_path.iterdir()} == {"s.toml", "a", "b", "kept"}


def written(kept: Path) -> int:
    return kept.stat().st_mtime_ns if kept.exists() else 0


def results(path: Path) -> list[dict]:
    found = json.loads(path.read_text())
    return [{key: of for key, of in each.items() if key != "made"} for each in found]


def test_variants_go_on_where_they_were(mmulab: Callable, tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text(PAGING)
    path, runs = tmp_path / "kept", ("run", tmp_path / "s.toml", "--compare")
    expected = mmulab(*runs).out
    assert mmulab(*runs, "--checkpoint", path, "--every", "1s").out == expected
    head = json.loads(path.read_bytes().splitlines()[1])
    assert head["done"] == len(head["runs"]) > 3
    assert mmulab(*runs, "--resume", path).out == expected


def test_what_it_was_made_of_must_be_the_same(mmulab: Callable, tmp_path: Path) -> None:
    file, path = tmp_path / "s.toml", tmp_path / "kept"
    file.write_text(PAGING)
    assert broken_off(scenario("paging"), 5, path)
    file.write_text(PAGING.replace("60k", "70k"))
    found = mmulab("run", file, "--resume", path)
    check_error(found, 2, "vms[0].workload was zipf:keys=20k,accesses=60k, and is zipf")
    found = mmulab("run", file, "--resume", path, "--compare")
    check_error(found, 2, "variant was as given, and is ample")


def test_a_trace_must_be_as_it_was(mmulab: Callable, tmp_path: Path) -> None:
    trace, file, path = tmp_path / "t.npy", tmp_path / "s.toml", tmp_path / "kept"
    np.save(trace, np.arange(0, 1 << 22, 512, dtype=np.uint64) % (1 << 20))
    file.write_text(PAGING.replace("zipf:keys=20k,accesses=60k", str(trace)))
    expected = mmulab("run", file, "--checkpoint", path, "--every", "0").out
    assert mmulab("run", file, "--resume", path).out == expected
    np.save(trace, np.arange(0, 1 << 22, 512, dtype=np.uint64) % (1 << 19))
    check_error(mmulab("run", file, "--resume", path), 2, "t.npy is not as it was")


def test_standard_input_is_read_once(
    mmulab: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "s.toml"
    file.write_text(PAGING.replace("zipf:keys=20k,accesses=60k", "-"))
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"1000 R\n")))
    found = mmulab("run", file, "--checkpoint", tmp_path / "kept")
    check_error(found, 2, "standard input can be read once only")


@pytest.mark.parametrize(
    "options, said",
    [
        (["--resume", "nowhere"], "nowhere: No such file"),
        (["--checkpoint", "no/where"], "the directory no does not exist"),
        (["--checkpoint", "kept", "--every", "soon"], "every = soon: expected a time"),
    ],
)
def test_bad_options(mmulab: Callable, options: list[str], said: str) -> None:
    check_error(mmulab("run", "@desktops", *options), 2, said)


def test_another_program_made_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "kept"
    assert broken_off(scenario("paging"), 5, path)
    other = {**checkpoints._maker(), "sources": "0"}
    monkeypatch.setattr(checkpoints, "_maker", lambda: other)
    with pytest.raises(InputError, match="made by another program: its sources is .*, not 0"):
        Checkpoints(path, 0, path)
