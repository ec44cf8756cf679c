"""Policies of a guest's huge pages, `policy` or `policy:key=value,...`, and their parameters.

    fault                              2 MiB at a first touch where a mapping allows it
    never                              4 KiB, but where a mapping asks for more
    linux:max_ptes_none=0              Linux: at faults, and by khugepaged
    ingens:threshold=90                Ingens: once so much of a region is used
    hawkeye:at_fault=off               HawkEye: the regions first whose pages are used most

What each does: `mmu.guest.huge`.
"""

from __future__ import annotations

from dataclasses import dataclass

from mmulab.mmu.errors import InputError, unknown

#: As `mmu.memory.huge` numbers them.
POLICIES = ("fault", "never", "linux", "ingens", "hawkeye")
ENABLED = ("never", "madvise", "always")


@dataclass(frozen=True)
class Parameter:
    """A parameter of a policy: one of some choices, or a number; whole unless it is a time.

    source: of the default.
    """

    name: str
    meaning: str
    default: float | str
    source: str
    low: float = 0
    high: float = 0
    choices: tuple[str, ...] = ()

    def read(self, policy: str, text: str) -> float | str:
        """The value that a text says. Raises InputError."""
        what = f"guest thp {policy}: {self.name}"
        if self.choices:
            if text not in self.choices:
                raise unknown(f"value of {what}", text, self.choices)
            return text
        try:
            value = float(text)
        except ValueError:
            raise InputError(f"{what}={text}: expected a number") from None
        if not self.name.endswith("_millisecs") and value != int(value):
            raise InputError(f"{what}={text}: expected a whole number")
        if not self.low <= value <= self.high:
            raise InputError(f"{what}={text}: expected {self.low:,} to {self.high:,}")
        return value


def _time(name: str, meaning: str, default: float, source: str) -> Parameter:
    return Parameter(f"{name}_millisecs", meaning, default, source, 0.001, 1e7)


_C = "Linux, mm/khugepaged.c"
_INGENS = "github.com/ut-osa/ingens"
_HAWKEYE = "github.com/apanwariisc/HawkEye"
_PAGES = 511  # of a region, but one

#: What turns times into ticks where no host tells the time.
RATE = "accesses_per_millisec"
_RATE = Parameter(
    RATE,
    "accesses of the guest in a millisecond, where no host tells it the time",
    100_000,
    "assumption: 20 cycles an access at 2 GHz",
    1,
    1e9,
)
_SCAN = (
    _time("scan_sleep", "the scan sleeps between two batches", 10_000, _C),
    _time("alloc_sleep", "and where no block of 2 MiB was free", 60_000, _C),
    Parameter("pages_to_scan", "pages of a batch", 4096, f"{_C}, khugepaged_init()", 1, 1 << 30),
)


def _most(swap: int, shared: int, source: str) -> tuple[Parameter, Parameter]:
    return (
        Parameter("max_ptes_swap", "pages that are paged out", swap, source, 0, _PAGES),
        Parameter("max_ptes_shared", "pages that are shared", shared, source, 0, _PAGES),
    )


