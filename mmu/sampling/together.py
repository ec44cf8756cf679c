"""The parts of a trace, each of which begins with cold hardware, made by one process or several.

What a part counts depends on the part alone, so that results are the same however many processes
there are. Each goes through the trace from its beginning, of which it runs what changes page
tables.
"""

from __future__ import annotations

import multiprocessing
import pickle
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

from mmulab.mmu.config import Config
from mmulab.mmu.errors import InputError, RunError
from mmulab.mmu.kernels.warm import cores
from mmulab.mmu.presets.preset import Preset
from mmulab.mmu.sampling.intervals import Intervals
from mmulab.mmu.sampling.measuring import Part, Units, measure
from mmulab.mmu.sampling.pieces import spans
from mmulab.mmu.sampling.plan import Plan
from mmulab.mmu.sampling.records import added
from mmulab.mmu.techniques.specs import Spec
from mmulab.mmu.trace import Trace


def parts(
    trace: Trace, preset: Preset, config: Config, specs: tuple[Spec, ...], how: Intervals,
    plan: Plan, check: bool,
) -> list[Part]:  # fmt: skip
    """As many as are asked for, but none without a unit: runs of units, as equal as can be."""
    units = list(enumerate(plan.starts))
    count = min(how.parts, len(units))
    while_ = {"all": None, "pages": 0, "lines": max(1, how.warmup // 2)}[how.warm]
    bounds = [len(units) * each // count for each in range(count + 1)]
    places = [plan.begin, *(units[bound][1] for bound in bounds[1:-1]), plan.end]
    return [
        Part(
            trace, preset, config, specs, places[at], places[at + 1],
            spans(units[bounds[at] : bounds[at + 1]], how.unit, how.warmup), while_, check,
        )
        for at in range(count)
    ]  # fmt: skip


def measured(
    parts: Sequence[Part], jobs: int | None, progress: Callable[[int], None] | None
) -> dict[str, Units]:
    """The units of all parts, by technique. jobs: processes; as many as there are cores unless
    given. Raises what making one raises."""
    jobs = min(jobs or cores(), len(parts))
    found = [measure(part, progress) for part in parts] if jobs == 1 else _apart(parts, jobs)
    joined: dict[str, Units] = {}
    for of_part in found:
        for technique, units in of_part.items():
            halves, whole, first, touched, refused = joined.get(technique, Units({}, {}, {}, {}))
            joined[technique] = Units(
                halves | units.halves, whole | units.whole, first | units.first,
                added(touched, units.touched), refused or units.refused,
            )  # fmt: skip
    return joined


def _apart(parts: Sequence[Part], jobs: int) -> list[dict[str, Units]]:
    try:
        pickle.dumps(parts[0])
    except Exception as error:
        raise InputError(
            f"{parts[0].trace.name}: cannot be sent to another process: {error}; expected a file, "
            "a generator, or one job"
        ) from None
    context = multiprocessing.get_context("spawn")  # threads and compiled code outlive no fork
    # The last part reads most of the trace: it is begun first.
    with ProcessPoolExecutor(jobs, mp_context=context) as pool:
        futures = [pool.submit(measure, part) for part in reversed(parts)]
        try:
            return [future.result() for future in futures][::-1]
        except BrokenProcessPool:
            raise RunError("a process that measured a part of the trace was ended") from None
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
