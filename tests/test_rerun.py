"""Results say what made them: `mmulab rerun` makes the same again, or says what is not the same."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from drivers.command_line import SMALL, check_error
from drivers.results import unmade
from drivers.technique_files import copy_of, write

from mmulab.mmu.report.made import digest

SCENARIO = """
[host]
memory = "12M"
swap = "32M"
[[vm]]
name = "a"
count = 2
memory = "8M"
workload = "zipf:keys=2k,accesses=20k"
[ksm]
sleep = "1ms"
[balloon]
policy = "fixed"
[[event]]
at = "1ms"
vm = "a-1"
balloon = "1M"
"""

PRESET = """
base = "zen-4"
memory_latency = { value = 400, low = 300, high = 500, source = "measured" }
cost.nested.ept_violation = { value = 900, low = 100, high = 1000, source = "a guess" }
walk_cache.ntlb.entries = 0
tlb.l2-dtlb.ways = 6
"""

#: Of each kind of result, commands with options that matter.
COMMANDS = {
    "compare": ("compare", SMALL),
    "compare-set": (
        "compare", SMALL, "zipf:keys=2k,accesses=5K", "--set", "tlb.stlb.sets=64", "--set",
        "cost.shadow.pte_write=7", "--levels", "5", "--page-size", "thp", "--no-pcid",
        "--warmup", "1K", "--seed", "3", "--memory", "64M", "--preset", "haswell",
    ),
    "compare-variants": ("compare", SMALL, "--techniques", "shadow:policy=trap,nested"),
    "compare-policy": ("compare", SMALL, "--set", "tlb.dtlb-4k.policy=random"),
    "compare-preset": ("compare", SMALL, "--preset", "mine.toml", "--set", "cost.invlpg=7"),
    "compare-file": ("compare", "t.mmt", "--techniques", "./mine.py,nested"),
    "run": ("run", "s.toml", "--set", "host.cost.vm_exit=2000"),
    "run-compare": ("run", "s.toml", "--compare"),
    "run-sweep": ("run", "s.toml", "--sweep", "ksm.sleep=1ms,2ms", "--technique", "shadow"),
    "mrc": ("mrc", "t.mmt", "--sizes", "3,64", "--page-sizes", "2M,4k", "--warmup", "10"),
    "mrc-sets": ("mrc", "t.mmt", "--sets", "16", "--ways", "3", "--l1", "4x2", "--warmup", "10",
                 "--ignore-invalidations"),
    "mrc-sample": ("mrc", "zipf:keys=20k,accesses=20K", "--sample", "0.1", "--max", "9K"),
    "info": ("trace", "info", "zipf:keys=2k,accesses=5K", "--seed", "9", "--window", "500"),
    "dedup": ("dedup", "a.raw", "b.raw", "--page-sizes", "4k"),
}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path, mmulab: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the commands read, in the current directory."""
    monkeypatch.chdir(tmp_path)
    Path("s.toml").write_text(SCENARIO)
    Path("mine.toml").write_text(PRESET)
    write(tmp_path, "mine", copy_of("nested", "mine"))
    assert mmulab("trace", "generate", SMALL, "-o", "t.mmt").code == 0
    for name in ("a", "b"):
        Path(f"{name}.raw").write_bytes(b"\0" * 4096 + name.encode() * 4096 + b"same" * 1024)
    return tmp_path


@pytest.mark.parametrize("name", COMMANDS)
def test_a_result_is_made_again_from_itself(folder: Path, mmulab: Any, name: str) -> None:
    command = [each.replace("host.cost.", "host.") for each in COMMANDS[name]]
    if name == "run":
        command = ["run", "s.toml", "--set", "host.quantum=5000"]
    assert mmulab(*command, "--json", "result.json").code == 0
    again = mmulab("rerun", "result.json", "--json", "again.json")
    assert again.code == 0, again.out + again.err
    number = len(json.loads(Path("result.json").read_text()))
    assert f"result.json: {1 if name in ('info', 'dedup') else number} of" in again.out
    old, new = (json.loads(Path(f"{each}.json").read_text()) for each in ("result", "again"))
    old = old if isinstance(old, list) else [old]
    assert json.dumps(unmade(new)) == json.dumps(unmade(old))
    assert old[0]["made"]["command"] == ["mmulab", *command, "--json", "result.json"]


