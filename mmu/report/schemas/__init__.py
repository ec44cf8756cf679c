"""JSON Schemas (draft 2020-12) of what is written as JSON: a file each, by the schema's name
without `mmulab.`. More keys than they name may come at any time; fewer raise the version."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mmulab.mmu.errors import unknown

_HERE = Path(__file__).parent


def names() -> tuple[str, ...]:
    """Of all schemas."""
    return tuple(sorted(path.stem for path in _HERE.glob("*.json")))


def load(name: str) -> dict[str, Any]:
    """A schema. Raises InputError for an unknown name."""
    return dict(json.loads(text(name)))


def text(name: str) -> str:
    """A schema as it is shipped. Raises InputError for an unknown name."""
    if name not in names():
        raise unknown("schema", name, names())
    return (_HERE / f"{name}.json").read_text(encoding="utf-8")
