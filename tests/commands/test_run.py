"""`mmulab run`: its table, figure and files."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner

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
    assert [one["settings"]["ksm"]["pages_to_scan"] for one in runs] == [10, 1000]
    assert runs[0]["schema"] == "mmulab.scenario"
    crowded = runner.invoke(command, [str(path), "--set", "host.memory=2M", "--set", "host.swap=0"])
    assert crowded.exit_code == 1 and "out of memory" in crowded.output
    assert "private" in crowded.output  # who held what