def test_a_result_that_says_otherwise_is_told(folder: Path, mmulab: Any) -> None:
    assert mmulab("compare", SMALL, "--json", "result.json").code == 0
    results = json.loads(Path("result.json").read_text())
    results[0]["results"][1]["counts"]["walks"] += 1
    results[0]["made"]["seconds"] = 0
    Path("result.json").write_text(json.dumps(results))
    again = mmulab("rerun", "result.json")
    assert again.code == 1
    walks = results[0]["results"][1]["counts"]["walks"]
    assert f"results[1].counts.walks: was {walks}, is {walks - 1}" in again.out
    assert again.out.count(": was ") == 1


def test_a_preset_is_taken_from_the_result(folder: Path, mmulab: Any) -> None:
    """So that a result outlives a figure that is mended in the preset of its name."""
    assert mmulab("compare", SMALL, "--json", "result.json").code == 0
    (result,) = json.loads(Path("result.json").read_text())
    memory = result["input"]["preset"]["numbers"]["memory_latency"]
    memory["value"] += 100
    Path("result.json").write_text(json.dumps([result]))
    again = mmulab("rerun", "result.json")
    assert again.code == 1 and "cycles.guest_walk.likely" in again.out


def test_files_that_have_changed_or_gone(folder: Path, mmulab: Any) -> None:
    assert mmulab("compare", "t.mmt", "--json", "result.json").code == 0
    files = json.loads(Path("result.json").read_text())[0]["input"]["files"]
    assert files == {"t.mmt": digest("t.mmt")}
    # From another directory: where it was made, they are.
    (folder / "elsewhere").mkdir()
    os.chdir(folder / "elsewhere")
    assert mmulab("rerun", folder / "result.json").code == 0
    assert Path.cwd() == folder / "elsewhere"
    with open(folder / "t.mmt", "ab") as file:
        file.write(b"x")
    check_error(mmulab("rerun", folder / "result.json"), 2, "t.mmt: not the file that")
    (folder / "t.mmt").unlink()
    check_error(mmulab("rerun", folder / "result.json"), 2, "t.mmt: no such file, of which")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "no JSON"),
        ("{}", "expected a result that --json wrote"),
        ("[]", "no results"),
        ("[1]", "expected a result that --json wrote"),
        ('{"input": {"call": "compares"}}', "did you mean 'compare'?"),
        ('{"input": {"call": "compare"}}', "lacks or misnames"),
        ('{"input": 7}', "expected a result that --json wrote"),
        ('{"input": {"call": ["compare"]}}', "expected a result that --json wrote"),
        ('{"input": {"call": "trace_info", "trace": {"name": "x", "spec": null}}}', "is gone"),
        ('{"input": {"call": "dedup", "images": 7, "files": []}}', "lacks or misnames"),
    ],
)
def test_what_is_no_result(tmp_path: Path, mmulab: Any, text: str, expected: str) -> None:
    (tmp_path / "result.json").write_text(text)
    check_error(mmulab("rerun", tmp_path / "result.json"), 2, expected)


def test_standard_input_is_gone(folder: Path, mmulab: Any) -> None:
    import subprocess
    import sys

    line = [sys.executable, "-m", "mmulab", "mrc", "-", "--json", "result.json"]
    with open("t.mmt", "rb") as file:
        assert subprocess.run(line, stdin=file, capture_output=True).returncode == 0
    check_error(mmulab("rerun", "result.json"), 2, "standard input, which is gone")