#: By policy.
PARAMETERS: dict[str, tuple[Parameter, ...]] = {
    "fault": (),
    "never": (),
    "linux": (
        Parameter(
            "enabled",
            "mappings that get huge pages: all, those that ask for 2 MiB, none",
            "always",
            "Linux, mm/Kconfig, TRANSPARENT_HUGEPAGE_ALWAYS",
            choices=ENABLED,
        ),
        Parameter(
            "at_fault",
            "first touches get 2 MiB where a block is free; off: as if none ever were",
            "on",
            "Linux, mm/memory.c, create_huge_pmd()",
            choices=("on", "off"),
        ),
        Parameter("khugepaged", "the scan runs", "on", _C, choices=("on", "off")),
        *_SCAN,
        Parameter("max_ptes_none", "empty gPTEs of a region at most", _PAGES, _C, 0, _PAGES),
        *_most(64, 256, _C),
        _RATE,
    ),
    "ingens": (
        Parameter(
            "threshold",
            "percent of a region's pages that are used before it is promoted",
            90,
            f"{_INGENS}, osa/hugepage_scan.c, util_threshold",
            1,
            100,
        ),
        *_SCAN,
        *_most(0, 0, "Linux 4.3, mm/huge_memory.c, khugepaged_scan_pmd()"),
        Parameter(
            "fair",
            "the scan goes to the process that has too few huge pages in use for its need",
            "off",
            f"{_INGENS}, osa/hugepage_scan.c, hugepage_fairness",
            choices=("on", "off"),
        ),
        Parameter(
            "tau",
            "penalty of a huge page in use, percent of that of an idle one",
            50,
            "assumption: the paper's value is not in its code",
            0,
            100,
        ),
        _time("sample_sleep", "between two looks at A bits", 4000, f"{_INGENS}, the same file"),
        _RATE,
    ),
    "hawkeye": (
        Parameter(
            "at_fault",
            "first touches get 2 MiB where a block is free; off: as if none ever were",
            "on",
            f"{_HAWKEYE}, mm/huge_memory.c",
            choices=("on", "off"),
        ),
        *_SCAN,
        Parameter("max_ptes_none", "empty gPTEs of a region at most", _PAGES, _C, 0, _PAGES),
        *_most(0, 0, "Linux 4.3, mm/huge_memory.c, khugepaged_scan_pmd()"),
        _time(
            "sample_sleep", "from sample to sample", 30_000, "assumption: the paper's, of summaries"
        ),
        _time("sample", "from clearing A bits to looking", 1000, f"{_HAWKEYE}, mm/ohp.c"),
        Parameter(
            "warm_up_samples", "before regions are ranked", 3, f"{_HAWKEYE}, mm/ohp.c", 0, 1000
        ),
        _time("zero_sleep", "between two batches of zeroing", 1000, f"{_HAWKEYE}, asynczero.c"),
        Parameter(
            "zero_blocks",
            "of 4 MiB that a batch zeroes",
            10,
            f"{_HAWKEYE}, asynczero.c",
            0,
            1 << 20,
        ),
        Parameter(
            "high",
            "percent of memory in use from which on zeros are given back; 0: never",
            85,
            f"{_HAWKEYE}, bloat_recovery/remove.c",
            0,
            100,
        ),
        Parameter("low", "and down to which", 70, f"{_HAWKEYE}, the same file", 0, 100),
        Parameter(
            "min_zeros",
            "pages of zeros of a large page that is split for them",
            256,
            "assumption: half; the paper has a threshold, its code takes any",
            1,
            512,
        ),
        _RATE,
    ),
}


@dataclass(frozen=True)
class GuestTHP:
    """A policy with the values of all its parameters. given: those that a user has named."""

    policy: str
    values: dict[str, float | str]
    given: frozenset[str] = frozenset()

    @property
    def scans(self) -> bool:
        """Whether a thread looks for regions to promote."""
        return "scan_sleep_millisecs" in self.values and self.values.get("khugepaged") != "off"

    def ticks(self, name: str, timed: bool) -> int:
        """A time in ticks, see `mmu.memory.huge`. timed: a host tells the time."""
        value = float(self.values[f"{name}_millisecs"])
        rate = 1e6 if timed else float(self.values[RATE])
        return max(1, round(value * rate))


def parse(text: str) -> GuestTHP:
    """Reads a policy. Raises InputError for one that is unknown, or a parameter or value."""
    policy, _, rest = text.partition(":")
    if policy not in POLICIES:
        raise unknown("guest thp", policy, POLICIES)
    known = {each.name: each for each in PARAMETERS[policy]}
    values = {name: each.default for name, each in known.items()}
    given = set()
    for pair in filter(None, rest.split(",")):
        name, equals, value = pair.partition("=")
        if name not in known:
            raise unknown(f"parameter of guest thp {policy}", name, known)
        if not equals or name in given:
            raise InputError(f"guest thp {policy}: {pair}: expected {name}=VALUE, once")
        given.add(name)
        values[name] = known[name].read(policy, value)
    return GuestTHP(policy, values, frozenset(given))
