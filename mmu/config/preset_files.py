"""Preset files: a processor as TOML, what it has otherwise than the one it is based on.

    base = "zen-4"                        # a preset's name, or another file

    memory_latency = {value = 480, low = 450, high = 520, source = "measured on my machine"}

    [cost]
    vm_exit = 1500

    [walk_cache.ntlb]
    entries = 0

Keys are those of `--set`, dotted or nested, and `title`, `year`, `notes` and the `source` of a
structure. `to_toml` writes every one of them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from mmulab.mmu import presets
from mmulab.mmu.config.toml import tomllib
from mmulab.mmu.errors import InputError
from mmulab.mmu.presets import geometry
from mmulab.mmu.presets.listing import number, plain
from mmulab.mmu.presets.overrides import GROUPS, fields_of, override
from mmulab.mmu.presets.preset import FLAGS, NUMBERS, STATED, Preset

Costs = Callable[[], Iterable[str]]

#: What describes a preset beside the keys of `--set`, and of which type.
_TEXTS = {"title": str, "year": int, "notes": list}


def is_file(name: str) -> bool:
    """Whether a preset is named by its file."""
    return name.endswith(".toml") or os.sep in name or (os.altsep or os.sep) in name


def called(name: str) -> str:
    """What results call the preset of that name or file."""
    return Path(name).stem if is_file(name) else name


def load(name: str | os.PathLike[str], costs: Costs = tuple) -> Preset:
    """The preset of that name or file, whose stem is its name then. costs: gives the names of
    techniques' costs, which a file may set. Raises InputError which names file and key."""
    text = os.fspath(name)
    if isinstance(name, str) and not is_file(text):
        return presets.load(text)
    return _load(Path(text), costs, ())


def _load(path: Path, costs: Costs, within: tuple[Path, ...]) -> Preset:
    try:
        where = path.resolve()
        if where in within:
            raise InputError("its base leads back to it")
        text = path.read_text(encoding="utf-8")
        return _parse(text, path, costs, (*within, where))
    except OSError as error:
        raise InputError(f"preset {path}: {error.strerror or error}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"preset {path}: not TOML: {error}") from None
    except InputError as error:
        said = str(error)
        raise InputError(said if said.startswith("preset ") else f"preset {path}: {said}") from None


def from_toml(text: str, name: str, costs: Costs = tuple) -> Preset:
    """The preset that a file of that text and stem holds. Raises InputError."""
    return _parse(text, Path(f"{name}.toml"), costs, ())


def _parse(text: str, path: Path, costs: Costs, within: tuple[Path, ...]) -> Preset:
    table = tomllib.loads(text)
    base = table.pop("base", None)
    if not isinstance(base, str):
        raise InputError(f'no base; expected base = "{presets.DEFAULT}", another name or a file')
    if is_file(base):
        preset = _load(path.parent / base, costs, within)
    else:
        preset = _named(base)
    preset = replace(preset, name=path.stem, base=preset.base or preset.name)
    for key, kind in _TEXTS.items():
        if key in table:
            text_of: dict[str, Any] = {key: _text(key, table.pop(key), kind)}
            preset = replace(preset, **text_of)
    changes = sorted(_leaves(table), key=_rank)
    for key, value in changes:
        preset = _changed(preset, key, value, costs, f"{path.name}")
    geometry.check(preset)
    return preset


def _named(base: str) -> Preset:
    try:
        return presets.load(base)
    except InputError as error:
        raise InputError(f"base: {error}") from None


def _text(key: str, value: Any, kind: type) -> Any:
    right = isinstance(value, kind) and not isinstance(value, bool)
    if isinstance(value, list) and right and all(isinstance(each, str) for each in value):
        return tuple(value)
    if not right or kind is list:
        expected = {str: "a text", int: "a whole number", list: "a list of texts"}[kind]
        raise InputError(f"{key}={value}: expected {expected}")
    return value


def _leaves(table: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """(dotted key, value): a value is anything but a table, or a table with a `value` in it."""
    found: list[tuple[str, Any]] = []
    for name, value in table.items():
        if isinstance(value, Mapping) and "value" not in value:
            found += _leaves(value, f"{prefix}{name}.")
        else:
            found.append((prefix + name, value))
    return found


def _rank(change: tuple[str, Any]) -> int:
    """Order in which keys of a structure mean what they say, in whatever order they stand."""
    key, value = change
    field = key.rpartition(".")[2]
    if field == "source":
        return 3
    given = value.get("value") if isinstance(value, Mapping) else value
    return 2 if given == "full" else 1 if field == "entries" else 0


def _changed(preset: Preset, key: str, value: Any, costs: Costs, source: str) -> Preset:
    group, _, rest = key.partition(".")
    name, _, field = rest.rpartition(".")
    if field == "source" and group in GROUPS:
        units = getattr(preset, GROUPS[group])
        if any(unit.name == name for unit in units) and isinstance(value, str):
            new = tuple(replace(u, source=value) if u.name == name else u for u in units)
            changes: dict[str, Any] = {GROUPS[group]: new}
            return replace(preset, **changes)
    more = costs() if group == "cost" and rest not in preset.costs else ()
    return override(preset, key, value, more, source)


def to_toml(preset: Preset) -> str:
    """The whole preset as a file, which `from_toml` reads back."""
    lines = [_line("base", preset.base or preset.name)]
    lines += [_line(key, getattr(preset, key)) for key in (*_TEXTS, *FLAGS)]
    for key in STATED:
        stated = getattr(preset, key)
        lines.append(_line(key, {"value": plain(stated.names), "source": stated.source}))
    lines += [_line(key, number(getattr(preset, key))) for key in NUMBERS]
    for group, attribute in GROUPS.items():
        for unit in getattr(preset, attribute):
            lines += ["", f"[{group}.{_key(unit.name)}]"]
            for field in (*fields_of(unit), "source"):
                if field != "entries":
                    value = getattr(unit, field)
                    lines.append(_line(field, number(value) if hasattr(value, "low") else value))
    lines += ["", "[cost]", *(_line(key, number(cost)) for key, cost in preset.costs.items())]
    return "\n".join(lines) + "\n"


def _line(key: str, value: Any) -> str:
    return f"{key} = {_value(value)}"


def _key(name: str) -> str:
    return name if name.replace("-", "").replace("_", "").isalnum() else json.dumps(name)


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(_line(key, each) for key, each in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_value, value)) + "]"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return json.dumps(value, ensure_ascii=False)
