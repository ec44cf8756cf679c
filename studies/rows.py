"""Results as rows of a study, as `mmu.report.long_rows` has them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from mmulab.mmu.report.long_rows import FAILED, Row

#: What is no number, or in another form elsewhere; all of it is in JSON.
_LEFT_OUT = (
    "technique", "name", "parameters", "charges", "data", "cores", "references", "overlap",
    "series", "labels",
)  # fmt: skip


def failure(reason: str) -> list[Row]:
    """The one row of a run that failed, without what begins it."""
    return [("", "", "", "", FAILED, "", "", "", reason.replace("\n", "; "))]


def of_results(command: str, results: Iterable[Any], settings: Mapping[str, str]) -> list[Row]:
    """The rows of a run, without what begins them, as texts: numbers as Python writes them, so
    that they are read again to the last digit."""
    make = {"compare": _of_comparison, "run": _of_scenario, "mrc": _of_curves,
            "consolidate": _of_scenario}[command]  # fmt: skip
    return [row for result in results for row in make(result, settings)]


def _of_comparison(result: Any, settings: Mapping[str, str]) -> Iterator[Row]:
    if "intervals" in settings:
        yield from _of_estimates(result)
        return
    for each in result.results:
        subject = (result.trace, "", "", each.technique)
        for metric, numbers in _of_technique(each):
            yield (*subject, metric, *numbers, "")


def _of_estimates(result: Any) -> Iterator[Row]:
    """low, high: ends of confidence intervals."""
    for each in result.results:
        for metric, (value, low, high, _) in each.metrics.items():
            ends = ["" if end is None else repr(end) for end in (low, high)]
            subject = (result.trace, "", "", each.technique, metric)
            yield (*subject, ends[0], repr(value), ends[1], "")


def _of_technique(each: Any) -> Iterator[tuple[str, Row]]:
    """Metrics of one technique, of a comparison or of a VM."""
    yield from _flat(each.to_dict())
    yield from _flat({"total_exits": each.total_exits})
    for dimension in dict.fromkeys(one["dimension"] for one in each.references):
        yield f"references.{dimension}", ("", str(each.references_in(dimension)), "")


def _of_scenario(result: Any, _settings: Mapping[str, str]) -> Iterator[Row]:
    for vm in result.vms:
        subject = (_trace_of(result, vm.name), result.variant, vm.name)
        for metric, numbers in _of_technique(vm.measured):
            yield (*subject, vm.technique, metric, *numbers, "")
        own = {"accesses": vm.accesses, "seconds": vm.seconds, "stalled": vm.stalled,
               "busy": vm.busy, "slowdown": vm.slowdown}  # fmt: skip
        own |= {f"mean.{name}": result.mean(series) for name, series in vm.series.items()}
        for metric, numbers in _flat(own):
            yield (*subject, vm.technique, metric, *numbers, "")
    host = {
        "blocks_moved": result.blocks_moved,
        "mean.saved": result.mean(result.saved),
        "host": {f"mean.{name}": result.mean(series) for name, series in result.host.items()},
        "services": result.services,
    }
    for metric, numbers in _flat(host):
        yield ("", result.variant, "", "", metric, *numbers, "")
    if result.end != "finished":
        why = result.end.replace("\n", "; ")
        yield ("", result.variant, "", "", FAILED, "", "", "", why)


def _trace_of(result: Any, vm: str) -> str:
    return str(result.input["traces"][vm]["name"])


def _of_curves(result: Any, settings: Mapping[str, str]) -> Iterator[Row]:
    if "sets" in settings:
        yield from _of_geometries(result)
        return
    sizes = [int(size) for size in settings["sizes"].split(",")] if "sizes" in settings else None
    plain = result.to_dict(sizes)
    for curve in plain["curves"]:
        prefix = f"{curve['page_size']}."
        ratios = dict(zip(map(str, plain["entries"]), curve["miss_ratio"], strict=True))
        about = {name: curve[name] for name in ("touches", "first_touches", "sampled")}
        for metric, numbers in _flat({**about, "miss_ratio": ratios}, prefix):
            yield (result.trace, "", "", "", metric, *numbers, "")


def _of_geometries(result: Any) -> Iterator[Row]:
    for each in result.sizes:
        numbers: dict[str, Any] = {"touches": each.touches, "looked_up": each.looked_up}
        for sets, row in zip(result.sets, each.table().tolist(), strict=True):
            for ways, misses in enumerate(row, start=1):
                numbers[f"misses.{sets}x{ways}"] = misses
                numbers[f"miss_ratio.{sets}x{ways}"] = misses / each.touches
        for metric, cells in _flat(numbers, f"{each.page_size}."):
            yield (result.trace, "", "", "", metric, *cells, "")


def _flat(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Row]]:
    """(metric, (low, value, high)) of each number in nested tables."""
    for key, value in table.items():
        if key in _LEFT_OUT and not prefix:
            continue
        if isinstance(value, Mapping) and "likely" in value:
            yield prefix + key, tuple(repr(value[end]) for end in ("low", "likely", "high"))
        elif isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        elif isinstance(value, (int, float)):
            yield prefix + key, ("", repr(value), "")
