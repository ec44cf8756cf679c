"""TOML: the standard library's parser or, on Python 3.10, tomli, from which it was made."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["dotted", "tomllib"]


def dotted(table: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """(key, value) of each value of nested tables, with the key dotted: `cost.vm_exit`."""
    pairs: list[tuple[str, Any]] = []
    for key, value in table.items():
        if isinstance(value, Mapping):
            pairs += dotted(value, f"{prefix}{key}.")
        else:
            pairs.append((prefix + key, value))
    return pairs
