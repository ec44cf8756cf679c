"""Results as pandas DataFrames, for `result.to_frame()`."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from mmulab.mmu.errors import InputError
from mmulab.mmu.report import table
from mmulab.mmu.report.results import Comparison
from mmulab.mmu.report.study_results import imported
from mmulab.mmu.sampling.results import Estimates
from mmulab.mmu.scenario.results import RunResult
from mmulab.workloads.analysis.geometries import Geometries
from mmulab.workloads.analysis.miss_ratio import MissRatios

if TYPE_CHECKING:
    from pandas import DataFrame

Rows = Iterator[dict[str, Any]]


def frame(result: Any) -> DataFrame:
    """The numbers of a result, a row each as below. Raises InputError where there is no pandas, or
    no such table of a result of this kind."""
    pandas = imported("pandas", "frames")
    if type(result) not in _ROWS:
        known = ", ".join(each.__name__ for each in _ROWS)
        raise InputError(f"no table of {type(result).__name__}; of {known} there is")
    found = pandas.DataFrame(list(_ROWS[type(result)](result)))
    return found.rename(columns=lambda name: name.replace(".", "_"))


def _of_comparison(result: Comparison) -> Rows:
    """A row for each technique, with the columns of `compare --csv`."""
    for row in csv.DictReader(io.StringIO(table.to_csv([result]))):
        yield {name: _value(text) for name, text in row.items()}


def _of_estimates(result: Estimates) -> Rows:
    """A row for each technique and metric."""
    for each in result.results:
        for metric, estimate in each.metrics.items():
            yield {"trace": result.trace, "technique": each.technique, "metric": metric,
                   **estimate._asdict()}  # fmt: skip


def _of_run(result: RunResult) -> Rows:
    """A row for each VM: its counts, exits, cycles and times."""
    for vm in result.vms:
        yield {
            "scenario": result.scenario, "variant": result.variant, "vm": vm.name,
            "technique": vm.technique, "accesses": vm.accesses, "seconds": vm.seconds,
            "stalled": vm.stalled, "busy": vm.busy, "slowdown": vm.slowdown, **vm.counts,
            **{f"exits.{name}": count for name, count in vm.exits.items()},
            **{f"cycles.{name}": spent.likely for name, spent in vm.cycles.items()},
        }  # fmt: skip


def _of_curves(result: MissRatios) -> Rows:
    """A row for each page size and power of two of entries."""
    entries = result.sizes()
    for curve in result.curves:
        for count, ratio in zip(entries, curve.miss_ratio(entries), strict=True):
            yield {"trace": result.trace, "page_size": curve.page_size, "entries": count,
                   "miss_ratio": float(ratio)}  # fmt: skip


def _of_geometries(result: Geometries) -> Rows:
    """A row for each page size and geometry."""
    for each in result.sizes:
        for sets, row in zip(result.sets, each.table().tolist(), strict=True):
            for ways, misses in enumerate(row, start=1):
                yield {
                    "trace": result.trace, "page_size": each.page_size, "sets": sets, "ways": ways,
                    "misses": misses, "miss_ratio": misses / each.touches,
                }  # fmt: skip


def _value(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


_ROWS: dict[type, Callable[[Any], Rows]] = {
    Comparison: _of_comparison,
    Estimates: _of_estimates,
    RunResult: _of_run,
    MissRatios: _of_curves,
    Geometries: _of_geometries,
}
