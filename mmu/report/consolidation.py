"""How many VMs fit on a host at a slowdown, with each set of mechanisms: what was found.

The schema is described in docs/results.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from mmulab import __version__
from mmulab.mmu.report.shown import Shown

SCHEMA = "mmulab.consolidation"
SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Tried:
    """A run of so many VMs.

    slowdown: at the percentile that was asked for; worst, mean: of all VMs; None where the run
    ended before its VMs had, and `why` says for what. blocks_moved: by paging, the host's and the
    guests'. saved: frames that merging saves, the mean over the run.
    """

    vms: int
    fits: bool
    slowdown: float | None
    worst: float | None
    mean: float | None
    blocks_moved: int = 0
    saved: float = 0.0
    why: str = ""


@dataclass(frozen=True)
class Fitted:
    """What a set of mechanisms came to. vms: as many fit, and one more does not; `most`: where that
    many fit, and more were not tried. tried: by number of VMs."""

    mechanisms: str
    vms: int
    most: bool
    tried: tuple[Tried, ...]


@dataclass(frozen=True, repr=False)
class Consolidation(Shown):
    """What `mmulab consolidate` found. slowdown: the most that was allowed, against a VM alone, at
    a percentile of the VMs; 100: the worst."""

    scenario: str
    slowdown: float
    percentile: float
    host_memory: int
    vm_memory: float
    sets: tuple[Fitted, ...]
    input: dict[str, Any] = field(default_factory=dict)
    made: dict[str, Any] = field(default_factory=dict, compare=False)

    def __repr__(self) -> str:
        return f"<consolidation of {self.scenario}: {len(self.sets)} sets of mechanisms>"

    def __getitem__(self, mechanisms: str) -> Fitted:
        for each in self.sets:
            if each.mechanisms == mechanisms:
                return each
        raise KeyError(mechanisms)

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Consolidation:
        """What `to_dict` made plain."""
        kept = ("scenario", "slowdown", "percentile", "host_memory", "vm_memory", "input", "made")
        sets = (
            Fitted(**{**each, "tried": tuple(Tried(**tried) for tried in each["tried"])})
            for each in plain["sets"]
        )
        return cls(**{name: plain[name] for name in kept}, sets=tuple(sets))

    def to_dict(self) -> dict[str, Any]:
        """Plain dicts, lists, strings and numbers; see docs/results.md."""
        return {
            "schema": SCHEMA,
            "schema_version": SCHEMA_VERSION,
            "version": __version__,
            "made": self.made,
            "input": self.input,
            "scenario": self.scenario,
            "slowdown": self.slowdown,
            "percentile": self.percentile,
            "host_memory": self.host_memory,
            "vm_memory": self.vm_memory,
            "sets": [asdict(each) for each in self.sets],
        }
