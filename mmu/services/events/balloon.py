"""A target for the balloon of a VM, under policy "fixed": `services.balloon` looks at it at its
next tick."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mmulab.mmu.errors import check_range
from mmulab.mmu.services.events.action import DEFINED, RUNNING, SUSPENDED, Action


@dataclass(frozen=True)
class Balloon(Action):
    """size: bytes."""

    size: int

    name: ClassVar[str] = "balloon"
    needs: ClassVar[tuple[str, ...]] = (DEFINED, RUNNING, SUSPENDED)

    def __post_init__(self) -> None:
        check_range("size of a balloon", self.size, 0, 1 << 52, " bytes")
