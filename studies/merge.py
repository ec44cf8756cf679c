"""Several studies' results as one folder."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmulab.mmu.errors import InputError, printable
from mmulab.mmu.report import files, long_rows
from mmulab.mmu.report.long_rows import MANIFEST, ROWS, Row


def merge(folders: Sequence[Path], into: Path) -> None:
    """Writes a folder with the runs of all, each once, in the order given.

    An axis that a study has not is, for its runs, the setting of its base, or empty. Raises
    InputError where commands differ, where one run has two results, or where `into` is there.
    """
    shown = printable(str(into))
    if into.exists():
        raise InputError(f"{shown}: is there already; expected a new folder")
    manifests = [long_rows.read_manifest(folder) for folder in folders]
    commands = {manifest["study"]["command"] for manifest in manifests}
    if len(commands) > 1:
        raise InputError(f"studies of {' and '.join(sorted(commands))}: expected one command")
    keys = list(dict.fromkeys(key for one in manifests for key in one["study"]["axes"]))
    runs: dict[str, Any] = {}
    rows: dict[str, list[Row]] = {}
    for folder, manifest in zip(folders, manifests, strict=True):
        kept = long_rows.read(folder)
        base = manifest["study"]["base"]
        for run in manifest["runs"]:
            axes = {key: run["axes"].get(key, base.get(key, "")) for key in keys}
            runs.setdefault(run["run"], {**run, "axes": axes})
        for key, found in kept.items():
            if rows.setdefault(key, found) != found:
                said = long_rows.in_words(runs[key]["axes"])
                raise InputError(f"{printable(str(folder))}: {said}: has other rows elsewhere")
    into.mkdir(parents=True)
    _write(into, manifests, keys, runs, rows)


def _write(
    into: Path, manifests: list[Any], keys: list[str], runs: dict[str, Any],
    rows: dict[str, list[Row]],
) -> None:  # fmt: skip
    command = manifests[0]["study"]["command"]
    axes = {key: list(dict.fromkeys(run["axes"][key] for run in runs.values())) for key in keys}
    with files.together():
        with files.replacing(into / ROWS) as temporary:
            with open(temporary, "w", encoding="utf-8", newline="") as file:
                every = (
                    (*long_rows.begins(run, command), *row)
                    for key, run in runs.items() for row in rows.get(key, ())
                )  # fmt: skip
                long_rows.write(file, every)
            digest = long_rows.digest(temporary)
        manifest = {
            **manifests[0],
            "made": [made for one in manifests for made in one["made"]],
            "study": {
                "name": into.name, "command": command, "base": {}, "scenario": None, "axes": axes,
                "exclude": [], "derive": {}, "merged": [one["study"] for one in manifests],
            },
            "files": {name: of for one in manifests for name, of in one["files"].items()},
            "runs": list(runs.values()),
            "done": len(rows),
            "failed": sum(map(long_rows.is_failed, rows.values())),
            "rows": digest | {"file": ROWS},
        }  # fmt: skip
        with files.replacing(into / MANIFEST) as temporary:
            temporary.write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
