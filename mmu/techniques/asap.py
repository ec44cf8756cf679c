"""Nested paging with ASAP: the lower levels' entries are prefetched beside the walk.

References are nested paging's, N(g, h); what overlaps is in `hardware.walks.asap`. The paper was
read in its abstract alone; the rule of what overlaps is that of another artifact's formula, DMT's.
"""

from __future__ import annotations

import numpy as np

from mmulab.mmu.hardware.walks.asap import WALK
from mmulab.mmu.memory.status import NIL
from mmulab.mmu.techniques import nested
from mmulab.mmu.techniques.parameters import HOST_PAGE_SIZE
from mmulab.mmu.techniques.second_dimension import EXITS
from mmulab.mmu.techniques.technique import Technique

TECHNIQUE = Technique(
    name="asap",
    summary="nested paging that prefetches the entries of the lower levels beside the walk",
    source="Margaritov et al., Prefetched Address Translation, MICRO 2019 (abstract); "
    "xlab-uiuc/dmt, processor/Formula.cs",
    module=__name__,
    walk=WALK,
    reference=nested.NestedReference,
    hooks={"start": nested.start, "stop": nested.stop, **nested.HOOKS},
    parameters=(HOST_PAGE_SIZE,),
    exits=EXITS,
    state=lambda sizes, values: nested.NestedState(root=np.full(1, NIL, np.int64)),
    assumptions=(
        "both kernels have found room to lay the tables of levels 2 and 1 in the order of what "
        "they map, for all memory, at no cost",
        "an entry is prefetched only where the walk asks for it: what a walk cache has makes no "
        "traffic",
        "a prefetch takes the time of its reference, from the beginning of the host's walk or of "
        "the run of guest entries that it belongs to; over the guest's levels with their host "
        "walks nothing overlaps",
    ),
    dumps=True,
)
