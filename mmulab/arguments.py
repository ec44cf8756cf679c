"""What the arguments of the command line and of the public functions stand for."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from operator import index
from typing import TYPE_CHECKING, Any, TypedDict

from mmulab.mmu.config.units import parse_bytes, parse_count
from mmulab.mmu.errors import InputError, unknown

if TYPE_CHECKING:
    from mmulab.mmu.config import Config
    from mmulab.mmu.presets.preset import Preset
    from mmulab.mmu.scenario.checkpoints import Checkpoints
    from mmulab.mmu.scenario.settings import Scenario
    from mmulab.mmu.tlb_stream.levels import Geometry

    PathLike = str | os.PathLike[str]
    Listed = str | Iterable[str]  # "a,b", or the names themselves
    Settings = Mapping[str, Any] | Iterable[str]  # {key: value}, nested or dotted, or "key=value"

PAGE_SIZES = ("4k", "2m")  # of memory images
DEFAULT_TRACE = "@python"


class Machine(TypedDict, total=False):
    """What describes the simulated machine, beside the preset: the options of the commands.

    memory, host_memory: of the guest and the host, bytes or a text such as "16G", which is
    the guest's; the host has an eighth more unless told otherwise. page_size: of the guest,
    "4k", "2m", "1g", or "thp" (2m where a mapping allows it). host_page_size: what the VMM
    backs guest memory with. levels, host_levels: of the guest's and the nested page table, 4
    or 5; on Arm and RISC-V others, too, and for host_levels 0: as the architecture has it.
    shadow_policy: on writes to guest tables, "unsync" or "trap". guest_allocator: "buddy", or
    "ptemagnet": eight neighbouring pages get neighbouring frames. guest_thp: of page size "thp",
    the guest's policy: "fault", "never", "linux" and others, with parameters
    ("linux:max_ptes_none=0", docs/switches.md). pcid, vpid, ept_ad:
    None: as the preset has it. walk_caches: paging-structure caches and nested TLB. caches:
    whether the program's data goes through the caches: "sampled", "exact", "off". llc: how much
    of the last cache the VM has: a core's "slice", the whole "socket", or bytes. seed: of
    generators and random replacement. guest_tables, host_tables: files of page tables that were
    dumped from a machine (docs/techniques.md), in place of the simulated guest's. cores: on which
    the trace's threads run.
    """

    memory: int | str
    host_memory: int | str
    page_size: str
    host_page_size: str
    levels: int
    host_levels: int
    shadow_policy: str
    guest_allocator: str
    guest_thp: str
    pcid: bool | None
    vpid: bool | None
    ept_ad: bool | None
    walk_caches: bool
    caches: str
    llc: int | str
    seed: int
    guest_tables: str
    host_tables: str
    cores: int


def listed(names: Listed) -> list[str]:
    """The names of a list as the command line has it, comma-separated, or of any other."""
    parts = names.split(",") if isinstance(names, str) else names
    return [part.strip() for part in parts if part.strip()]


def pairs(settings: Settings, what: str = "set") -> list[tuple[str, str]]:
    """(key, value) of each setting, in order. what: to call one in an error.

    Raises InputError for a text that is no KEY=VALUE.
    """
    from mmulab.mmu.config.toml import dotted

    if isinstance(settings, Mapping):
        return [(key, str(value)) for key, value in dotted(settings)]
    found = []
    for item in [settings] if isinstance(settings, str) else settings:
        key, equals, value = item.partition("=")
        if not equals or not value:
            raise InputError(f"{what} {item}: expected KEY=VALUE")
        found.append((key.strip(), value.strip()))
    return found


def machine(
    preset: PathLike | Preset,
    changes: Iterable[tuple[str, str]],
    options: Machine,
    techniques: Listed = "",
) -> tuple[Preset, Config]:
    """(preset with the changes, Config of the options). preset: its name, its file or itself.
    techniques: specs, whose costs can be changed beside those of the package's techniques. Raises
    InputError."""
    from mmulab.mmu.config import LLC, Config, preset_files
    from mmulab.mmu.presets.overrides import override

    if isinstance(preset, (str, os.PathLike)):
        chosen = preset_files.load(preset, lambda: _costs("cost.", techniques))
    else:
        chosen = preset
    for key, value in changes:
        chosen = override(chosen, key, value, _costs(key, techniques))
    fields: dict[str, Any] = {**options}
    for name in fields:
        if name not in Machine.__annotations__:
            raise unknown("option", name, Machine.__annotations__)
    for name in ("memory", "host_memory"):
        if name in fields:
            fields[name] = number(name, fields[name], parse_bytes)
    if fields.get("llc", LLC[0]) not in LLC:
        fields["llc"] = number("llc", fields["llc"], _bytes_of_cache)
    for name in ("levels", "host_levels", "seed", "cores"):
        if name in fields:
            fields[name] = number(name, fields[name], parse_count)
    return chosen, Config(**fields)


def _bytes_of_cache(text: str) -> int:
    try:
        return parse_bytes(text)
    except ValueError as error:
        raise ValueError(f"{error}, or slice, or socket") from None


def _costs(key: str, techniques: Listed) -> list[str]:
    """Names of techniques' costs, where a key may be one: what knows them loads slowly."""
    if not key.startswith("cost."):
        return []
    from mmulab.mmu.presets.shootdowns import SHOOTDOWNS
    from mmulab.mmu.techniques import registry, specs

    several = specs.split(techniques) if isinstance(techniques, str) else techniques
    others = [specs.parse(text).technique for text in several]
    return [*specs.costs([*registry.built_in(), *others]), *SHOOTDOWNS]


