"""What the curves say of the processor: reach of TLBs, sizes and latencies, by the keys of `--set`.

Sizes are knees (`knees`) of the fastest runs. A knee is only known to a step of the curve, so that
where the base preset's number lies within a step of it, the base's is confirmed and stays.
Latencies are levels between knees, of lower quartiles. What TLBs cost is the time over pages less
that over as many lines: both miss the same data caches.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from mmulab.mmu.presets.preset import TLB, Preset
from mmulab.workloads.probes import clock, kernel_events, knees
from mmulab.workloads.probes.calibration import Calibration
from mmulab.workloads.probes.knees import Knee
from mmulab.workloads.probes.timing import Sample

_NEAR = 2.5  # a knee this many times off the base's number is another structure's

_LINES = "a dependent chase over lines, 128 KiB after 128 KiB, of 2 MiB pages"
_LAST = f"{_LINES}; half way, in logarithms, from the last cache to memory"
_PAGES = "a dependent chase over a line in each page, less one over as many lines side by side"


@dataclass(frozen=True)
class Finding:
    """A number of the processor. value: the likely one, in the key's own unit (cycles, entries,
    bytes, GHz). low, high: the fastest run and the upper quartile, or the step a knee lies in.
    median: of the runs. method: how it was measured. confirmed: it is the base's own."""

    value: float
    low: float
    high: float
    median: float
    method: str
    confirmed: bool = False

    def source(self) -> str:
        """The words for a preset."""
        if self.confirmed:
            return (
                f"measured from {self.low:,.0f} to {self.high:,.0f}, in which the base's own "
                f"lies: {self.method}"
            )
        spread = f"median {_shown(self.median)}, from {_shown(self.low)} to {_shown(self.high)}"
        return f"measured, {spread}: {self.method}"


@dataclass(frozen=True)
class Findings:
    """numbers: by the keys of `--set`. knees: of each curve, and of "tlb", what TLBs cost.
    translation: cycles of a step for translation, by the size of the pages that memory is in and
    the 4 KiB pieces that the chase goes over. reach: pages of 4 KiB that the last TLB holds, 0
    where that is not known. splinters: whether 2 MiB pages of the guest reach no farther than
    those of 4 KiB; None where it can't be told."""

    numbers: dict[str, Finding]
    knees: dict[str, list[Knee]]
    translation: dict[str, dict[int, float]] = field(default_factory=dict)
    reach: float = 0.0
    splinters: bool | None = None


def find(measured: Calibration, base: Preset) -> Findings:
    """What a calibration says, where `base` says what structures to look for."""
    numbers = {"clock_ghz": _clock(measured)}
    found: dict[str, list[Knee]] = {
        name: knees.find(curve.sizes, measured.cycles(name))
        for name, curve in measured.curves.items()
    }
    numbers |= _caches(measured, base, found["lines"])
    excess = excess_of(measured, "pages_4k")
    found["tlb"] = knees.find(measured.curves["pages_4k"].sizes, excess)
    tlbs, reach = _tlbs(measured, base, found["tlb"], excess)
    numbers |= tlbs
    splinters = _splinters(measured, base, found)
    if not splinters:
        numbers |= _large(measured, base, found["pages_2m"])
    if not measured.facts.virtual:
        numbers |= _kernel(measured)
    numbers |= _at_once(measured, excess)
    return Findings(numbers, found, _translation(measured), reach, splinters)


def _translation(measured: Calibration) -> dict[str, dict[int, float]]:
    found = {}
    for name, pages in (("pages_4k", "4k"), ("pages_in_2m", "2m")):
        excess = excess_of(measured, name)
        cycles = (excess - excess[0]).tolist()
        found[pages] = dict(zip(measured.curves[name].sizes, cycles, strict=True))
    return found


def excess_of(measured: Calibration, name: str) -> np.ndarray:
    """Cycles of a step over pages, less what its data misses cost beyond the first cache. The
    lines' curve has the sizes of all others that are in pages of 4 KiB, and maybe more."""
    pages, lines = (
        measured.cycles(name),
        measured.cycles("same_lines")[: len(measured.cycles(name))],
    )
    # Where noise puts the lines above the pages, the first cache's latency is left.
    return np.maximum(pages - (knees.envelope(lines) - lines[0]), lines[0])


def _clock(measured: Calibration) -> Finding:
    ns = measured.clock
    return Finding(
        round(1 / ns.low, 2), round(1 / ns.high, 2), round(1 / ns.low, 2), round(1 / ns.median, 2),
        f"{clock.METHOD}; the fastest run",
    )  # fmt: skip


def matched(found: Sequence[Knee], expected: Mapping[str, float]) -> dict[str, Knee]:
    """Knees by the structures whose sizes they are nearest to, in order, each once."""
    chosen: dict[str, Knee] = {}
    left = list(found)
    for name, size in expected.items():
        near = [each for each in left if 1 / _NEAR <= each.size / size <= _NEAR]
        if near:
            chosen[name] = min(near, key=lambda each: abs(np.log(each.size / size)))
            left = [each for each in left if each.size > chosen[name].size]
    return chosen


