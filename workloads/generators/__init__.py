"""Workload generators, one file each: compiled, seeded, of any length in bounded memory.

A generator is a module with

    SUMMARY       one line, with the literature that names the workload
    PARAMETERS    name -> Parameter
    chunks(parameters, seed) -> Iterator[Chunk]
    check(parameters)   where parameters limit each other: raises InputError
    depends(parameters) where it is known what makes addresses: a function, to be called with one
                        chunk after another, of the chunk's column (see `origins`)
    COMPOSED            true where chunks takes the optional columns that are wanted as well

To add one: its file, and its name in `_MODULES`. Access n depends on the parameters, the
seed and n alone, so that a trace does not depend on how it is cut into chunks. Sizes are
bytes with binary suffixes (256M is 2**28), counts have decimal ones (20M is 2 * 10**7).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from importlib import import_module
from types import ModuleType
from typing import Any

from mmulab.mmu.errors import InputError, unknown
from mmulab.mmu.trace import Chunk, Origin
from mmulab.workloads.generators.entries import KERNEL_EVERY, with_entries
from mmulab.workloads.generators.parameters import Parameter

_MODULES = (
    "gups", "triad", "scan", "chase", "zipf", "ycsb", "hashjoin", "btree", "graph", "matmul",
    "fft", "spmv", "quicksort", "gcheap", "churn", "microchurn", "munmap", "webserver", "buildfarm",
    "guest", "mix", "phases",
)  # fmt: skip

Values = dict[str, Any]  # parameters by name; numbers, but for texts

_UNITS = (
    "Sizes are bytes and have binary suffixes (256M is 2**28), counts have decimal ones (20M is\n"
    "2 * 10**7). Accesses are loads and stores of data; only buildfarm has instruction fetches."
)


def names() -> tuple[str, ...]:
    return _MODULES


def unknown_name(name: str) -> InputError:
    """An error for a name that is neither a file nor a generator."""
    return unknown("file or generator", name, _MODULES)


def _module(name: str) -> ModuleType:
    if name not in _MODULES:
        raise unknown("generator", name, _MODULES)
    return import_module(f"mmulab.workloads.generators.{name}")


class Generated:
    """A trace that is made as it is read: same spec and seed, same accesses."""

    def __init__(self, module: ModuleType, values: Values, seed: int) -> None:
        self._module = module
        self._values = values
        self._seed = seed
        short = module.__name__.rpartition(".")[2]
        parameters = _parameters(module)
        changed = [
            f"{name}={parameters[name].show(value)}"
            for name, value in values.items()
            if value != parameters[name].default
        ]
        self.name = short + (":" + ",".join(changed) if changed else "")
        self.origin = Origin(self.name, seed=seed)

    @property
    def length(self) -> int | None:
        return int(self._values["accesses"])

    def chunks(self, columns: Collection[str] = ()) -> Iterator[Chunk]:
        """The trace from its beginning, with those optional columns that are asked for, as far
        as the generator knows them."""
        module, values = self._module, self._values
        wanted = (columns,) if hasattr(module, "COMPOSED") else ()
        chunks: Iterator[Chunk] = module.chunks(values, self._seed, *wanted)
        if "depends" in columns and hasattr(module, "depends"):
            depends = module.depends(values)
            chunks = (chunk._replace(depends=depends(chunk)) for chunk in chunks)
        every = int(values["kernel_every"])
        return with_entries(chunks, every) if every else chunks

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (self._module.__name__, self._values, self._seed)


def _parameters(module: ModuleType) -> dict[str, Parameter]:
    """A generator's own parameters, and those that all have."""
    return {**module.PARAMETERS, "kernel_every": KERNEL_EVERY}


def parameters_of(name: str) -> tuple[str, ...]:
    """Names of a generator's parameters. Raises InputError for an unknown generator."""
    return tuple(_parameters(_module(name)))


def _again(module: str, values: Values, seed: int) -> Generated:
    return Generated(import_module(module), values, seed)


def create(spec: str, seed: int = 1) -> Generated:
    """A generator from `name[:key=value,...]`. Raises InputError naming what is wrong."""
    name, colon, rest = spec.partition(":")
    module = _module(name)
    parameters = _parameters(module)
    if not 0 < seed < 1 << 62:
        raise InputError(f"seed {seed}: expected 1 to 2**62 - 1")
    given: Values = {}
    for item in items(rest) if colon else ():
        key, equals, text = item.partition("=")
        if not equals:
            raise InputError(f"{name}: {item!r}: expected KEY=VALUE")
        if key not in parameters:
            raise unknown(f"parameter of {name}", key, parameters)
        if key in given:
            raise InputError(f"{name}: {key} is given twice")
        given[key] = parameters[key].parse(f"{name}: {key}", text)
    values = {key: given.get(key, p.default) for key, p in parameters.items()}
    if hasattr(module, "check"):
        module.check(values)
    return Generated(module, values, seed)


def items(text: str) -> list[str]:
    """The parts between commas that are not within parentheses."""
    items, depth = [""], 0
    for letter in text:
        depth += (letter == "(") - (letter == ")")
        if letter == "," and depth <= 0:
            items.append("")
        else:
            items[-1] += letter
    return items


def listing(name: str | None = None) -> str:
    """The generators with their parameters, or one of them, as text."""
    lines = []
    for each in (name,) if name else _MODULES:
        module = _module(each)
        lines += [f"{each}: {module.SUMMARY}"]
        for key, parameter in _parameters(module).items():
            default = parameter.show(parameter.default)
            lines.append(f"    {key + '=' + default:<20} {parameter.meaning}")
    return "\n".join([*lines, _UNITS])
