"""Results that commands have written, read again."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from mmulab.mmu.errors import InputError, printable, unknown
from mmulab.mmu.report import consolidation, long_rows, results, study_results
from mmulab.mmu.report.made import digest
from mmulab.mmu.report.results import Comparison
from mmulab.mmu.sampling import results as estimates
from mmulab.mmu.scenario import results as scenario
from mmulab.workloads.analysis import blame, geometries, miss_ratio, page_sharing, summary

#: What comes of a result that lacks a key, or has another type there.
WRONG = (KeyError, TypeError, ValueError, AttributeError, IndexError)


class _Kind(NamedTuple):
    """How results of a schema are read. version: the newest that is known."""

    read: Callable[[Any], Any]
    version: int


@dataclass(frozen=True)
class Blamed:
    """What `mmulab blame` found, of which the table alone is written."""

    plain: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        return self.plain


_KINDS: dict[str, _Kind] = {
    blame.SCHEMA: _Kind(Blamed, blame.SCHEMA_VERSION),
    results.SCHEMA: _Kind(Comparison.from_dict, results.SCHEMA_VERSION),
    estimates.SCHEMA: _Kind(estimates.Estimates.from_dict, estimates.SCHEMA_VERSION),
    consolidation.SCHEMA: _Kind(
        consolidation.Consolidation.from_dict, consolidation.SCHEMA_VERSION
    ),
    scenario.SCHEMA: _Kind(scenario.RunResult.from_dict, scenario.SCHEMA_VERSION),
    miss_ratio.SCHEMA: _Kind(miss_ratio.MissRatios.from_dict, miss_ratio.SCHEMA_VERSION),
    geometries.SCHEMA: _Kind(geometries.Geometries.from_dict, geometries.SCHEMA_VERSION),
    summary.SCHEMA: _Kind(summary.TraceInfo.from_dict, summary.SCHEMA_VERSION),
    page_sharing.SCHEMA: _Kind(page_sharing.Report.from_dict, page_sharing.SCHEMA_VERSION),
}


@dataclass(frozen=True)
class Saved:
    """A file's results, or a study. plain: as they were written; of a study, its manifest."""

    path: str
    digest: str
    results: tuple[Any, ...]
    plain: tuple[dict[str, Any], ...]


def load(path: str) -> Saved:
    """What a file that `--json` wrote holds, or a folder that `mmulab sweep` keeps. No code is run
    that the results name. Raises InputError for what is neither."""
    if Path(path).is_dir():
        study = study_results.load(path)
        rows = digest(str(Path(path) / long_rows.ROWS)) or "not complete"
        return Saved(path, rows, (study,), (dict(study.input),))
    shown = printable(path)
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{shown}: {error.strerror or error}") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{shown}: no JSON: {error}") from None
    plain = found if isinstance(found, list) else [found]
    if not plain:
        raise InputError(f"{shown}: no results")
    made = tuple(read(one, f"{shown}: result {at}") for at, one in enumerate(plain, start=1))
    return Saved(path, digest(path) or "", made, tuple(plain))


def read(plain: Any, where: str) -> Any:
    """A result, of what it was written as. where: to be named by errors. Raises InputError."""
    schema = plain.get("schema") if isinstance(plain, dict) else None
    if not isinstance(schema, str):
        raise InputError(f"{where}: expected a result that --json wrote")
    if schema not in _KINDS:
        raise InputError(f"{where}: {unknown('schema', schema, _KINDS)}")
    kind = _KINDS[schema]
    version = plain.get("schema_version")
    if version != kind.version:
        raise InputError(f"{where}: version {version} of {schema}; expected {kind.version}")
    try:
        return kind.read(plain)
    except WRONG as error:
        raise InputError(f"{where}: lacks or misnames {error}") from None
