"""Scenarios from TOML: the file that `mmulab run` is given.

    name = "two desktops"

    [host]
    memory = "3G"
    swap = "8G"

    [[vm]]
    name = "desktop"
    count = 2
    memory = "2G"
    workload = "zipf:keys=400k"

    [balloon]

Keys are the settings of `mmu.host.settings` and of each service; sizes are numbers of bytes
or texts such as "512M", times are seconds or texts such as "20ms". A table turns its mechanism
on.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import MISSING, fields, replace
from itertools import islice
from pathlib import Path
from typing import Any

from mmulab.mmu.config.toml import dotted, tomllib
from mmulab.mmu.config.units import parse_bytes, parse_count, parse_seconds
from mmulab.mmu.errors import InputError, MMULabError, unknown
from mmulab.mmu.host.arrivals import ArrivalSettings
from mmulab.mmu.host.settings import HostSettings, VMSettings
from mmulab.mmu.scenario import idle
from mmulab.mmu.scenario.lives import Event
from mmulab.mmu.scenario.settings import Scenario
from mmulab.mmu.services.balloon import BalloonSettings
from mmulab.mmu.services.events import ACTIONS
from mmulab.mmu.services.ksm import KSMSettings
from mmulab.mmu.services.reporting import ReportingSettings

_SIZES = {
    "memory", "swap", "disk", "reservation", "limit", "balloon", "bandwidth", "step", "size",
    "slowest", "channel", "delta_cache",
}  # fmt: skip
_TIMES = {
    "latency", "period", "sample_period", "sleep", "start", "stop", "at", "downtime", "fails",
    "every",
    "lifetime", "day",
}  # fmt: skip
_MECHANISMS: dict[str, type] = {
    "balloon": BalloonSettings,
    "ksm": KSMSettings,
    "reporting": ReportingSettings,
}
_TOP = ("name", "seed", "host", "vm", "event", "arrivals", *_MECHANISMS)

#: Scenarios that come with the package, with what each shows.
BUNDLED = {
    "double-paging": "a guest that pages on a host that pages: the anomaly, and what cures it",
    "desktops": "six guests of one image: what merging saves, and what it costs",
    "clones": "a template and 200 clones: what they share, and what each adds",
    "migration": "a VM that moves to another host: rounds, downtime, pages sent twice",
    "consolidation": "three kinds of small servers: how many fit, `mmulab consolidate`",
    "idle-tax": "a busy guest and an idle one: who gives memory to whom",
}


def load(path: str | Path) -> Scenario:
    """Reads a scenario from a file or, as @name, one that comes with the package. Raises
    InputError naming the file, the table and the key."""
    name = str(path)
    if name.startswith("@"):
        if name[1:] not in BUNDLED:
            raise unknown("bundled scenario", name[1:], BUNDLED)
        path = Path(__file__).parent / "bundled" / f"{name[1:]}.toml"
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"scenario {path}: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise InputError(f"scenario {path}: not a text: {error}") from None
    return parse(text, str(path))


def parse(text: str, where: str) -> Scenario:
    """A scenario from TOML. where: what to call it in errors, and unless it has a name."""
    try:
        table = tomllib.loads(text)
    except ValueError as error:
        raise InputError(f"scenario {where}: not TOML: {error}") from None
    try:
        return of_table(table, Path(where).stem)
    except MMULabError as error:
        raise InputError(f"scenario {where}: {error}") from None


def overridden(scenario: Scenario, changes: Iterable[tuple[str, str]]) -> Scenario:
    """The scenario with settings changed, as `override` does each. Raises InputError, also
    where one of them does nothing in the end."""
    changes = list(changes)
    for key, text in changes:
        scenario = override(scenario, key, text)
    found = idle.idle(scenario)
    for key, _ in changes:
        where, _, name = key.rpartition(".")
        given = [f"{where}.{_named(name)}"]
        if where == "vm":  # of every VM: it may do something for one
            every = [f"vm.{vm.name}.{_named(name)}" for vm in scenario.vms]
            given = every if set(every) <= set(found) else []
        idle.check_given(scenario, given)
    return scenario


def override(scenario: Scenario, key: str, text: str) -> Scenario:
    """The scenario with one setting changed: host.KEY (of every host), vm.KEY (of every VM),
    vm.NAME.KEY, event.KEY (of every event that has it), balloon.KEY, ksm.KEY, reporting.KEY (which
    turns the mechanism on), or seed.

    Raises InputError for an unknown key, with the nearest, or a value of the wrong type.
    """
    group, _, name = key.partition(".")
    where = f"{key}={text}"
    if key == "seed":
        return replace(scenario, seed=_value(where, text, int))
    if group == "host":
        host, *others = (_changed(each, where, name, text) for each in scenario.hosts)
        return replace(scenario, host=host, others=tuple(others))
    if group == "vm":
        who, _, last = name.rpartition(".")
        if who and who not in {vm.name for vm in scenario.vms}:
            raise InputError(f"{where}: {unknown('vm', who, [vm.name for vm in scenario.vms])}")
        vms = (
            _changed(vm, where, last, text) if who in ("", vm.name) else vm for vm in scenario.vms
        )
        return replace(scenario, vms=tuple(vms))
    if group == "event":
        return replace(scenario, events=_changed_events(scenario.events, where, name, text))
    if group in _MECHANISMS:
        settings = getattr(scenario, group) or _MECHANISMS[group]()
        changed: dict[str, Any] = {group: _changed(settings, where, name, text)}
        return replace(scenario, **changed)
    raise InputError(
        f"{where}: {unknown('key', group, ['host', 'vm', 'event', 'seed', *_MECHANISMS])}"
    )


def _changed_events(events: Iterable[Event], where: str, name: str, text: str) -> tuple[Event, ...]:
    """Events, each that has an argument with it changed. Raises InputError where none has."""
    changed = []
    known: set[str] = set()
    for event in events:
        mine = {key for key, _ in event.arguments}
        known |= mine
        if name in mine:
            kind = _type(ACTIONS[event.do], name)
            value = _value(where, _as_flag(text) if kind is bool else text, kind, name)
            pairs = ((key, value if key == name else old) for key, old in event.arguments)
            event = replace(event, arguments=tuple(pairs))
        changed.append(event)
    if name not in known:
        raise InputError(f"{where}: {unknown('argument of an event', name, known)}")
    return tuple(changed)


def _as_flag(text: str) -> bool | str:
    return {"true": True, "false": False}.get(text.lower(), text)


def _changed(settings: Any, where: str, name: str, text: str) -> Any:
    """Settings with one of them read from a text."""
    kind = type(settings)
    name = _named(name)
    known = [field.name for field in fields(kind) if field.name not in ("name", "set")]
    if name not in known:
        raise InputError(f"{where}: {unknown('key', name, known)}")
    wanted = _type(kind, name)
    value = _as_flag(text) if wanted is bool else text
    return replace(settings, **{name: _value(where, value, wanted, name)})


def of_table(table: Mapping[str, Any], name: str) -> Scenario:
    """A scenario from the tables of its file. name: unless it has one. Raises InputError."""
    for key in table:
        if key not in _TOP:
            raise unknown("key", key, _TOP)
    for key in ("host", "vm"):
        if key not in table and not (key == "vm" and "arrivals" in table):
            raise InputError(f"no [{key}]; expected [host] and at least one [[vm]]")
    seed = _value("seed", table.get("seed", 1), int)
    settings: dict[str, Any] = {
        key: _settings(kind, f"[{key}]", table[key])
        for key, kind in _MECHANISMS.items()
        if key in table
    }
    host, *others = _hosts(table["host"])
    vms = _vms(_tables("vm", table.get("vm", [])), seed)
    scenario = Scenario(
        name=str(table.get("name", name)),
        host=host,
        others=tuple(others),
        vms=vms,
        arrivals=tuple(_arrivals(_tables("arrivals", table.get("arrivals", [])), list(vms), seed)),
        events=tuple(_event(one) for one in _tables("event", table.get("event", []))),
        seed=seed,
        **settings,
    )
    idle.check_given(scenario, _given(table, scenario))
    return scenario


def _event(table: Any) -> Event:
    """An event; `balloon = SIZE` stands for do = "balloon", size = SIZE."""
    if not isinstance(table, Mapping):
        raise InputError("[[event]]: expected a table")
    body = dict(table)
    if "balloon" in body and "do" not in body:
        body |= {"do": "balloon", "size": body.pop("balloon")}
    for key in ("at", "vm", "do"):
        if key not in body:
            raise InputError(f"[[event]]: no {key}")
    at = _value("[[event]] at", body.pop("at"), float, "at")
    vm, do = (_value(f"[[event]] {key}", body.pop(key), str) for key in ("vm", "do"))
    if do not in ACTIONS:
        raise unknown("do of an event", do, ACTIONS)
    where = f"[[event]] {do} of {vm} at {at:g} s:"
    action = _settings(ACTIONS[do], where.rstrip(":"), body)
    return Event(at, vm, do, tuple((f.name, getattr(action, f.name)) for f in fields(action)))


def _given(table: Mapping[str, Any], scenario: Scenario) -> list[str]:
    """The keys of a file that has been read, as `override` has them."""
    tables = {group: [table[group]] for group in _MECHANISMS if group in table}
    tables["host"] = table["host"] if isinstance(table["host"], list) else [table["host"]]
    given = [f"{group}.{_named(k)}" for group, each in tables.items() for one in each for k in one]
    vms = iter(scenario.vms)
    for each in table.get("vm", ()):
        for vm in islice(vms, int(parse_count(str(each.get("count", 1))))):
            given += [f"vm.{vm.name}.{_named(key)}" for key in each if key != "every"]
    return given


def _named(key: str) -> str:
    """The setting that a key means."""
    return key.replace("-", "_")


def _hosts(table: Any) -> list[HostSettings]:
    """The host, or several."""
    return [_host(one) for one in table] if isinstance(table, list) and table else [_host(table)]


def _host(table: Any) -> HostSettings:
    changes = {}
    if isinstance(table, Mapping) and "set" in table:
        if not isinstance(table["set"], Mapping):
            raise InputError("[host] set: expected a table of KEY = VALUE")
        changes = {"set": tuple((k, str(v)) for k, v in dotted(table["set"]))}
        table = {key: value for key, value in table.items() if key != "set"}
    return replace(_settings(HostSettings, "[host]", table), **changes)


def _vms(tables: list[Any], seed: int) -> tuple[VMSettings, ...]:
    """VMs, each table as many times as its count; each with a seed of its own."""
    vms: list[VMSettings] = []
    for table in tables:
        if not isinstance(table, Mapping):
            raise InputError("[[vm]]: expected a table")
        count = _value("[[vm]] count", table.get("count", 1), int)
        if count < 1:
            raise InputError(f"[[vm]] count = {count}; expected 1 or more")
        every = _value("[[vm]] every", table.get("every", 0), float, "every")
        body = {key: value for key, value in table.items() if key not in ("count", "every")}
        for number in range(1, count + 1):
            name = str(body.get("name", f"vm{len(vms) + 1}"))
            named = {**body, "name": f"{name}-{number}" if count > 1 else name}
            if "clone_of" in named:
                named = {**_inherited(named, vms), **named}
            named.setdefault("seed", seed + len(vms))
            one = _settings(VMSettings, f"[[vm]] {named['name']}", named)
            vms.append(replace(one, start=one.start + (number - 1) * every) if every else one)
    return tuple(vms)


def _arrivals(tables: list[Any], vms: list[VMSettings], seed: int) -> Iterator[ArrivalSettings]:
    """Kinds of VMs that come and go: keys of their own, and those of a VM."""
    known = {field.name for field in fields(ArrivalSettings)} - {"vm"}
    for number, table in enumerate(tables, start=1):
        if not isinstance(table, Mapping):
            raise InputError("[[arrivals]]: expected a table")
        own = {key: value for key, value in table.items() if _named(key) in known}
        body = {key: value for key, value in table.items() if key not in own}
        body.setdefault("name", f"arrivals{number}")
        if "clone_of" in body:
            body = {**_inherited(body, vms), **body}
        body.setdefault("seed", seed + 1000 * number)
        where = f"[[arrivals]] {body['name']}"
        vm = _settings(VMSettings, where, body)
        yield replace(ArrivalSettings(vm), **_values(ArrivalSettings, where, own))


def _inherited(table: Mapping[str, Any], vms: list[VMSettings]) -> dict[str, Any]:
    """What a copy has of its source, which must stand above it. With a workload of its own it
    begins that."""
    name = str(table["clone_of"]).partition("@")[0]
    for vm in vms:
        if vm.name == name:
            own = {"name", "clone_of", "goes_on", "restore", "start", "stop", "repeat"}
            same = {f.name: getattr(vm, f.name) for f in fields(vm) if f.name not in own}
            if "workload" in table:
                del same["seed"]
            return {**same, "goes_on": "workload" not in table}
    where = f"[[vm]] {table['name']}: clone_of"
    raise InputError(f"{where}: {unknown('vm above it', name, [vm.name for vm in vms])}")


def _tables(key: str, value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise InputError(f"{key}: expected tables, [[{key}]]")
    return value


def _settings(kind: type, where: str, table: Any) -> Any:
    """One dataclass of settings from a table."""
    values = _values(kind, where, table)
    for field in fields(kind):
        is_needed = field.default is MISSING and field.default_factory is MISSING
        if field.name not in values and is_needed:
            raise InputError(f"{where}: no {field.name}")
    return kind(**values)


def _values(kind: type, where: str, table: Any) -> dict[str, Any]:
    """Those settings of a dataclass that a table gives."""
    if not isinstance(table, Mapping):
        raise InputError(f"{where}: expected a table")
    known = {field.name: field for field in fields(kind)}
    values = {}
    for key, value in table.items():
        name = _named(key)
        if name not in known:
            raise InputError(f"{where}: {unknown('key', key, known)}")
        values[name] = _value(f"{where} {key}", value, _type(kind, name), name)
    return values


def _type(kind: type, name: str) -> type:
    """Type of a setting, from its annotation."""
    every = (each.__dict__.get("__annotations__", {}) for each in kind.__mro__)
    annotation = str(next(each[name] for each in every if name in each))
    for text, found in (("bool", bool), ("float", float), ("int", int)):
        if annotation.startswith(text):
            return found
    return str


def _value(what: str, value: Any, kind: type, name: str = "") -> Any:
    """A value of a type; sizes, times and counts may be texts with a unit."""
    readers: dict[type, Callable[[str], float]] = {int: parse_count, float: float}
    read = readers.get(kind)
    if name in _SIZES:
        read, wanted = parse_bytes, 'a number of bytes, such as "512M"'
    elif name in _TIMES:
        read, wanted = parse_seconds, 'a time, such as "20ms"'
    else:
        wanted = {int: "a whole number", float: "a number", bool: "true or false"}.get(kind, "text")
    is_number = (
        isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    )
    if isinstance(value, str) and read:
        with suppress(ValueError):
            number = read(value)
            if math.isfinite(number):
                return kind(number)
    elif (
        is_number
        and math.isfinite(value)
        and (kind is float or (kind is int and value == int(value)))
    ):
        return kind(value)
    elif kind in (bool, str) and isinstance(value, kind):
        return value
    raise InputError(f"{what} = {value!r}; expected {wanted}")
