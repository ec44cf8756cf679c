"""Policies of a guest's huge pages, `policy` or `policy:key=value,...`, and their parameters.

    fault                              2 MiB at a first touch where a mapping allows it
    never                              4 KiB, but where a mapping asks for more
    linux:max_ptes_none=0              Linux: at faults, and by khugepaged

What each does: `mmu.guest.huge`.
"""

from __future__ import annotations

from dataclasses import dataclass

from mmulab.mmu.errors import InputError, unknown

#: As `mmu.memory.huge` numbers them.
POLICIES = ("fault", "never", "linux")
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
_PAGES = 511  # of a region, but one

_RATE = Parameter(
    "accesses_per_millisec",
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
        Parameter("max_ptes_swap", "pages that are paged out", 64, _C, 0, _PAGES),
        Parameter("max_ptes_shared", "pages that are shared", 256, _C, 0, _PAGES),
        _RATE,
    ),
}


@dataclass(frozen=True)
class GuestTHP:
    """A policy with the values of all its parameters."""

    policy: str
    values: dict[str, float | str]

    def ticks(self, name: str, timed: bool) -> int:
        """A time in ticks, see `mmu.memory.huge`. timed: a host tells the time."""
        value = float(self.values[f"{name}_millisecs"])
        rate = 1e6 if timed else float(self.values["accesses_per_millisec"])
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
    return GuestTHP(policy, values)
