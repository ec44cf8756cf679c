"""What a run of a study is: how its settings are read, what it is made of, and making it.

Settings are texts by key: options of the command, `trace.KEY` for a parameter of its generator,
`technique` for `techniques` of one, and every key of `--set`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from mmulab.mmu.errors import InputError, unknown

if TYPE_CHECKING:
    from mmulab.mmu.scenario.settings import Scenario

    Settings = Mapping[str, str]
    Progress = Callable[[int], None]

_FLAGS = ("pcid", "vpid", "ept_ad", "walk_caches", "variants", "ignore_invalidations")
_OF_COMPARE = ("trace", "format", "techniques", "technique", "preset", "warmup", "intervals")
_OF_CURVES = ("sample", "sizes")
_OF_GEOMETRIES = ("sets", "ways", "l1", "ignore_invalidations")
_OF_MRC = ("trace", "format", "seed", "page_sizes", "warmup", "max")
_OF_RUN = ("technique", "preset", "seed", "variants")
_PARAMETER = "trace."


class Made(NamedTuple):
    """What a run is made of, without what its files hold. about: plain data. files: paths by
    the names that users gave them by."""

    about: dict[str, Any]
    files: dict[str, str]


class Call(NamedTuple):
    """A kind of run. made_of: what it is made of; raises InputError where that cannot be.
    results: makes it."""

    made_of: Callable[[Settings, Scenario | None], Made]
    results: Callable[[Settings, Scenario | None, Progress | None], list[Any]]


def _flag(key: str, value: str) -> bool:
    known = {"true": True, "on": True, "yes": True, "false": False, "off": False, "no": False}
    if value.lower() not in known:
        raise InputError(f"{key}={value}: expected true or false")
    return known[value.lower()]


def _typed(settings: Settings, keys: tuple[str, ...]) -> dict[str, Any]:
    """Those settings that are there, flags as such."""
    found = {key: settings[key] for key in keys if key in settings}
    return {key: _flag(key, of) if key in _FLAGS else of for key, of in found.items()}


def trace_of(settings: Settings) -> str:
    """The trace, with those parameters of its generator that settings of their own give."""
    from mmulab.workloads import generators

    spec = settings.get("trace", "@python")
    given = {
        key.removeprefix(_PARAMETER): value
        for key, value in settings.items()
        if key.startswith(_PARAMETER)
    }
    name, _, rest = spec.partition(":")
    if not given:
        return spec
    if name not in generators.names():
        key = next(iter(given))
        raise InputError(f"{_PARAMETER}{key}: {spec} is no generator, which has parameters")
    kept = [item for item in generators.items(rest) if item.partition("=")[0] not in given]
    return f"{name}:" + ",".join([*filter(None, kept), *(f"{k}={v}" for k, v in given.items())])


@lru_cache(maxsize=4096)
def _described(spec: str, format: str | None, seed: int, levels: int) -> Made:
    """A trace, opened once."""
    from mmulab import api
    from mmulab.mmu.report.made import files_of, of_trace

    if spec == "-":
        raise InputError("a trace of standard input can be read once only; expected a file")
    trace = api.trace(spec, format=format, seed=seed, levels=levels)
    return Made(of_trace(trace), files_of([trace]))


def _for_compare(settings: Settings) -> dict[str, Any]:
    """Arguments of `api.compare`, or with intervals of `api.estimate`."""
    from mmulab.arguments import Machine
    from mmulab.mmu.presets import DEFAULT
    from mmulab.mmu.presets.overrides import GROUPS
    from mmulab.mmu.presets.preset import FLAGS, NUMBERS, STATED

    options = (*_OF_COMPARE, *Machine.__annotations__)
    numbers = {*FLAGS, *NUMBERS, *STATED}
    changes = []
    for key, value in settings.items():
        if key in options or key.startswith(_PARAMETER):
            continue
        if key not in numbers and key.partition(".")[0] not in {*GROUPS, "cost"}:
            raise unknown("key", key, (*options, *numbers))
        changes.append(f"{key}={value}")
    found = _typed(settings, options)
    if "technique" in found:
        found["techniques"] = found.pop("technique")
    found.setdefault("preset", DEFAULT)
    return {**found, "trace": trace_of(settings), "set": changes}


def _made_of_compare(settings: Settings, _scenario: Scenario | None) -> Made:
    from mmulab import arguments
    from mmulab.mmu.config import TECHNIQUES, python_files
    from mmulab.mmu.config.units import parse_count
    from mmulab.mmu.presets.listing import described
    from mmulab.mmu.sampling import intervals
    from mmulab.mmu.techniques.specs import costs, parse_all

    given = _for_compare(settings)
    techniques = given.get("techniques", TECHNIQUES)
    machine: Any = {key: given[key] for key in arguments.Machine.__annotations__ if key in given}
    changes = arguments.pairs(given["set"])
    preset, config = arguments.machine(given["preset"], changes, machine, techniques)
    specs = parse_all(techniques, config)
    warmup = given.get("warmup", "0")
    about, files = _described(given["trace"], given.get("format"), config.seed, config.levels)
    about = {
        "call": "compare",
        "trace": about,
        "techniques": [spec.text for spec in specs],
        "preset": described(preset, costs(spec.technique for spec in specs)),
        "settings": asdict(config),
        "warmup": warmup if warmup == "auto" else arguments.number("warmup", warmup, parse_count),
    }
    if "intervals" in given:
        about["intervals"] = intervals.parse(given["intervals"]).text
    code = {spec.origin: spec.origin for spec in specs if python_files.is_file(spec.origin)}
    return Made(about, files | code)


def _compare(settings: Settings, _scenario: Any, progress: Progress | None) -> list[Any]:
    from mmulab import api

    given = _for_compare(settings)
    if "intervals" in given:  # in one process: there are as many runs at once as there are cores
        return [api.estimate(**given, jobs=1, progress=progress)]
    return [api.compare(**given, progress=progress)]


def scenario_of(settings: Settings, scenario: Scenario) -> Scenario:
    """A scenario with its settings changed. A seed is that of the file: VMs whose seeds follow
    from it have others, too. Raises InputError."""
    from mmulab.mmu.presets.overrides import GROUPS
    from mmulab.mmu.scenario import parsing

    changes = []
    for key, value in settings.items():
        if key == "variants":
            continue
        if key == "seed":
            old = scenario.seed
            changed = parsing.override(scenario, key, value)
            vms = (
                replace(vm, seed=changed.seed + at) if vm.seed == old + at else vm
                for at, vm in enumerate(scenario.vms)
            )
            scenario = replace(changed, vms=tuple(vms))
        elif key.partition(".")[0] in {*GROUPS, "cost"}:
            numbers = (*scenario.host.set, (key, value))
            scenario = replace(scenario, host=replace(scenario.host, set=numbers))
        else:
            names = {"technique": "vm.technique", "preset": "host.preset"}
            changes.append((names.get(key, key), value))
    return parsing.overridden(scenario, changes)


def _made_of_run(settings: Settings, scenario: Scenario | None) -> Made:
    from mmulab import arguments
    from mmulab.mmu.report.made import files_of
    from mmulab.mmu.scenario.run import code_of
    from mmulab.workloads import of_vm

    assert scenario is not None
    settled = scenario_of(settings, scenario)
    techniques = [vm.technique for vm in settled.vms]
    arguments.machine(settled.host.preset, settled.host.set, {}, techniques)
    traces = [of_vm(vm) for vm in settled.vms]
    about = {"call": "run", "scenario": asdict(settled), **_typed(settings, ("variants",))}
    return Made(about, files_of(traces) | code_of(settled))


def _run(settings: Settings, scenario: Any, progress: Progress | None) -> list[Any]:
    from mmulab import api

    several: Any = _flag("variants", settings.get("variants", "false"))
    found: Any = api.run(scenario_of(settings, scenario), compare=several, progress=progress)
    return found if several else [found]


def _made_of_crowd(settings: Settings, scenario: Scenario | None) -> Made:
    from mmulab.mmu.scenario import crowd

    assert scenario is not None
    of = crowd.crowd(scenario, int(settings["vms"]), settings["mechanisms"])
    about, files = _made_of_run({}, of)
    alone = [asdict(crowd.alone(scenario, at)) for at in range(len(scenario.vms))]
    return Made({**about, "call": "consolidate", "alone": alone}, files)


@lru_cache(maxsize=256)
def _alone(scenario: Scenario, number: int) -> Any:
    """The result of a VM of the mix by itself."""
    from mmulab import api
    from mmulab.mmu.scenario import crowd

    (vm,) = api.run(crowd.alone(scenario, number)).vms
    return vm


def _crowd(settings: Settings, scenario: Any, progress: Progress | None) -> list[Any]:
    from mmulab import api
    from mmulab.mmu.scenario import crowd
    from mmulab.mmu.scenario.run import slowed

    of = crowd.crowd(scenario, int(settings["vms"]), settings["mechanisms"])
    found = api.run(of, progress=progress)
    mix = len(scenario.vms)
    vms = (slowed(vm, _alone(scenario, at % mix)) for at, vm in enumerate(found.vms))
    return [replace(found, variant=settings["mechanisms"], vms=tuple(vms))]


def _for_mrc(settings: Settings) -> dict[str, Any]:
    """Arguments of `api.miss_ratio`, or with sets of `api.geometries`."""
    from mmulab.arguments import number
    from mmulab.mmu.config.units import parse_count

    known = (*_OF_MRC, *(_OF_GEOMETRIES if "sets" in settings else _OF_CURVES))
    for key in settings:
        if key not in known and not key.startswith(_PARAMETER):
            raise unknown("key", key, (*known, "sets"))
    found = _typed(settings, known)
    found.pop("sizes", None)
    if "sample" in found:
        try:
            found["sample"] = float(found["sample"])
        except ValueError:
            raise InputError(f"sample={found['sample']}: expected a number") from None
    for key in ("seed", "sets", "ways"):
        if key in found:
            found[key] = number(key, found[key], parse_count)
    return {**found, "trace": trace_of(settings)}


def _made_of_mrc(settings: Settings, _scenario: Scenario | None) -> Made:
    given = _for_mrc(settings)
    about, files = _described(given.pop("trace"), given.get("format"), given.get("seed", 1), 5)
    call = "geometries" if "sets" in given else "miss_ratio"
    shown = {key: str(value) for key, value in given.items()}
    return Made({"call": call, "trace": about, "sizes": settings.get("sizes"), **shown}, files)


def _mrc(settings: Settings, _scenario: Any, progress: Progress | None) -> list[Any]:
    from mmulab import api

    given = _for_mrc(settings)
    if "sets" in given:
        return [api.geometries(**given, progress=progress)]
    return [api.miss_ratio(**given, jobs=1, progress=progress)]  # cores are for other runs


CALLS = {
    "compare": Call(_made_of_compare, _compare),
    "run": Call(_made_of_run, _run),
    "mrc": Call(_made_of_mrc, _mrc),
    "consolidate": Call(_made_of_crowd, _crowd),
}
