"""Balloon policies from Python files: what they are told, what they may answer, what is said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from drivers.results import unmade

from mmulab.arguments import settle
from mmulab.mmu.errors import InputError
from mmulab.mmu.scenario import parsing
from mmulab.mmu.scenario.run import compare, run
from mmulab.mmu.scenario.settings import Scenario
from mmulab.workloads import of_vm

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "docs" / "extending" / "working_sets.py"

SCENARIO = """
name = "own"
[host]
memory = "24M"
swap = "64M"
quantum = 10_000
[[vm]]
name = "left"
memory = "16M"
reservation = "2M"
disk = "64M"
workload = "guest:size=14M,accesses=60k,active=1,zero=0,file=0"
[[vm]]
name = "right"
memory = "8M"
limit = "7M"
shares = 3000
disk = "64M"
start = "1ms"
workload = "guest:size=6M,accesses=60k,active=0.5,zero=0,file=0"
[balloon]
policy = "{policy}"
period = "200us"
sample_period = "1ms"
"""


def scenario(policy: Path) -> Scenario:
    return parsing.parse(SCENARIO.format(policy=policy), "own.toml")


def written(folder: Path, body: str, name: str = "mine.py") -> Path:
    path = folder / name
    path.write_text(body)
    return path


def answering(answer: str) -> str:
    return f"class Policy:\n    def targets(self, vms, host):\n        return {answer}\n"


TELLING = """
import numpy as np
SEEN = []

class Policy:
    def targets(self, vms, host):
        SEEN.append((vms, host))
        return np.minimum(vms.memory // 4, 100 * len(SEEN))
"""


def test_it_is_told_of_the_vms_that_are_on(tmp_path: Path) -> None:
    from mmulab.mmu.config import python_files

    path = written(tmp_path, TELLING)
    result = run(scenario(path), of_vm, check=True)
    seen = python_files.load("policy", path).SEEN
    assert {vms.name for vms, _ in seen} == {("left",), ("left", "right")}
    vms, host = seen[-1]
    assert (vms.memory == [16 << 8, 8 << 8]).all() and (vms.shares == [1000, 3000]).all()
    assert (vms.reservation == [2 << 8, 0]).all() and (vms.limit == [16 << 8, 7 << 8]).all()
    assert host.total == 24 << 8 and 0 < host.free < host.total
    assert all(a.now < b.now for (_, a), (_, b) in zip(seen, seen[1:], strict=False))
    for vms, _ in seen:
        assert vms.memory.dtype == np.int64 and vms.active.dtype == np.float64
        assert (vms.held + vms.balloon <= vms.memory).all()
        assert ((vms.free >= 0) & (vms.free <= vms.memory - vms.balloon)).all()
        assert ((vms.active >= 0) & (vms.active <= 1)).all()
    balloons = [vm.series["balloon"].max() for vm in result.vms]
    assert balloons[0] == 16 << 6 and result.services["balloon"]["ticks_high"] >= 0


def test_a_policy_is_made_anew_for_each_run(tmp_path: Path) -> None:
    body = (
        "class Policy:\n"
        "    def __init__(self):\n        self.looks = 0\n"
        "    def targets(self, vms, host):\n        self.looks += 1\n"
        "        return [min(self.looks, 50)] * len(vms)\n"
    )
    given = scenario(written(tmp_path, body))
    first, second = run(given, of_vm), run(given, of_vm)
    assert unmade(first.to_dict()) == unmade(second.to_dict())
    assert [each.variant for each in compare(given, of_vm)][-1] == "balloon"


def test_another_version_of_the_file_is_another_policy(tmp_path: Path) -> None:
    sizes = []
    for size in (100, 300):
        path = written(tmp_path, answering(f"[{size}] * len(vms)"))
        sizes.append(run(scenario(path), of_vm).vms[0].series["balloon"].max())
    assert sizes == [100, 300]


BAD_FILES = {
    "syntax": ("class Policy:\n    def targets(self:\n", r"mine\.py, line 2: SyntaxError"),
    "import": ("import math\nimport no_such_thing\n", r"mine\.py, line 2: ModuleNotFoundError"),
    "no class": ("def targets(vms, host): ...\n", r"mine\.py: expected a class Policy"),
    "no method": ("class Policy: ...\n", "a method targets"),
}

BAD_ANSWERS = {
    "raises": ("1 // 0", r"mine\.py, line 3: ZeroDivisionError: integer division"),
    "None": ("None", r"gave None; expected 1 numbers of frames, one a VM"),
    "too many": ("[1, 2, 3]", r"gave \[1, 2, 3\]; expected 1 numbers"),
    "text": ("'all'", "gave 'all'"),
    "negative": ("[-1] * len(vms)", r"the target of left is -1 frames; expected .* memory, 4,096"),
    "too large": ("vms.memory + 1", "the target of left is 4097 frames"),
    "a fraction": ("vms.memory * 0.3", "the target of left is 1228.8 frames"),
    "not a number": ("vms.memory * float('nan')", "the target of left is nan"),
    "infinite": ("vms.memory * float('inf')", "the target of left is inf"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_file_that_is_none_is_refused_with_its_line(tmp_path: Path, name: str) -> None:
    body, message = BAD_FILES[name]
    with pytest.raises(InputError, match=message) as error:
        scenario(written(tmp_path, body))
    assert "\n" not in str(error.value) and str(tmp_path) in str(error.value)


@pytest.mark.parametrize("name", BAD_ANSWERS)
def test_a_bad_answer_ends_the_run_with_one_sentence(tmp_path: Path, name: str) -> None:
    body, message = BAD_ANSWERS[name]
    with pytest.raises(InputError, match=message) as error:
        run(scenario(written(tmp_path, answering(body))), of_vm)
    assert "\n" not in str(error.value) and str(tmp_path) in str(error.value)


def test_files_that_are_not_there_or_no_python(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"policy .*none\.py: No such file"):
        scenario(tmp_path / "none.py")
    with pytest.raises(InputError, match=r"expected a Python file, NAME\.py"):
        scenario(written(tmp_path, "", "policy.txt"))


def test_keys_that_are_idle_under_a_file_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path, answering("[0] * len(vms)"))
    for key, message in (("tax=0.5", "is not taxed"), ("step=1M", "policy = 'proxmox'")):
        with pytest.raises(InputError, match=message):
            settle(scenario(path), [tuple(f"balloon.{key}".split("="))])  # type: ignore[list-item]
    settle(scenario(path), [("balloon.sample", "50")])
    assert run(scenario(path), of_vm).notes[0].startswith("balloon: never acted: the policy asked")


def test_the_example_is_listed_and_gives_the_busy_guest_its_memory() -> None:
    text = (ROOT / "docs" / "overcommit.md").read_text()
    assert f"```python\n{EXAMPLE.read_text()}```\n" in text
    busy = ("vm.busy.workload", "guest:size=56M,accesses=2M,active=1,zero=0,file=0")
    result = run(settle("@idle-tax", [("balloon.policy", str(EXAMPLE)), busy]), of_vm)
    idle, busy_one = (vm.series["balloon"][-1] for vm in result.vms)
    assert idle > 16 << 8 and busy_one < 4 << 8
