"""What a study found, as the folder keeps it or as it was just made: rows, by its axes."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any, NamedTuple

from mmulab.mmu.errors import InputError, unknown
from mmulab.mmu.report import long_rows
from mmulab.mmu.report.files import replacing
from mmulab.mmu.report.long_rows import COLUMNS, FAILED, METRIC, OF_RUN, Row
from mmulab.mmu.report.shown import Shown

if TYPE_CHECKING:
    from pandas import DataFrame

#: The axis over which numbers are averaged, and vary by chance alone.
SEED = "seed"

#: What is shown unless something else is asked for, the first that there is.
SHOWN = {
    "compare": ("cycles_per_access",),
    "run": ("slowdown", "seconds"),
    "mrc": ("*.miss_ratio.1024", "*.miss_ratio.*"),
    "consolidate": ("slowdown",),
}


class Cell(NamedTuple):
    """A number over the seeds of a study. low, high: with every cost at that end of its range,
    the mean over seeds; least, most: the likely number of the seeds that have the least and
    the most of it."""

    low: float
    value: float
    high: float
    least: float
    most: float
    seeds: int

    @property
    def half(self) -> float:
        """Half of what lies between the seeds' least and most."""
        return (self.most - self.least) / 2


class Series(NamedTuple):
    """What a number is of: a technique, variant or VM, and the metric."""

    subject: str
    metric: str


@dataclass(frozen=True, repr=False)
class StudyResults(Shown):
    """The rows of a study. axes: values by key, in its order. runs: axes by the key of each run,
    in its order. rows: all columns. missing: runs that are not made yet."""

    name: str
    command: str
    axes: Mapping[str, tuple[str, ...]]
    runs: Mapping[str, Mapping[str, str]]
    rows: tuple[Row, ...]
    missing: int = 0
    input: Mapping[str, Any] = field(default_factory=dict, compare=False)

    @property
    def failures(self) -> dict[str, str]:
        """Why, by the key of each run that failed."""
        return {row[0]: row[-1] for row in self.rows if row[OF_RUN + METRIC] == FAILED}

    @property
    def metrics(self) -> list[str]:
        """Names of the numbers that there are."""
        found = dict.fromkeys(row[OF_RUN + METRIC] for row in self.rows)
        return [name for name in found if name != FAILED]

    @property
    def varied(self) -> list[str]:
        """Axes of more than one value, the seed left out."""
        return [key for key, of in self.axes.items() if len(of) > 1 and key != SEED]

    def chosen(self, patterns: Sequence[str] = ()) -> list[str]:
        """The metrics that names, or patterns such as exits.*, stand for; those that are shown
        where none is given. Raises InputError for one that is not there."""
        known = self.metrics
        if not patterns:
            for pattern in SHOWN[self.command]:
                found = [name for name in known if fnmatchcase(name, pattern)]
                if found:
                    return found
            return known[:1]
        chosen = []
        for pattern in patterns:
            found = [name for name in known if fnmatchcase(name, pattern)]
            if not found:
                raise unknown("metric", pattern, known)
            chosen += found
        return list(dict.fromkeys(chosen))

    def where(self, conditions: Mapping[str, Iterable[str]]) -> StudyResults:
        """Only the runs whose axes have one of these values. Raises InputError for an unknown
        axis, or where nothing is left."""
        for key, values in conditions.items():
            if key not in self.axes:
                raise unknown("axis", key, self.axes)
            for value in values:
                if value not in self.axes[key]:
                    raise unknown(f"value of {key}", value, self.axes[key])
        runs = {
            run: axes
            for run, axes in self.runs.items()
            if all(axes[key] in values for key, values in conditions.items())
        }
        if not runs:
            raise InputError(f"study {self.name}: no run is of these values")
        axes = {key: tuple(conditions.get(key, of)) for key, of in self.axes.items()}
        rows = tuple(row for row in self.rows if row[0] in runs)
        return StudyResults(self.name, self.command, axes, runs, rows, self.missing, self.input)

    def cells(
        self, metrics: Sequence[str], keys: Sequence[str]
    ) -> dict[tuple[str, ...], dict[Series, Cell]]:
        """Numbers of these metrics by the values of these axes and by series, over all others:
        over the seeds, where those are the only others that vary."""
        wanted = set(metrics)
        gathered: dict[tuple[str, ...], dict[Series, list[Row]]] = {
            tuple(axes[key] for key in keys): {} for axes in self.runs.values()
        }
        for row in self.rows:
            if row[OF_RUN + METRIC] in wanted:
                at = tuple(self.runs[row[0]][key] for key in keys)
                one = Series(subject(row), row[OF_RUN + METRIC])
                gathered[at].setdefault(one, []).append(row[-4:-1])
        return {at: {one: _cell(rows) for one, rows in of.items()} for at, of in gathered.items()}

    def table(
        self, metrics: Sequence[str]
    ) -> tuple[list[Series], dict[tuple[str, ...], dict[Series, Cell]]]:
        """(series, numbers by the values of `varied` and by series), of these metrics: over
        the seeds."""
        cells = self.cells(metrics, self.varied)
        found = dict.fromkeys(one for of in cells.values() for one in of)
        return sorted(found, key=lambda one: metrics.index(one.metric)), cells

    def to_frame(self) -> DataFrame:
        """The rows as a pandas DataFrame, each axis a column of its own, dots in its name as
        underlines. Raises InputError where there is no pandas."""
        pandas = imported("pandas", "frames")
        frame = pandas.DataFrame(self.rows, columns=list(COLUMNS))
        for name in ("low", "value", "high"):
            frame[name] = pandas.to_numeric(frame[name])
        for at, key in enumerate(self.axes):
            name = key.replace(".", "_")
            values = frame["run"].map({run: axes[key] for run, axes in self.runs.items()})
            if name in frame:
                name = f"axis_{name}"
            numbers = pandas.to_numeric(values, errors="coerce")
            frame.insert(2 + at, name, values if numbers.isna().any() else numbers)
        return frame

    def _of(self, metrics: Iterable[str]) -> list[Row]:
        wanted = {*metrics, FAILED}
        return [row for row in self.rows if row[OF_RUN + METRIC] in wanted]

    def to_csv(self, metrics: Iterable[str]) -> str:
        """The rows of these metrics, and failures."""
        text = io.StringIO()
        long_rows.write(text, self._of(metrics))
        return text.getvalue()

    def to_dict(self, metrics: Iterable[str]) -> dict[str, Any]:
        """Plain data: the rows of these metrics, and failures, an object each."""
        return {
            "schema": "mmulab.rows",
            "schema_version": long_rows.SCHEMA_VERSION,
            "study": self.name,
            "command": self.command,
            "axes": {key: list(of) for key, of in self.axes.items()},
            "missing": self.missing,
            "rows": [_named(row) for row in self._of(metrics)],
        }

    def write_parquet(self, path: str, metrics: Iterable[str]) -> None:
        """The rows of these metrics, and failures, as Parquet, numbers as such. Raises
        InputError where there is no pyarrow."""
        arrow = imported("pyarrow", "parquet")
        parquet = imported("pyarrow.parquet", "parquet")
        rows = [_named(row) for row in self._of(metrics)]
        numbers = ("low", "value", "high")
        columns = {
            name: arrow.array(
                [row[name] for row in rows], arrow.float64() if name in numbers else arrow.string()
            )
            for name in COLUMNS
        }
        with replacing(path) as temporary:
            parquet.write_table(arrow.table(columns), temporary)

    def __repr__(self) -> str:
        failed = f", {len(self.failures)} failed" if self.failures else ""
        return f"<study {self.name}: {len(self.runs):,} runs of {self.command}{failed}>"


