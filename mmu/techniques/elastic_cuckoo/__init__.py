"""Elastic cuckoo page tables, of the host, of guest and host, or on bare metal.

    state       what the software keeps
    memory      frames of tables
    tables      the hash tables: placing, moving, growing
    regions     what cuckoo walk tables say, and who is told of changes
    hooks       what the guest kernel and the VMM do
    reference   the tables read line by line, to check against

Hardware: `hardware.walks.elastic_cuckoo`. Neither paper was read in the original: what is here
follows their abstracts, summaries of them, and the authors' code of the hash table alone
(elastic_cuckoo_table.cc of D. Skarlatos, as it comes with Victima, github.com/CMU-SAFARI/Victima).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmulab.mmu.hardware.state import MOST_WAYS
from mmulab.mmu.hardware.walks.elastic_cuckoo import WALK
from mmulab.mmu.presets.cited import Cited
from mmulab.mmu.presets.preset import WalkCache
from mmulab.mmu.techniques.elastic_cuckoo import hooks
from mmulab.mmu.techniques.elastic_cuckoo.reference import CuckooReference
from mmulab.mmu.techniques.elastic_cuckoo.state import SIDES, make_state
from mmulab.mmu.techniques.parameters import HOST_PAGE_SIZE, Parameter
from mmulab.mmu.techniques.second_dimension import EXITS
from mmulab.mmu.techniques.technique import Counter, Technique, WalkCaches

_SUMMARY = "summary of Stojkovic et al., ASPLOS 2022"


def _walk_caches(caches: WalkCaches, values: Mapping[str, Any]) -> WalkCaches:
    """Cuckoo walk caches in the place of paging-structure caches, of a radix guest those of
    guest-physical addresses alone; the shortcut translation cache in that of the nested TLB."""

    def cuckoo(name: str, entries: int) -> WalkCache:
        return WalkCache(name, sets=1, ways=entries, source="parameter cwc")

    of_host = (
        cuckoo("ept_pte", values["cwc"]),
        cuckoo("ept_pde", values["cwc"]),
        cuckoo("ept_pdpte", 2),
    )
    if values["sides"] == "host":
        return (*(cache for cache in caches if not cache.name.startswith("ept_")), *of_host)
    of_guest = (cuckoo("pde", values["cwc"]), cuckoo("pdpte", 2))
    shortcut = WalkCache("ntlb", sets=1, ways=10, source=_SUMMARY)
    return of_guest if values["sides"] == "native" else (*of_guest, *of_host, shortcut)


_STEP = (
    "a hash and a look-up of walk caches: 12 cycles for three steps, 2 on bare metal "
    "(simulator of DMT, github.com/xlab-uiuc/dmt). Low: as on bare metal. High: assumption, twice "
    "the likely value"
)
_MOVED = (
    "assumption: two lines of 64 bytes, read and written, of which one comes from the last cache. "
    "Low: both in the first. High: both from memory"
)

TECHNIQUE = Technique(
    name="elastic-cuckoo",
    summary="elastic cuckoo page tables: hashed, all probes of a step at once; three steps nested",
    source="Skarlatos et al., ASPLOS 2020; Stojkovic et al., ASPLOS 2022 (abstracts and summaries)",
    module=__name__,
    walk=WALK,
    reference=CuckooReference,
    hooks={
        name: getattr(hooks, name)
        for name in (
            "start",
            "stop",
            "touch",
            "read",
            "fault",
            "store",
            "load_cr3",
            "drop_mapping",
            "is_mapped",
            "was_accessed",
            "place_table",
            "table_allocated",
            "table_freed",
            "new_root",
        )
    },
    parameters=(
        Parameter(
            "sides",
            "whose tables are hashed: guest's and host's, the host's below a radix guest, or those "
            "of bare metal",
            SIDES,
        ),
        Parameter(
            "ways",
            "ways of a table, each hashed by itself",
            low=3,
            high=MOST_WAYS,
            default=3,
        ),
        Parameter(
            "lines",
            "lines of a way when its table is made; 16384 in the papers",
            ("64", "256", "1024", "4096", "16384"),
        ),
        Parameter(
            "threshold",
            "percent of lines in use above which a table grows to twice; Virtuoso's 70",
            low=10,
            high=80,
            default=60,
        ),
        Parameter(
            "cwc",
            "entries of a cuckoo walk cache, of PTE and PMD walk tables each; 64 in Virtuoso's "
            "configuration",
            low=1,
            high=64,
            default=16,
        ),
        HOST_PAGE_SIZE,
    ),
    exits=EXITS,
    counters=(
        Counter("guest_steps", "steps to the guest's tables", Cited(4, _STEP, 2, 8), "guest_walk"),
        Counter("host_steps", "steps to the host's", Cited(4, _STEP, 2, 8), "nested_walk"),
        Counter(
            "lines_moved",
            "lines that an insertion or a resize moved",
            Cited(60, _MOVED, 20, 400),
            "guest_kernel",
        ),
        Counter("resizes", "tables that began to grow"),
        Counter("refused", "that did not for want of memory"),
    ),
    state=make_state,
    walk_caches=_walk_caches,
    assumptions=(
        "the guest keeps radix tables as its record, as Linux does where hardware walks hashed "
        "ones; no hardware reads them, their upper tables stand for the guest's cuckoo walk "
        "tables, and A and D bits set by a walk are set there, too, at no cost",
        "a table is made when its first page is mapped, and is not probed before; it never shrinks",
        "not two ways, as in Virtuoso's configuration: above half of the lines in use some find no "
        "place, and are lost there",
        "a way of a table lies in one piece of memory; where there is none the table fills up",
        "entries of walk tables are fetched in the background and waited for by nobody",
        "software tells caches of walk tables what changes, at no cost",
        "PTE entries of the host's walk table are always used to locate the guest's tables, and "
        "for pages while more than half of the look-ups hit",
        "bare metal is a VM whose memory lies in one segment that costs nothing",
    ),
)
