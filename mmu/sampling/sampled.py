"""`compare --intervals`: techniques over a trace of which only units are measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np

from mmulab import __version__
from mmulab.mmu import simulate
from mmulab.mmu.config import TECHNIQUES, Config
from mmulab.mmu.errors import InputError, RunError
from mmulab.mmu.machine.parts import compile_parts
from mmulab.mmu.presets.preset import Preset
from mmulab.mmu.report.overlap import independence
from mmulab.mmu.sampling import doubts, plan, together
from mmulab.mmu.sampling.estimating import Counted
from mmulab.mmu.sampling.intervals import Intervals, parse
from mmulab.mmu.sampling.results import Estimates
from mmulab.mmu.sampling.statistics import Sample
from mmulab.mmu.techniques.specs import Spec
from mmulab.mmu.trace import Trace

Progress = Callable[[int], None]


def estimate(
    trace: Trace,
    preset: Preset,
    config: Config | None = None,
    techniques: str | Sequence[str | Spec] = TECHNIQUES,
    intervals: str | Intervals = "smarts",
    warmup: int | Literal["auto"] = 0,
    jobs: int | None = None,
    check: bool = False,
    progress: Progress | None = None,
) -> Estimates:
    """Estimates what `simulate.compare` would count.

    intervals: how to sample. jobs: processes that share its parts, as many as there are cores
    unless given. warmup: accesses at the beginning that the estimates leave out. The others: as of
    `compare`.

    Raises InputError for a bad trace or configuration, RunError where a run cannot go on.
    """
    how = parse(intervals) if isinstance(intervals, str) else intervals
    config = (config or Config()).on(preset.arch)
    if config.cores > 1:
        raise InputError(f"a sample of {config.cores} cores: expected 1: each is warmed up alone")
    specs = simulate.specs_of(techniques, preset, config)
    making = simulate.making_of(trace, specs, config)
    length = plan.length_of(trace)
    skip = simulate.warmup_of(trace, preset, config, warmup)
    chosen = plan.make(trace, how, length, skip)
    compile_parts(specs)
    parts = together.parts(trace, preset, config, tuple(specs), how, chosen, check)
    found = together.measured(parts, jobs, progress)
    left_out = [f"left out: {each.refused}" for each in found.values() if each.refused]
    specs = [spec for spec in specs if not found[spec.text].refused]
    if not specs:
        raise RunError(left_out[0].removeprefix("left out: "))
    sample = Sample(*map(np.array, (chosen.stratum, chosen.sizes, chosen.work)))
    known = independence(trace, preset, skip)
    counted = [
        Counted(spec, found[spec.text], sample, preset, known, chosen.accesses) for spec in specs
    ]
    results = tuple(each.estimate(counted[0]) for each in counted)
    given = simulate.input_of(trace, preset, config, specs, skip, making)
    return Estimates(
        trace=trace.name,
        preset=preset.name,
        version=__version__,
        accesses=chosen.accesses,
        warmup=skip,
        intervals=how.text,
        unit=how.unit,
        units=len(chosen.starts),
        population=chosen.sizes,
        settings=config.settings(),
        results=results,
        warnings=(*left_out, *doubts.warnings(counted, results, how, chosen)),
        input=given | {"call": "estimate", "intervals": how.text},
        made=making.made(),
    )
