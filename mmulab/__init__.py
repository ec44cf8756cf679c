"""mmulab: guest, shadow and nested page tables side by side over one memory trace.

    import mmulab

    comparison = mmulab.compare("gups:size=64M,accesses=1M", preset="haswell")
    print(mmulab.table(comparison))

The names of `__all__` are the public interface, described in docs/api.md. Importing this
package is cheap: a name's module is imported when the name is first asked for.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmulab.api import (
        blame,
        calibrate,
        compare,
        dedup,
        estimate,
        geometries,
        miss_ratio,
        plot,
        preset,
        presets,
        run,
        table,
        trace,
        trace_info,
        validate,
        walk,
    )
    from mmulab.mmu.by_hand.page_table import PageTable
    from mmulab.mmu.by_hand.walkthrough import Walk
    from mmulab.mmu.errors import InputError, MMULabError, RunError
    from mmulab.mmu.presets.preset import Preset
    from mmulab.mmu.report.consolidation import Consolidation
    from mmulab.mmu.report.results import Comparison
    from mmulab.mmu.report.study_results import StudyResults
    from mmulab.mmu.sampling.results import Estimates
    from mmulab.mmu.scenario.results import RunResult
    from mmulab.mmu.scenario.settings import Scenario
    from mmulab.mmu.tlb_stream.levels import Geometry
    from mmulab.mmu.tlb_stream.stream import TLBStream
    from mmulab.mmu.trace import Chunk, Trace
    from mmulab.studies.public import consolidate, results, sweep
    from mmulab.workloads.analysis.blame import Blame
    from mmulab.workloads.analysis.geometries import Geometries
    from mmulab.workloads.analysis.miss_ratio import MissRatios
    from mmulab.workloads.analysis.page_sharing import Report
    from mmulab.workloads.analysis.summary import TraceInfo
    from mmulab.workloads.probes.calibrated import Calibrated
    from mmulab.workloads.probes.validation import Validation

__version__ = "0.1.0"

__all__ = [
    "Blame",
    "Calibrated",
    "Chunk",
    "Comparison",
    "Consolidation",
    "Estimates",
    "Geometries",
    "Geometry",
    "InputError",
    "MMULabError",
    "MissRatios",
    "PageTable",
    "Preset",
    "Report",
    "RunError",
    "RunResult",
    "Scenario",
    "StudyResults",
    "TLBStream",
    "Trace",
    "TraceInfo",
    "Validation",
    "Walk",
    "__version__",
    "blame",
    "calibrate",
    "compare",
    "consolidate",
    "dedup",
    "estimate",
    "geometries",
    "miss_ratio",
    "plot",
    "preset",
    "presets",
    "results",
    "run",
    "sweep",
    "table",
    "trace",
    "trace_info",
    "validate",
    "walk",
]

#: Where the names are that `mmulab.api` does not define.
_ELSEWHERE = {
    "Blame": "workloads.analysis.blame",
    "Calibrated": "workloads.probes.calibrated",
    "Chunk": "mmu.trace",
    "Comparison": "mmu.report.results",
    "Consolidation": "mmu.report.consolidation",
    "Estimates": "mmu.sampling.results",
    "Geometries": "workloads.analysis.geometries",
    "Geometry": "mmu.tlb_stream.levels",
    "InputError": "mmu.errors",
    "MMULabError": "mmu.errors",
    "MissRatios": "workloads.analysis.miss_ratio",
    "PageTable": "mmu.by_hand.page_table",
    "Preset": "mmu.presets.preset",
    "Report": "workloads.analysis.page_sharing",
    "RunError": "mmu.errors",
    "RunResult": "mmu.scenario.results",
    "Scenario": "mmu.scenario.settings",
    "StudyResults": "mmu.report.study_results",
    "TLBStream": "mmu.tlb_stream.stream",
    "Trace": "mmu.trace",
    "TraceInfo": "workloads.analysis.summary",
    "Validation": "workloads.probes.validation",
    "Walk": "mmu.by_hand.walkthrough",
    "consolidate": "studies.public",
    "results": "studies.public",
    "sweep": "studies.public",
}

if not os.path.isdir(os.path.join(__path__[0], "mmu")):
    # A checkout: the subpackages lie beside this folder, not in it (package_dir in setup.cfg).
    __path__.append(os.path.dirname(__path__[0]))


def _frame(result: Any) -> Any:
    return import_module(f"{__name__}.plots.frames").frame(result)


import_module(f"{__name__}.mmu.report.shown").by(
    table=lambda result: __getattr__("table")(result),
    plot=lambda result, path=None: __getattr__("plot")(result, path),
    frame=_frame,
)


def __getattr__(name: str) -> Any:
    """A public name, on its first use (PEP 562)."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_ELSEWHERE.get(name, 'api')}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
