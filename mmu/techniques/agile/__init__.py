"""Agile paging (Gandhi, Hill and Swift, ISCA 2016): a walk that begins in the shadow table and may
go on nested, where the guest writes its tables often.

hooks      what the VMM does, and when
tables     which tables are nested, how they come to be and how they turn back
state      what all of that is kept in
reference  the same, slowly, to check against

The walk is `hardware.walks.agile`. The paper was read in its abstract alone; policy and optional
hardware are a summary's (wangziqi2013.github.io, 2018).
"""

from __future__ import annotations

from mmulab.mmu.hardware.walks.agile import WALK
from mmulab.mmu.presets.cited import Cited
from mmulab.mmu.techniques import shadow
from mmulab.mmu.techniques.agile import hooks
from mmulab.mmu.techniques.agile.reference import AgileReference
from mmulab.mmu.techniques.agile.state import MOST_CACHED, make_state
from mmulab.mmu.techniques.parameters import HOST_PAGE_SIZE, Parameter
from mmulab.mmu.techniques.second_dimension import EXITS
from mmulab.mmu.techniques.technique import Counter, Exit, Technique

_SHADOW = {each.reason: each for each in shadow.TECHNIQUE.exits}

TECHNIQUE = Technique(
    name="agile",
    summary="agile paging: a walk that begins in the shadow table and may go on nested",
    source="Gandhi, Hill and Swift, Agile Paging, ISCA 2016 (abstract)",
    module=__name__,
    walk=WALK,
    reference=AgileReference,
    hooks={
        "touch": hooks.nested.HOOKS["touch"],
        "read": hooks.nested.HOOKS["read"],
        **{
            name: getattr(hooks, name)
            for name in (
                "start",
                "stop",
                "new_root",
                "store",
                "table_freed",
                "load_cr3",
                "fault",
                "drop_mapping",
                "is_mapped",
                "was_accessed",
                "elapsed",
            )
        },
    },
    parameters=(
        Parameter(
            "switch",
            "tables that are walked in nested mode: by the policy, those of levels up to a number, "
            "or all",
            ("policy", "0", "1", "2", "3", "4", "nested"),
        ),
        Parameter(
            "interval",
            "accesses in an interval of the policy",
            low=1,
            high=1 << 40,
            default=1_000_000,
        ),
        Parameter(
            "start",
            "mode that a process starts in, by the policy: nested, as it may live for less than an "
            "interval, or shadow",
            ("nested", "shadow"),
        ),
        Parameter(
            "dirty",
            "how D comes into a guest's leaf that is shadowed: set by the walker, or by the VMM, "
            "after an exit",
            ("walker", "exit"),
        ),
        Parameter(
            "roots",
            "roots whose shadow the processor knows, so that loading one does not exit",
            low=0,
            high=MOST_CACHED,
            default=8,
        ),
        HOST_PAGE_SIZE,
    ),
    exits=(
        *EXITS,
        _SHADOW["shadow_fill"],
        _SHADOW["reflected_fault"],
        _SHADOW["pte_write"],
        _SHADOW["cr3_load"],
        Exit(
            "interval",
            "ends of intervals",
            Cited(
                1000,
                "assumption: a timer's interrupt and the choice of what to do; each table that is "
                "looked at costs extra. From half to twice",
                500,
                2000,
            ),
            category="exit_pte",
        ),
    ),
    counters=(
        *shadow.TECHNIQUE.counters,
        Counter("to_nested", "tables that turned to nested mode, without those below"),
        Counter("to_shadow", "tables that turned back to shadow mode"),
        Counter(
            "rebuilt",
            "sPTEs built when their table turned back",
            Cited(
                100,
                "assumption: guest entry read, p2m looked up, shadow entry and reverse map "
                "written, in a row of such; two to three cache misses of L2. Low: all in L1. "
                "High: from L3 and memory",
                30,
                400,
            ),
        ),
        Counter(
            "scanned",
            "D bits looked at",
            Cited(
                50,
                "assumption: a host's leaf entry found, tested and cleared. Low: in L1. High: a "
                "miss of all caches",
                10,
                300,
            ),
        ),
    ),
    state=make_state,
    assumptions=(
        *shadow.TECHNIQUE.assumptions[:1],
        "a freed gPT page is unshadowed at once, charged with the two exits after which the VMM "
        "would notice",
        "the VMM keeps shadow tables in step at all times, so that INVLPG does not exit",
        "sPTEs are never global",
        "the host's D bit of a gPT page is set by the guest's stores, not by walks; with large "
        "host pages it is still of 4 KiB",
        "a table that turns back has its shadow rebuilt at once, of what is backed and has A set",
        "the kernel half below a process's root has its own mode",
    ),
)
