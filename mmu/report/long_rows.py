"""The rows of a study: long, one number each, with the same columns whatever was run; and the
folder that they are kept in, read.

    study.json    the manifest: the study, its runs in order, where and by which commands
    runs.jsonl    while runs are missing: a line for each that is made, whole or not there
    rows.csv      all rows in the order of the study, once every run is made
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

from mmulab.mmu.errors import InputError, printable

SCHEMA = "mmulab.study"
SCHEMA_VERSION = 1

MANIFEST, JOURNAL, ROWS = "study.json", "runs.jsonl", "rows.csv"

#: Of a number that has no range, low and high are empty; of a run that failed, value is.
COLUMNS = (
    "run", "axes", "command", "preset", "seed", "trace", "variant", "vm", "technique",
    "metric", "low", "value", "high", "failure",
)  # fmt: skip

#: Columns that all rows of a run share, and places of others in what follows them.
OF_RUN = 5
METRIC = COLUMNS.index("metric") - OF_RUN

#: The metric of a run that failed.
FAILED = "failed"

Row = tuple[str, ...]


def in_words(axes: Mapping[str, str]) -> str:
    """The axes of a run as rows have them: `key=value;key=value`."""
    return ";".join(f"{key}={value}" for key, value in axes.items())


def is_failed(rows: Sequence[Row]) -> bool:
    """Whether rows, without what begins them, are those of a run that failed."""
    return any(row[METRIC] == FAILED for row in rows)


def write(file: TextIO, rows: Iterable[Row]) -> None:
    """Rows as CSV, with a header."""
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(rows)


def read_manifest(folder: Path) -> dict[str, Any]:
    """What a folder says of its study. Raises InputError where it is no study's."""
    where = f"{printable(str(folder))}: {MANIFEST}"
    try:
        found = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{where}: {error.strerror}; expected the folder of a study") from None
    except ValueError as error:
        raise InputError(f"{where}: no JSON: {error}") from None
    if not isinstance(found, dict) or found.get("schema") != SCHEMA:
        raise InputError(f"{where}: expected schema {SCHEMA}")
    if found["schema_version"] != SCHEMA_VERSION:
        raise InputError(
            f"{where}: schema version {found['schema_version']}; expected {SCHEMA_VERSION}"
        )
    return found


def read(folder: Path) -> dict[str, list[Row]]:
    """Rows by the key of each run that a folder keeps, without what begins them. Raises
    InputError where they are not what the program wrote."""
    kept: dict[str, list[Row]] = {}
    with suppress(FileNotFoundError), open(folder / ROWS, encoding="utf-8", newline="") as file:
        lines = csv.reader(file)
        if next(lines, None) != list(COLUMNS):
            where = printable(str(folder / ROWS))
            raise InputError(f"{where}: expected columns {','.join(COLUMNS)}")
        for line in lines:
            kept.setdefault(line[0], []).append(tuple(line[OF_RUN:]))
    with suppress(FileNotFoundError), open(folder / JOURNAL, "rb") as journal:
        for number, text in enumerate(journal, start=1):
            if not text.endswith(b"\n"):
                break  # the process ended while it wrote
            try:
                line = json.loads(text)
                kept[line["run"]] = [tuple(row) for row in line["rows"]]
            except (ValueError, KeyError, TypeError):
                where = f"{printable(str(folder / JOURNAL))}: line {number}"
                raise InputError(f"{where}: not what was written there") from None
    return kept


def begins(run: Mapping[str, Any], command: str) -> Row:
    """What begins each row of a run. run: as the manifest lists it."""
    return (run["run"], in_words(run["axes"]), command, run["preset"], run["seed"])


def digest(path: Path) -> dict[str, Any]:
    """What a manifest says of a file of rows."""
    text = path.read_bytes()
    found = hashlib.sha256(text).hexdigest()
    return {"file": path.name, "sha256": found, "rows": text.count(b"\n") - 1}