def imported(module: str, extra: str) -> Any:
    """An optional module. extra: of the package, that brings it. Raises InputError."""
    from importlib import import_module

    try:
        return import_module(module)
    except ImportError:
        raise InputError(f"{module} is not installed: pip install 'mmulab[{extra}]'") from None


def _named(row: Row) -> dict[str, Any]:
    """A row by its columns, numbers as such."""
    found: dict[str, Any] = dict(zip(COLUMNS, row, strict=True))
    for name in ("low", "value", "high"):
        found[name] = float(found[name]) if found[name] else None
    return found


def subject(row: Row) -> str:
    """What a row is about: the technique, or in runs of several VMs the variant and the VM."""
    named = dict(zip(COLUMNS, row, strict=True))
    if named["command"] not in ("run", "consolidate"):
        return named["technique"]
    variant = "" if named["variant"] == "as given" else named["variant"]
    return " ".join(filter(None, (variant, named["vm"]))) or "host"


def load(folder: str | Path) -> StudyResults:
    """What a study's folder keeps, also while runs are missing. Raises InputError."""
    folder = Path(folder)
    manifest = long_rows.read_manifest(folder)
    kept = long_rows.read(folder)
    study = manifest["study"]
    rows = tuple(
        (*long_rows.begins(run, study["command"]), *row)
        for run in manifest["runs"]
        for row in kept.get(run["run"], ())
    )
    return StudyResults(
        study["name"],
        study["command"],
        {key: tuple(values) for key, values in study["axes"].items()},
        {run["run"]: run["axes"] for run in manifest["runs"]},
        rows,
        sum(run["run"] not in kept for run in manifest["runs"]),
        manifest,
    )


def _cell(rows: Sequence[Row]) -> Cell:
    likely = [float(row[1]) for row in rows]
    low = fmean(float(row[0] or row[1]) for row in rows)
    high = fmean(float(row[2] or row[1]) for row in rows)
    least, most = min(likely), max(likely)
    mean = min(max(fmean(likely), least), most)  # not beyond them by a rounding
    return Cell(min(low, mean), mean, max(high, mean), least, most, len(rows))
