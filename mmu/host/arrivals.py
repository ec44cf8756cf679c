"""VMs that come and go by the thousand: of one kind, in places that they leave to the next.

A kind comes by a Poisson process, at an even rate or at one that swings as the day does, and each
VM stays as long as its lifetime; then it is switched off and deleted, and its frames, tables and
blocks go back. One that finds no place is turned away, as a cloud's placement does that has no
room. A diurnal process is thinned out of one at the highest rate (Lewis and Shedler, Naval Research
Logistics 26, 1979).

A place is a `Guest` of the host, as large as the kind says: what a run needs follows from the
places, not from how many VMs come. What a vCPU counts goes on from one VM to the next.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from mmulab.mmu.errors import InputError, check_choice, check_range
from mmulab.mmu.host import life
from mmulab.mmu.host.settings import VMSettings
from mmulab.mmu.host.system import System
from mmulab.mmu.host.vm import Guest
from mmulab.mmu.trace import Trace

PATTERNS = (POISSON, DIURNAL) = ("poisson", "diurnal")
LIFETIMES = (EXPONENTIAL, FIXED) = ("exponential", "fixed")

#: What is known of each VM that has come and gone. arrived, ready, departed: seconds; ready: when
#: it could run first. busy: seconds on the core and for storage. Frames as it is switched off, of
#: its own, shared with others, and of the VMM's tables; blocks of storage.
LIFE = np.dtype(
    [
        ("arrived", np.float64), ("ready", np.float64), ("departed", np.float64),
        ("accesses", np.int64), ("busy", np.float64), ("private", np.int64), ("shared", np.int64),
        ("page_tables", np.int64), ("storage", np.int64),
    ]
)  # fmt: skip


@dataclass(frozen=True)
class ArrivalSettings:
    """A kind of VMs that come and go.

    vm: what each is like; each has a seed of its own, counted from vm.seed. One with `clone_of` is
    a copy of a template, or of a snapshot VM@NAME; else it boots. start of vm: when the first may
    come. rate: VMs a second, the mean. count: VMs that come in all. lifetime: seconds, the mean.
    lifetimes: how they are spread, "exponential" or "fixed". pattern: "poisson", or "diurnal",
    whose rate swings by `swing` of itself once in `day` seconds. places: VMs at once; who comes
    then is turned away.
    """

    vm: VMSettings
    rate: float = 100.0
    count: int = 1000
    lifetime: float = 0.05
    lifetimes: str = EXPONENTIAL
    pattern: str = POISSON
    swing: float = 0.8
    day: float = 1.0
    places: int = 16

    def __post_init__(self) -> None:
        what = f"[[arrivals]] {self.vm.name}:"
        check_range(f"{what} rate", self.rate, 1e-9, 1e12, " a second")
        check_range(f"{what} count", self.count, 1, 10_000_000)
        check_range(f"{what} lifetime", self.lifetime, 1e-9, 1e9, " s")
        check_range(f"{what} swing", self.swing, 0, 1)
        check_range(f"{what} day", self.day, 1e-9, 1e9, " s")
        check_range(f"{what} places", self.places, 1, 10_000)
        check_choice(f"{what} lifetimes", self.lifetimes, LIFETIMES)
        check_choice(f"{what} pattern", self.pattern, PATTERNS)
        for key in ("stop", "reservation", "limit"):
            if getattr(self.vm, key):
                raise InputError(f"{what} {key}: VMs that come and go have none; leave it out")
        if self.vm.in_hugetlbfs:
            raise InputError(f"{what} backing: a place would keep what lies in hugetlbfs")

    def place(self, number: int) -> VMSettings:
        """What the place of a number holds before anybody comes."""
        return replace(self.vm, name=f"{self.vm.name}@place-{number}", repeat=False)

    def come(self, number: int, place: str) -> VMSettings:
        """The VM of a number, in a place."""
        return replace(self.vm, name=place, seed=self.vm.seed + number, repeat=False)

    def times(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """(when each comes, how long it stays), float64[count] each."""
        stays = np.full(self.count, self.lifetime)
        if self.lifetimes == EXPONENTIAL:
            stays = rng.exponential(self.lifetime, self.count)
        if self.pattern == POISSON:
            return self.vm.start + rng.exponential(1 / self.rate, self.count).cumsum(), stays
        most = self.rate * (1 + self.swing)
        kept, now = np.zeros(0), 0.0
        while len(kept) < self.count:
            tried = now + rng.exponential(1 / most, 2 * self.count).cumsum()
            now = float(tried[-1])
            rate = self.rate * (1 + self.swing * np.sin(2 * np.pi * tried / self.day))
            kept = np.concatenate([kept, tried[rng.random(len(tried)) * most < rate]])
        return self.vm.start + kept[: self.count], stays


class Arrivals:
    """A kind of VMs on a host: on its agenda as long as some are to come. at: when the next comes.
    number: of VMs that have come; lives: LIFE[places filled so far], in the order of their ends."""

    def __init__(
        self, settings: ArrivalSettings, places: list[Guest], seed: int,
        open_trace: Callable[[VMSettings], Trace],
    ) -> None:  # fmt: skip
        self.settings = settings
        self.name = settings.vm.name
        self.places = places
        self.open_trace = open_trace
        self.times, self.stays = settings.times(np.random.default_rng([seed, settings.vm.seed]))
        self.at = float(self.times[0])
        self.number = self.turned_away = self.at_once = self.most_at_once = 0
        self.lives = np.zeros(settings.count, LIFE)
        self.ended = 0
        self.numbers = dict.fromkeys((place.name for place in places), -1)  # who is in each
        self.begun: dict[str, tuple[float, float, int, float]] = {}
        for place in places:
            place.paused = True

    def act(self, system: System) -> None:
        """One comes."""
        number, self.number = self.number, self.number + 1
        place = next((each for each in self.places if self.numbers[each.name] < 0), None)
        if place is None:
            self.turned_away += 1
        else:
            self._begin(system, place, number)
        if self.number < self.settings.count:
            self.at = float(self.times[self.number])
            system.plan(self)

    def _begin(self, system: System, place: Guest, number: int) -> None:
        arrived, before = self.at, (place.accesses, _busy(system, place))
        settings = self.settings.come(number, place.name)
        place.become(settings, self.open_trace(settings))
        place.ready_at = system.now
        self.numbers[place.name] = number
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        if place.settings.clone_of:
            name, _, snapshot = place.settings.clone_of.partition("@")
            source = system.snapshots[place.settings.clone_of] if snapshot else system.guest(name)
            life.clone(system, source, place)
            place.note(system.now, "clone", "running", place.ready_at - system.now)
        else:
            system.boot(place)
        ready = max(system.now, place.ready_at)
        self.begun[place.name] = (arrived, ready, *before)
        system.plan(Departure(system.now + float(self.stays[number]), self, place))

    def end(self, system: System, place: Guest) -> None:
        """One goes, with everything that it has."""
        record = place.vm.record[0]
        arrived, ready, accesses, busy = self.begun.pop(place.name)
        storage = int(place.vm.disk.record[0]["used"]) + place.image_blocks
        self.lives[self.ended] = (
            arrived, ready, system.now, place.accesses - accesses,
            _busy(system, place) - busy, record["held"] - record["merged"], record["merged"],
            record["host_tables"], storage,
        )  # fmt: skip
        self.ended += 1
        self.at_once -= 1
        self.numbers[place.name] = -1
        life.switch_off(system, place)
        life.delete_images(system, place)
        place.state = "deleted"


def _busy(system: System, place: Guest) -> float:
    return sum(place.spent) / system.hertz + place.stalled


@dataclass
class Departure:
    """A VM's end, on the agenda of its host."""

    at: float
    arrivals: Arrivals
    place: Guest

    def act(self, system: System) -> None:
        self.arrivals.end(system, self.place)
