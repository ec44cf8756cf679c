"""Steps of a walk: references that go out at once, of which the program waits for one lane."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from models.brute_caches import Caches

from mmulab.mmu import presets
from mmulab.mmu.hardware.build import build_core, build_vcpu
from mmulab.mmu.hardware.caches import (
    begin_background,
    begin_step,
    end_background,
    end_step,
    next_lane,
    price_noted,
    reference,
)
from mmulab.mmu.hardware.state import CACHE_LEVELS
from mmulab.mmu.hardware.walks.sites import RADIX
from mmulab.mmu.kernels.compiling import entry
from mmulab.mmu.report.counts import hidden_of, references_of

#: A lane is a list of (site, line); a step lanes, and what is read in the background after the
#: first; a walk a list of steps.
Lane = Sequence[tuple[int, int]]

references = st.tuples(st.integers(1, 5), st.integers(0, 3000).map(lambda n: n * 0x1357_9BDF))
lanes = st.lists(references, min_size=1, max_size=3)
steps = st.tuples(st.lists(lanes, min_size=1, max_size=9), st.lists(references, max_size=2))
walks = st.lists(steps, min_size=1, max_size=60)

BEGIN, NEXT, END, ASIDE = (
    -1,
    -2,
    -3,
    -4,
)  # ASIDE: the reference that follows is waited for by nobody


@entry
def _play(core, vcpu, sites, lines):
    aside = False
    for at in range(len(sites)):
        if sites[at] == ASIDE:
            aside = True
        elif aside:
            step = begin_background(core)
            reference(core, vcpu, 0, 0, sites[at], lines[at])
            end_background(core, step)
            aside = False
        elif sites[at] == BEGIN:
            begin_step(core)
        elif sites[at] == NEXT:
            next_lane(core)
        elif sites[at] == END:
            end_step(core)
        else:
            reference(core, vcpu, 0, 0, sites[at], lines[at])


@entry
def _price(core, vcpu):
    price_noted(core, vcpu)


def _script(walk: Sequence[tuple[Sequence[Lane], Lane]]) -> tuple[np.ndarray, np.ndarray]:
    """What `_play` plays. A step of one lane is played as references that stand alone."""
    moves: list[tuple[int, int]] = []
    for step, behind in walk:
        if len(step) > 1:
            moves.append((BEGIN, 0))
        for number, lane in enumerate(step):
            moves += [(NEXT, 0)] * (number > 0)
            moves += lane
            for one in behind if number == 0 else ():
                moves += [(ASIDE, 0), one]
        if len(step) > 1:
            moves.append((END, 0))
    sites, lines = np.array(moves, np.int64).T
    return sites.copy(), lines.copy()


@settings(max_examples=60, deadline=None)
@given(history=st.lists(walks, min_size=1, max_size=4))
def test_of_a_step_the_lane_that_reaches_furthest_is_waited_for(history: list) -> None:
    preset = presets.load("skylake-sp")
    core, _ = build_core(preset)
    vcpu = build_vcpu(len(RADIX))
    brute = Caches(preset, int(preset.llc_size.value))
    made: Counter[tuple[int, int]] = Counter()
    hidden: Counter[tuple[int, int]] = Counter()
    for walk in history:
        _play(core, vcpu, *_script(walk))
        _price(core, vcpu)
        for step, behind in walk:
            found, aside = [], []
            for lane in step:
                found.append([(site, brute.reference(line)) for site, line in lane])
                if len(found) == 1:
                    aside = [(site, brute.reference(line)) for site, line in behind]
            made.update(aside)
            hidden.update(aside)
            furthest = [max(level for _, level in lane) for lane in found]
            waited = furthest.index(max(furthest))
            for number, lane in enumerate(found):
                made.update(lane)
                hidden.update(lane if number != waited else ())
    for counted, expected in ((references_of(vcpu), made), (hidden_of(vcpu), hidden)):
        assert {
            (int(site), int(level)): int(counted[site, level])
            for site, level in np.argwhere(counted)
        } == dict(expected)
    assert counted.shape[1] == CACHE_LEVELS
