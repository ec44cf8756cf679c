"""A trace run one access at a time, with every line that its walks and its kernel touch known."""

from __future__ import annotations

from collections import Counter

from models.brute_caches import Caches, Line, line_of, name_of

from mmulab.mmu.config import Config
from mmulab.mmu.hardware.build import size_of_last
from mmulab.mmu.hardware.lines import AS, LINES, PAGE
from mmulab.mmu.hardware.state import CACHE_LEVELS
from mmulab.mmu.machine.simulator import FIRST_PID, build
from mmulab.mmu.machine.work import prepare
from mmulab.mmu.presets.preset import Preset
from mmulab.mmu.trace import FETCH, Trace
from mmulab.workloads.slices import owners


class Followed:
    """A technique's walks over a trace, and the brute-force caches that their lines and the
    program's go through. references: by site and level that served. data: by level.

    Which lines walks touch is asked of the simulator, whose walks other tests compare; what they
    are called is known by their addresses, but for nested tables.
    """

    def __init__(self, trace: Trace, preset: Preset, config: Config, technique: str) -> None:
        self.caches = Caches(preset, size_of_last(preset, config.llc))
        self.simulator = build(technique, preset, config)
        self.references: Counter[tuple[int, int]] = Counter()
        self.pid = FIRST_PID
        self.last = FIRST_PID, FIRST_PID  # process and thread at the end of a chunk
        self.config = config
        self.named = 0
        done = 0
        for chunk in trace.chunks():
            self._run(trace, chunk, done)
            done += chunk.accesses

    @property
    def data(self) -> Counter[int]:
        return self.caches.data

    def _run(self, trace: Trace, chunk, done: int) -> None:  # type: ignore[no-untyped-def]
        work, _ = prepare(trace, chunk, done, 0, self.config.levels)
        pids, _, self.last = owners(chunk, self.last)
        core, event = self.simulator.machine.core, 0
        for i in range(chunk.accesses):
            core.noted[:2048] = 0
            event = self.simulator.run(chunk, work.marks, i, i + 1, event)
            self.pid = int(pids[i])
            gva, size = int(chunk.address[i]), int(chunk.size[i])
            self._walked(gva, size)
            if chunk.kind[i] != FETCH:
                for number in range(gva >> 6, (gva + size - 1 >> 6) + 1):
                    self.caches.touch(line_of(number << 6, self.pid))

    def _walked(self, gva: int, size: int) -> None:
        core = self.simulator.machine.core
        names = {name_of(line): line for line in self._of_tables(gva, size)}
        for name, what in zip(
            core.noted[:2048].tolist(), core.noted_as[:2048].tolist(), strict=True
        ):
            if name == 0:
                return
            what &= PAGE
            if what == PAGE:
                page = self._page_near(gva, name) or self._page_near(gva + size - 1, name)
                assert page
                self.caches.zero(page._replace(row=row) for row in range(LINES))
            else:
                assert (site := self.simulator.spec.technique.walk.sites[what // CACHE_LEVELS])
                if site.dimension == "guest":
                    self.named += 1
                    assert names[name].kind == ("guest", site.level)
                found = self.caches.reference(names.get(name, name))
                self.references[what // CACHE_LEVELS, found] += 1

    def _page_near(self, gva: int, name: int) -> Line | None:
        """The first line of a page, which is gva's or lies in its 2 MiB, by its number."""
        first = line_of(gva, self.pid)._replace(row=0)
        around = [first._replace(page=first.page & ~511 | n) for n in range(512)]
        return next((page for page in (first, *around) if name_of(page) == name), None)

    def _of_tables(self, gva: int, size: int) -> list[Line]:
        space = 1, self.pid if gva >= 0 else -1
        return [
            Line(space, ("guest", level), number >> 9, number >> 3 & 63)
            for level in range(1, self.config.levels + 1)
            for address in (gva, gva + size - 1)
            for number in [address >> (12 + 9 * (level - 1))]
        ]


assert AS == 16  # what `core.noted_as` has below an access's position