def _sized(size: int, sizes: Sequence[int], base: float, method: str, steps: int = 1) -> Finding:
    """A size: the base's, where it lies within so many steps."""
    at = sizes.index(size)
    before, after = sizes[max(0, at - steps)], sizes[min(len(sizes) - 1, at + steps)]
    if before <= base <= after:
        return Finding(base, before, after, size, method, confirmed=True)
    return Finding(size, size, sizes[min(len(sizes) - 1, at + 1)], size, method)


def _between(size: Finding) -> Finding:
    """A cache that holds a list of the size below the step, and what else there is, ends within
    the step: in MiB, its geometric mean."""
    if size.confirmed:
        return size
    return replace(size, value=max(1, round((size.low * size.high) ** 0.5 / (1 << 20))) << 20)


def _level(measured: Calibration, name: str, first: float, last: float) -> Finding | None:
    """Cycles a step over the sizes of a curve from first to last; None without any."""
    sizes = np.array(measured.curves[name].sizes)
    within = (sizes >= first) & (sizes <= last)
    if not within.any():
        return None
    low, value, median = (
        np.median(knees.envelope(measured.cycles(name, which))[within])
        for which in ("low", "value", "median")
    )
    high = float(np.median(measured.cycles(name, "high")[within]))
    ends = min(low, value), max(high, value)
    first, last, likely, middle = (round(float(each), 1) for each in (*ends, value, median))
    return Finding(likely, first, last, middle, _LINES)


def _caches(measured: Calibration, base: Preset, found: Sequence[Knee]) -> dict[str, Finding]:
    numbers: dict[str, Finding] = {}
    sizes = measured.curves["lines"].sizes
    private = {f"cache.{cache.name}.size": float(cache.size) for cache in base.caches[:-1]}
    for number, (key, knee) in enumerate(matched(found, private).items()):
        # What is indexed by physical addresses fills unevenly: its knee is blurred.
        steps = 2 if number else 1
        numbers[key] = _sized(knee.size, sizes, private[key], _LINES, steps)
    edges = [numbers[key].value if key in numbers else size for key, size in private.items()]
    end = base.llc_size.value
    memory = _level(measured, "lines", 2 * end, np.inf)
    if memory:
        numbers["memory_latency"] = memory
        last = _last_cache(measured, base, memory.value, edges[-1])
        numbers["llc_size"] = _between(_sized(last, sizes, end, _LAST, 2))
        end = min(last, end)
    begin = 0.0
    for cache, edge in zip(base.caches, [*edges, end], strict=True):
        level = _level(measured, "lines", 1.5 * begin, 0.7 * edge)
        if level:
            numbers[f"cache.{cache.name}.latency"] = level
        begin = edge
    return numbers | _in_order(numbers, base)


def _in_order(numbers: Mapping[str, Finding], base: Preset) -> dict[str, Finding]:
    """Latencies whose ranges do not overlap: what lies farther away never takes less, and a range
    says more of what else ran. From memory inwards, none is above the lowest of the next."""
    cited = {**{f"cache.{c.name}.latency": c.latency for c in base.caches},
             "memory_latency": base.memory_latency}  # fmt: skip
    found: dict[str, Finding] = {}
    keys = list(cited)
    for key, beyond in zip(keys[-2::-1], keys[:0:-1], strict=True):
        least = found.get(beyond) or numbers.get(beyond) or cited[beyond]
        if key in numbers:
            one = numbers[key]
            found[key] = replace(one, **{
                name: min(getattr(one, name), least.low)
                for name in ("value", "low", "high", "median")
            })  # fmt: skip
    return found


def _last_cache(measured: Calibration, base: Preset, memory: float, least: float) -> int:
    """Bytes of the last cache that this machine gets: others may share it. They end where a step
    costs the geometric mean of the base's latency of it and of memory's as measured."""
    sizes = measured.curves["lines"].sizes
    costs = knees.envelope(measured.cycles("lines", "value"))
    half = (min(base.caches[-1].latency.value, memory) * memory) ** 0.5
    at = int(np.searchsorted(costs, half, "right")) - 1
    return max(sizes[max(0, at)], min(size for size in sizes if size >= least))


def data_tlb(base: Preset, level: int, page_size: str) -> TLB | None:
    """The TLB that holds translations of data in pages of a size."""
    for tlb in base.tlbs:
        if tlb.level == level and "D" in tlb.kinds and page_size in tlb.page_sizes:
            return tlb
    return None


