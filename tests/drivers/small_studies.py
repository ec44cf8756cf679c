"""Small studies, for tests of how they are made and kept."""

from __future__ import annotations

from pathlib import Path

from mmulab.studies import study as studies
from mmulab.studies.study import Study

TOML = """
traces = ["gups:size=1M,accesses=5K", "zipf:keys=1k,accesses=5k"]
preset = "skylake-sp"
techniques = ["native", "nested"]

[axes]
page_size = ["4k", "thp"]
"tlb.stlb.entries" = "768..1536*2"
seed = "1..2"

[[exclude]]
page_size = "thp"
seed = 2
"""

SCENARIO = """
name = "two"
command = "run"
[host]
memory = "12M"
preset = "skylake-sp"
swap = "32M"
[[vm]]
name = "a"
count = 2
memory = "8M"
workload = "zipf:keys=1k,accesses=1k"
[ksm]
[axes]
"vm.memory" = ["6M", "8M"]
seed = [1, 2]
"""


def load(folder: Path, text: str = TOML) -> Study:
    path = folder / "small.toml"
    path.write_text(text)
    return studies.load(path)
