"""`mmulab run`: its table, figure and files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from drivers.command_line import check_error

from mmulab.commands.run import run as command


def test_command(tmp_path: Path) -> None:
    path = tmp_path / "s.toml"
    path.write_text(
        '[host]\nmemory="12M"\nswap="32M"\n[[vm]]\nname="a"\ncount=2\nmemory="8M"\n'
        'workload="zipf:keys=8k,accesses=50k"\n[ksm]\nsleep="1ms"\n'
    )
    runner = CliRunner()
    result = runner.invoke(command, [str(path), "--compare", "--plot", str(tmp_path / "a.svg")])
    assert result.exit_code == 0, result.output
    assert "slowdown, worst VM" in result.output and (tmp_path / "a.svg").stat().st_size > 1000
    swept = ["--sweep", "ksm.pages_to_scan=10,1000", "--plot", str(tmp_path / "b.svg")]
    result = runner.invoke(command, [str(path), *swept, "--json", str(tmp_path / "b.json")])
    assert result.exit_code == 0, result.output
    runs = json.loads((tmp_path / "b.json").read_text())
    assert [one["input"]["scenario"]["ksm"]["pages_to_scan"] for one in runs] == [10, 1000]
    assert runs[0]["schema"] == "mmulab.scenario"
    crowded = runner.invoke(command, [str(path), "--set", "host.memory=2M", "--set", "host.swap=0"])
    assert crowded.exit_code == 1 and "out of memory" in crowded.output
    assert "private" in crowded.output  # who held what


SCENARIO = """
[host]
memory = "12M"
[[vm]]
name = "a"
memory = "8M"
workload = "zipf:keys=1k,accesses=1k"
[ksm]
"""


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--sweep", "vm.memory=4M", "--sweep", "vm.memory=9M"], "given twice"),
        (["--seeds", "2", "--sweep", "seed=9"], "expected one of them"),
        (["--sweep", "vm.memory=4M,8M,4M"], "4M twice"),
        (["--sweep", "vm.memory=4M,8M,4096K"], "4M and 4096K are equal"),
        (["--sweep", "vm.memory=,"], "no value"),
        (["--sweep", "vm.memory"], "expected KEY=VALUE"),
        (["--sweep", "vm.memry=4M"], "did you mean 'memory'"),
        (["--sweep", "host.scheduler=4M,8M"], "scheduler"),
        (["--set", "host.ghz=nan"], "expected a number"),
        (["--set", "vm.start=inf"], "expected a time"),
        (["--set", "ksm.pages_to_scan=inf"], "expected a whole number"),
        (["--set", "host.memory=inf"], "expected a number of bytes"),
    ],
)
def test_bad_settings(mmulab, tmp_path: Path, options: list[str], expected: str) -> None:  # type: ignore
    path = tmp_path / "s.toml"
    path.write_text(SCENARIO)
    check_error(mmulab("run", path, *options), 2, expected)


@pytest.mark.parametrize("line", ["ghz = nan", "latency = inf", "victims = inf", "swap = nan"])
def test_numbers_of_a_file_are_finite(mmulab, tmp_path: Path, line: str) -> None:  # type: ignore
    path = tmp_path / "s.toml"
    path.write_text(SCENARIO.replace("[[vm]]", f"{line}\n[[vm]]", 1))
    check_error(mmulab("run", path), 2, f"[host] {line}; expected")


def test_a_sweep_without_a_baseline_is_drawn_without_slowdowns(mmulab, tmp_path: Path) -> None:  # type: ignore
    path = tmp_path / "s.toml"
    path.write_text(SCENARIO)
    for options, expected in (
        ([], ["pages moved", "saved MiB"]),
        (["--compare"], ["pages moved", "mean slowdown", "saved MiB"]),
    ):
        picture = tmp_path / "a.svg"
        swept = ["--sweep", "vm.memory=4M,8M", "--plot", picture]
        assert mmulab("run", path, *options, *swept).code == 0
        text = picture.read_text()
        titles = ("pages moved", "mean slowdown", "saved MiB")
        assert [title for title in titles if f">{title}<" in text] == expected