def number(name: str, value: Any, parse: Callable[[str], int]) -> int:
    """A whole number, or what a text with a unit stands for.

    name: to call it in an error. parse: reads a text, and raises ValueError which says what
    was expected. Raises InputError.
    """
    try:
        return parse(value) if isinstance(value, str) else index(value)
    except ValueError as error:
        raise InputError(f"{name.replace('_', ' ')} {error}") from None
    except TypeError:
        raise InputError(f"{name.replace('_', ' ')} {value!r}: expected a whole number") from None


def geometry(text: str) -> Geometry:
    """A TLB of "SETSxWAYS", LRU. Raises InputError."""
    from mmulab.mmu.tlb_stream.levels import Geometry

    sets, _, ways = text.partition("x")
    if not (sets.isdecimal() and ways.isdecimal()):
        raise InputError(f"{text}: expected SETSxWAYS, such as 16x4")
    return Geometry(int(sets), int(ways))


def address(gva: int | str) -> int:
    """An address of 64 bits, of a number or a text. Raises InputError."""
    try:
        number = int(gva, 0) if isinstance(gva, str) else index(gva)
    except (TypeError, ValueError):
        raise InputError(f"{gva!r}: expected an address such as 0x7f1234567000") from None
    if not 0 <= number < 1 << 64:
        raise InputError(f"{gva!r}: expected an address of 64 bits")
    return number


def settle(
    scenario: PathLike | Scenario,
    changes: Iterable[tuple[str, str]] = (),
    technique: str | None = None,
) -> Scenario:
    """The scenario with its settings changed. Raises InputError."""
    from mmulab.mmu.scenario import parsing
    from mmulab.mmu.scenario.settings import Scenario

    loaded = scenario if isinstance(scenario, Scenario) else parsing.load(os.fspath(scenario))
    of_all = [("vm.technique", technique)] if technique else []
    return parsing.overridden(loaded, [*changes, *of_all])


def checkpoints(
    path: PathLike | Checkpoints | None, every: float | str, resume: PathLike | None
) -> Checkpoints | None:
    """The checkpoints of a command; None where none are asked for. path: unless given, that of
    the one that it resumes from. Raises InputError."""
    from mmulab.mmu.config.units import parse_seconds
    from mmulab.mmu.report.files import check_writable
    from mmulab.mmu.scenario.checkpoints import Checkpoints

    if isinstance(path, Checkpoints):
        return path
    target = resume if path is None else path
    if target is None:
        return None
    try:
        seconds = parse_seconds(every) if isinstance(every, str) else float(every)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise InputError(f"every = {every}: expected a time, such as 30s or 10min")
    return Checkpoints(
        check_writable(os.fspath(target), "checkpoint"),
        seconds,
        os.fspath(resume) if resume else None,
    )
