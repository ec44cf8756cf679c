"""Any result as the commands print and draw it, for `mmulab.table` and `mmulab.plot`."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, Union

from mmulab.mmu.by_hand.walkthrough import Walk
from mmulab.mmu.errors import InputError
from mmulab.mmu.presets.preset import Preset
from mmulab.mmu.report.consolidation import Consolidation
from mmulab.mmu.report.results import Comparison
from mmulab.mmu.report.study_results import StudyResults
from mmulab.mmu.sampling.results import Estimates
from mmulab.mmu.scenario.results import RunResult
from mmulab.plots import (
    blame,
    calibration,
    compare,
    consolidation,
    dedup,
    estimates,
    geometries,
    info,
    mrc,
    scenario,
    study,
    validation,
    walk,
)
from mmulab.plots.figures import check_path, save
from mmulab.plots.terminal import blame as blame_text
from mmulab.plots.terminal import calibration as calibration_text
from mmulab.plots.terminal import compare_table
from mmulab.plots.terminal import consolidation as consolidation_text
from mmulab.plots.terminal import dedup as dedup_text
from mmulab.plots.terminal import estimates as estimates_text
from mmulab.plots.terminal import geometries as geometries_text
from mmulab.plots.terminal import info as info_text
from mmulab.plots.terminal import mrc as mrc_text
from mmulab.plots.terminal import presets as presets_text
from mmulab.plots.terminal import scenario as scenario_text
from mmulab.plots.terminal import study as study_text
from mmulab.plots.terminal import validation as validation_text
from mmulab.plots.terminal import walk as walk_text
from mmulab.workloads.analysis.blame import Blame
from mmulab.workloads.analysis.geometries import Geometries
from mmulab.workloads.analysis.miss_ratio import MissRatios
from mmulab.workloads.analysis.page_sharing import Report
from mmulab.workloads.analysis.summary import TraceInfo
from mmulab.workloads.probes.calibrated import Calibrated
from mmulab.workloads.probes.validation import Validation

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Result: TypeAlias = Union[  # noqa: UP007
    Comparison,
    Estimates,
    Blame,
    Walk,
    RunResult,
    MissRatios,
    Geometries,
    TraceInfo,
    Report,
    Preset,
    Calibrated,
    Validation,
    StudyResults,
    Consolidation,
]


class _Kind(NamedTuple):
    """How results of a type are shown: a list of them as text; as a figure, None: never."""

    text: Callable[[Any], str]
    draw: Callable[[Any], Figure] | None


def _each(show: Callable[[Any], str]) -> Callable[[Sequence[Any]], str]:
    return lambda results: "\n\n".join(show(result) for result in results)


def _only(draw: Callable[[Any], Figure]) -> Callable[[Sequence[Any]], Figure]:
    def one(results: Sequence[Any]) -> Figure:
        if len(results) > 1:
            raise InputError(f"{len(results)} results; expected one, a figure shows one of these")
        return draw(results[0])

    return one


def _preset(preset: Preset) -> str:
    # What knows techniques' costs loads slowly.
    from mmulab.mmu.techniques.registry import built_in
    from mmulab.mmu.techniques.specs import costs

    return presets_text.details(preset, costs(built_in()))


_KINDS: dict[type, _Kind] = {
    Comparison: _Kind(_each(compare_table.table), compare.draw),
    Blame: _Kind(_each(blame_text.table), _only(blame.draw)),
    Estimates: _Kind(_each(estimates_text.table), estimates.draw),
    Walk: _Kind(_each(walk_text.table), walk.draw),
    RunResult: _Kind(scenario_text.text, scenario.draw),
    MissRatios: _Kind(_each(mrc_text.table), mrc.draw),
    Geometries: _Kind(_each(geometries_text.table), geometries.draw),
    TraceInfo: _Kind(_each(info_text.report), _only(info.draw)),
    Report: _Kind(_each(dedup_text.table), _only(dedup.draw)),
    Preset: _Kind(_each(_preset), None),
    Calibrated: _Kind(_each(calibration_text.table), _only(calibration.draw)),
    Validation: _Kind(_each(validation_text.table), validation.draw),
    Consolidation: _Kind(_each(consolidation_text.table), _only(consolidation.draw)),
    StudyResults: _Kind(_each(study_text.table), _only(study.draw)),
}


def _kind(result: Result | Sequence[Result]) -> tuple[_Kind, Sequence[Result]]:
    """How to show a result or a list of them, and the list. Raises InputError."""
    several = result if isinstance(result, Sequence) else [result]
    types = {type(one) for one in several}
    if len(types) != 1 or not types <= set(_KINDS):
        names = ", ".join(sorted(each.__name__ for each in types)) or "an empty list"
        known = ", ".join(each.__name__ for each in _KINDS)
        raise InputError(f"cannot show {names}; expected one or more of one kind: {known}")
    return _KINDS[types.pop()], several


def table(result: Result | Sequence[Result]) -> str:
    """The text that the command prints. Raises InputError for what is no result."""
    kind, results = _kind(result)
    return kind.text(results)


def plot(result: Result | Sequence[Result], path: str | os.PathLike[str] | None = None) -> Figure:
    """The figure that the command draws, also written to a .svg, .png or .pdf file where a
    path is given. Raises InputError for what has no figure, or a path of another kind."""
    kind, results = _kind(result)
    if kind.draw is None:
        raise InputError(f"{type(results[0]).__name__}: there is no figure of it")
    target = None if path is None else check_path(os.fspath(path))
    figure = kind.draw(results)
    if target is not None:
        save(figure, target)
    return figure
