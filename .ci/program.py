"""A user's program: .ci/types checks its types, strictly, against the installed package."""

import mmulab

names: tuple[str, ...] = mmulab.presets()
comparison: mmulab.Comparison = mmulab.compare("gups:size=1M", preset=names[0], memory="1G")
cycles: float = comparison["nested"].cycles_per_access
runs: list[mmulab.RunResult] = mmulab.run("@idle-tax", compare=True, set={"host.memory": "96M"})
text: str = mmulab.table(runs)