def _tlbs(
    measured: Calibration, base: Preset, found: Sequence[Knee], excess: np.ndarray
) -> tuple[dict[str, Finding], float]:
    """(TLBs of 4 KiB pages and what a hit of the second costs, pages from which on walks are)."""
    units = {level: data_tlb(base, level, "4k") for level in (1, 2)}
    expected = {
        f"tlb.{unit.name}.entries": float(unit.sets * unit.ways) for unit in units.values() if unit
    }
    sizes = measured.curves["pages_4k"].sizes
    numbers = {
        key: _sized(knee.size, sizes, expected[key], _PAGES)
        for key, knee in matched(found, expected).items()
    }
    reach = [numbers[key].value if key in numbers else size for key, size in expected.items()]
    if len(reach) < 2:
        return numbers, reach[0] if reach else 0.0
    between = [at for at, n in enumerate(sizes) if 1.2 * reach[0] <= n <= 0.5 * reach[1]]
    if between:
        costs = np.maximum(0.0, knees.envelope(excess)[between] - excess[0])
        low, likely, high = (round(float(each), 1) for each in np.percentile(costs, (25, 50, 75)))
        numbers["cost.l2_tlb_hit"] = Finding(likely, low, high, likely, _PAGES)
    return numbers, reach[1]


def _at_once(measured: Calibration, excess: np.ndarray) -> dict[str, Finding]:
    """Misses and page walks that go on at once: what a chase takes over what updates take."""
    numbers: dict[str, Finding] = {}
    if not measured.updates:
        return numbers
    size, ns = measured.updates["lines"]
    alone = _at(measured, "lines", size, measured.cycles("lines", "value"))
    together = ns.times(1 / measured.clock.low)
    method = f"{_LINES}, against independent updates of the same {size >> 20} MiB"
    numbers["miss_registers"] = _quotient(alone, together, method)
    pages, over_pages = measured.updates["pages_4k"]
    over_lines = measured.updates["same_lines"][1]
    walk = _at(measured, "pages_4k", pages, excess) - excess[0]
    value, low, median, high = (each - over_lines.low for each in over_pages[:4])
    rest = Sample(value, low, median, high, over_pages.runs)
    if rest.low > 0:
        beside = f"{_PAGES}, against independent updates of the same {pages:,} pages"
        numbers["walkers"] = _quotient(walk, rest.times(1 / measured.clock.low), beside)
    return numbers


def _at(measured: Calibration, name: str, size: int, cycles: np.ndarray) -> float:
    """What a curve's envelope has at a size that it has."""
    return float(knees.envelope(cycles)[measured.curves[name].sizes.index(size)])


def _quotient(alone: float, together: Sample, method: str) -> Finding:
    """How many go on at once; at least one does."""
    likely, most, middle, least = (round(max(1.0, alone / each), 1) for each in together[:4])
    return Finding(likely, least, most, middle, method)


def _splinters(
    measured: Calibration, base: Preset, found: Mapping[str, Sequence[Knee]]
) -> bool | None:
    """Whether a chase over 4 KiB pieces of 2 MiB pages leaves the first TLB where one over 4 KiB
    pages does: then each piece has an entry of its own, as a host of 4 KiB pages makes it."""
    unit = data_tlb(base, 1, "4k")
    if unit is None or measured.huge < 0.9:
        return None
    size = float(unit.sets * unit.ways)
    small, large = (matched(found[name], {"L1": size}) for name in ("pages_4k", "pages_in_2m"))
    if not small:
        return None
    return bool(large) and large["L1"].size <= small["L1"].after


def _large(measured: Calibration, base: Preset, found: Sequence[Knee]) -> dict[str, Finding]:
    """The first TLB of 2 MiB pages, where that is another than that of 4 KiB pages."""
    unit = data_tlb(base, 1, "2m")
    if unit is None or unit is data_tlb(base, 1, "4k"):
        return {}
    size = float(unit.sets * unit.ways)
    ends = matched(found, {"L1": size})
    if not ends:
        return {}
    method = "a dependent chase over a line in each 2 MiB page"
    one = _sized(ends["L1"].size, measured.curves["pages_2m"].sizes, size, method)
    return {f"tlb.{unit.name}.entries": one}


def _kernel(measured: Calibration) -> dict[str, Finding]:
    """What the kernel does on bare metal, by the preset's costs."""
    events = measured.events
    if not events:
        return {}
    numbers = {}
    for key, name in (("page_zero", "page_zero"), ("page_copy", "page_copy"),
                      ("invlpg", "mprotect"), ("guest_fault", "first_touch")):  # fmt: skip
        less = events["page_zero"].low if key == "guest_fault" else 0.0
        value, low, median, high = (
            round(max(0.0, ns - less) / measured.clock.low, 0) for ns in events[name][:4]
        )
        zeroing = ", less zeroing it" if less else ""
        method = f"{kernel_events.EVENTS[name]}{zeroing}"
        numbers[f"cost.{key}"] = Finding(value, low, high, median, method)
    return numbers


def _shown(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.4g}"


def to_dict(found: Findings) -> dict[str, Any]:
    """Plain data; cycles, entries, bytes."""
    return {
        "numbers": {key: vars(one) for key, one in found.numbers.items()},
        "knees": {
            name: [one._asdict() for one in several] for name, several in found.knees.items()
        },
        "translation": {
            pages: {str(size): cycles for size, cycles in each.items()}
            for pages, each in found.translation.items()
        },
        "splinters": found.splinters,
    }
