"""What a study is: a run, and the axes along which it is varied.

    traces = ["gups:size=256M,accesses=5M", "@python"]
    preset = "skylake-sp"

    [axes]
    page_size = ["4k", "thp"]
    "tlb.stlb.entries" = "512..8192*2"

    [[exclude]]
    page_size = "thp"
    "tlb.stlb.entries" = [512, 1024]

    [derive]
    host_memory = "= {memory} * 2"

The file is a configuration of `mmulab compare` (or, with command = "mrc", of that), or a scenario
of `mmulab run`, with these tables.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmulab.mmu.config.toml import dotted, tomllib
from mmulab.mmu.errors import InputError, MMULabError, unknown
from mmulab.studies.values import listed, text

if TYPE_CHECKING:
    from mmulab.mmu.scenario.settings import Scenario

COMMANDS = ("compare", "run", "mrc")

#: Keys of a study file that are no settings of its runs.
_OWN = ("command", "axes", "exclude", "derive")


@dataclass(frozen=True)
class Study:
    """A study.

    command: what a run of it is. base: settings that all runs have, as texts by key. scenario:
    of `run`. axes: values by key; the last varies fastest. exclude: a run is left out where each
    key of one of these has one of its values. derive: rules by key, see `derive`.
    """

    name: str
    command: str = "compare"
    base: Mapping[str, str] = field(default_factory=dict)
    scenario: Scenario | None = None
    axes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    exclude: tuple[Mapping[str, tuple[str, ...]], ...] = ()
    derive: Mapping[str, str] = field(default_factory=dict)

    def swept(self, axes: Mapping[str, tuple[str, ...]]) -> Study:
        """With more axes, or other values of those that it has."""
        return replace(self, axes={**self.axes, **axes})

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "name": self.name,
            "command": self.command,
            "base": dict(self.base),
            "scenario": asdict(self.scenario) if self.scenario else None,
            "axes": {key: list(values) for key, values in self.axes.items()},
            "exclude": [{key: list(of) for key, of in one.items()} for one in self.exclude],
            "derive": dict(self.derive),
        }


def load(path: str | os.PathLike[str]) -> Study:
    """A study from its file or, as @name, the scenario that comes with the package. Raises
    InputError naming the file and the key."""
    name = os.fspath(path)
    if name.startswith("@"):
        from mmulab.mmu.scenario import parsing

        return Study(name[1:], "run", scenario=parsing.load(name))
    try:
        table = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"study {name}: {error.strerror or error}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"study {name}: not TOML: {error}") from None
    try:
        return parse(table, Path(path).stem)
    except MMULabError as error:
        raise InputError(f"study {name}: {error}") from None


def parse(table: Mapping[str, Any], name: str) -> Study:
    """A study from the tables of its file. Raises InputError."""
    default = "run" if "vm" in table or "host" in table else "compare"
    command = table.get("command", default)
    if command not in COMMANDS:
        raise unknown("command", str(command), COMMANDS)
    rest = {key: value for key, value in table.items() if key not in _OWN}
    axes = {key: listed(key, values) for key, values in _table(table, "axes").items()}
    base: dict[str, str] = {}
    scenario = None
    if command == "run":
        from mmulab.mmu.scenario import parsing

        scenario = parsing.of_table(rest, name)
    else:
        traces = listed("traces", rest.pop("traces", "@python"))
        axes = axes if "trace" in axes else {"trace": traces, **axes}
        rest.pop("name", None)
        base = _base(rest)
    return Study(
        name=str(table.get("name", name)),
        command=command,
        base=base,
        scenario=scenario,
        axes=axes,
        exclude=tuple(_excluded(table.get("exclude", []), axes)),
        derive={key: text(rule) for key, rule in _table(table, "derive").items()},
    )


def axes_of(sweeps: Iterable[str], what: str = "--sweep") -> dict[str, tuple[str, ...]]:
    """Axes that the command line gives, KEY=A,B,... each. Raises InputError."""
    from mmulab.arguments import pairs

    axes: dict[str, tuple[str, ...]] = {}
    for key, values in pairs(sweeps, what):
        if key in axes:
            raise InputError(f"{what} {key}: given twice; expected each key once")
        axes[key] = listed(f"{what} {key}={values}", values)
    return axes


def _base(rest: Mapping[str, Any]) -> dict[str, str]:
    base: dict[str, str] = {}
    for key, value in rest.items():
        name = key.replace("-", "_")
        if key == "set":
            if not isinstance(value, Mapping):
                raise InputError("set: expected a table of KEY = VALUE")
            base |= {each: text(of) for each, of in dotted(value)}
        elif isinstance(value, Mapping):
            raise unknown("table", key, ("axes", "exclude", "derive", "set"))
        else:
            base[name] = ",".join(map(text, value)) if isinstance(value, list) else text(value)
    return base


def _table(table: Mapping[str, Any], key: str) -> dict[str, Any]:
    """A table whose keys are settings: those with dots may be nested or quoted."""
    found = table.get(key, {})
    if not isinstance(found, Mapping):
        raise InputError(f"[{key}]: expected a table")
    return {name: value for name, value in dotted(found)}


def _excluded(tables: Any, axes: Mapping[str, Any]) -> Iterable[dict[str, tuple[str, ...]]]:
    if not isinstance(tables, list):
        raise InputError("exclude: expected tables, [[exclude]]")
    for one in tables:
        found = {key: listed(f"exclude {key}", values) for key, values in dotted(one)}
        for key in found:
            if key not in axes:
                raise InputError(f"[[exclude]]: {unknown('axis', key, axes)}")
        if not found:
            raise InputError("[[exclude]]: nothing in it; expected KEY = VALUE")
        yield found
