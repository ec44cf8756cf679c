"""The folder of a study, written: `mmu.report.long_rows` says what is in it.

A line is appended at once, whole, so that a run is kept or not, whatever ends the process; what
stands behind the last whole line is dropped. `rows.csv` is made of the lines when
the last run is, so that it is the same in whatever order they came.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mmulab import __version__
from mmulab.mmu.errors import InputError, printable
from mmulab.mmu.report import long_rows
from mmulab.mmu.report.files import replacing
from mmulab.mmu.report.long_rows import COLUMNS, JOURNAL, MANIFEST, ROWS, Row, is_failed
from mmulab.mmu.report.made import Making
from mmulab.mmu.report.study_results import StudyResults
from mmulab.studies.points import Point
from mmulab.studies.study import Study


class Store:
    """A study's folder, open for appending. done: rows by the key of each run that is kept.
    failed: keys of those that failed."""

    def __init__(self, folder: Path, study: Study, points: Sequence[Point]) -> None:
        self.folder = folder
        self.done: dict[str, list[Row]] = {}
        self.failed: set[str] = set()
        self._study = study
        self._points = {point.key: point for point in points}
        self._making = Making({})
        self._commands: list[Any] = []
        self._journal: Any = None
        self._spare: dict[str, list[Row]] = {}  # of runs that `add` has not named yet

    def open(self, retry: bool = False, grows: bool = False) -> None:
        """Reads what is kept. retry: runs that failed are not. grows: its points are those that
        the folder knows, and those that `add` is told of. Raises InputError where the folder is
        another study's, or in use."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._journal = open(self.folder / JOURNAL, "a+b")
        _lock(self._journal, self.folder)
        kept = long_rows.read(self.folder)
        if (self.folder / MANIFEST).exists():
            found = long_rows.read_manifest(self.folder)
            self._commands = found["made"]
            if grows:
                self._know(found)
            self._refuse_others([run for run in found["runs"] if run["run"] in kept])
        elif (self.folder / ROWS).exists():
            raise InputError(f"{self._shown}: holds {ROWS} of no study; expected a new folder")
        self._cut()
        for key, rows in kept.items():
            if key in self._points and not (retry and is_failed(rows)):
                self._keep(key, rows)
            elif grows:
                self._spare[key] = rows
        self._write_manifest(False)

    def _know(self, found: Mapping[str, Any]) -> None:
        """Takes over the points of a manifest of the same study, whose axes may have grown."""
        mine = {**json.loads(json.dumps(self._study.to_dict())), "axes": None}
        if {**found["study"], "axes": None} != mine:
            raise InputError(
                f"{self._shown}: holds another study, {found['study']['name']}; expected that of "
                f"the same scenario and settings, or a new folder"
            )
        for run in found["runs"]:
            settings = {name: run[name] for name in ("preset", "seed")}
            axes, files = tuple(run["axes"].items()), found["files"]
            command = self._study.command
            self._points[run["run"]] = Point(run["run"], command, axes, settings, files=files)

    def add(self, point: Point) -> None:
        """One more point; what was kept of the same axes, and was made of something else by then,
        goes."""
        stale = [
            key for key, old in self._points.items() if old.axes == point.axes and key != point.key
        ]
        for key in stale:
            del self._points[key]
            self.done.pop(key, None)
        self._points[point.key] = point
        if point.key in self._spare:
            self._keep(point.key, self._spare.pop(point.key))
        axes = [dict(each.axes) for each in self._points.values()]
        grown = {key: tuple(dict.fromkeys(of[key] for of in axes)) for key in axes[0]}
        self._study = self._study.swept(grown)

    @property
    def _shown(self) -> str:
        return printable(str(self.folder))

    def _refuse_others(self, kept: Sequence[Mapping[str, Any]]) -> None:
        others = [run for run in kept if run["run"] not in self._points]
        if others:
            such = long_rows.in_words(others[0]["axes"]) or "its only one"
            raise InputError(
                f"{self._shown}: holds {len(others)} runs that this study does not have, such as "
                f"{such}; expected the study that it was made for, with more values if need be, of "
                "files and a version of mmulab that have not changed; or a new folder"
            )

    def _cut(self) -> None:
        """Drops what stands behind the last whole line."""
        self._journal.seek(0)
        whole = self._journal.read().rfind(b"\n") + 1
        self._journal.truncate(whole)

    def _keep(self, key: str, rows: Sequence[Row]) -> None:
        self.done[key] = list(rows)
        if is_failed(rows):
            self.failed.add(key)

    def append(self, point: Point, rows: Sequence[Row]) -> None:
        """Keeps the rows of a run."""
        line = json.dumps({"run": point.key, "rows": rows}, ensure_ascii=True)
        self._journal.write(line.encode() + b"\n")
        self._journal.flush()
        self._keep(point.key, rows)

    def finish(self) -> None:
        """Once all runs are kept, writes `rows.csv` and drops the lines that it is made of."""
        if any(key not in self.done for key in self._points):
            self._write_manifest(False)
            return
        with replacing(self.folder / ROWS) as temporary:
            with open(temporary, "w", encoding="utf-8", newline="") as file:
                long_rows.write(file, self.rows())
        self._write_manifest(True)
        self._journal.truncate(0)

    def rows(self) -> Iterator[Row]:
        """All rows that are kept, in the order of the study."""
        for key, point in self._points.items():
            first = long_rows.begins(point.to_dict(), point.command)
            for row in self.done.get(key, ()):
                yield (*first, *row)

    def results(self) -> StudyResults:
        """What is kept."""
        runs = {key: dict(point.axes) for key, point in self._points.items()}
        missing = len(runs) - len(self.done)
        study = self._study
        return StudyResults(
            study.name, study.command, study.axes, runs, tuple(self.rows()), missing
        )

    def close(self) -> None:
        if self._journal:
            empty = self._journal.seek(0, os.SEEK_END) == 0
            if empty and (self.folder / ROWS).exists():
                (self.folder / JOURNAL).unlink()
            self._journal.close()

    def _write_manifest(self, whole: bool) -> None:
        manifest = {
            "schema": long_rows.SCHEMA,
            "schema_version": long_rows.SCHEMA_VERSION,
            "version": __version__,
            "made": [*self._commands, self._making.made()],
            "study": self._study.to_dict(),
            "columns": list(COLUMNS),
            "files": {
                name: digest
                for point in self._points.values()
                for name, digest in point.files.items()
            },
            "runs": [point.to_dict() for point in self._points.values()],
            "done": len(self.done),
            "failed": len(self.failed),
            "rows": long_rows.digest(self.folder / ROWS) if whole else None,
        }
        with replacing(self.folder / MANIFEST) as temporary:
            temporary.write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")


@contextmanager
def opened(
    folder: str | os.PathLike[str],
    study: Study,
    points: Sequence[Point],
    retry: bool = False,
    grows: bool = False,
) -> Iterator[Store]:
    """A study's folder, made where there is none. Raises InputError."""
    store = Store(Path(folder), study, points)
    try:
        store.open(retry, grows)
        yield store
    finally:
        store.close()


def _lock(file: Any, folder: Path) -> None:
    """Two processes do not append to one folder. Raises InputError."""
    try:
        import fcntl
    except ImportError:  # Windows: nothing keeps them apart
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise InputError(f"{printable(str(folder))}: another process is at work on it") from None
