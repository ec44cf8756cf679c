"""ksmd's scan, compiled: Linux mm/ksm.c, cmp_and_merge_page() and what it calls.

Linux keeps its two trees sorted by what pages hold; here they are hash tables of tags,
which find the same pages. Of an item (a page that is scanned) Linux keeps a checksum, which
must not change from one visit to the next before the page may enter the unstable tree; the
tag takes its place. The stable table points to merged frames: those of one tag form a chain
(the duplicates of max_page_sharing), linked through the frames' records.

With `hints` the scan is that of ESX (Waldspurger, OSDI 2002, 4.2): a page is shared with a
frame of its hash at once, else leaves its hash as a hint, and whoever finds a hint looks
whether the page still holds that.
"""

from __future__ import annotations

import numpy as np

from mmulab.mmu.hardware import contents
from mmulab.mmu.hardware.state import Machine
from mmulab.mmu.host import sharing
from mmulab.mmu.kernels.compiling import entry, inlined, kernel
from mmulab.mmu.kernels.structs import ArrayField, Struct
from mmulab.mmu.kernels.vectors import prefetch
from mmulab.mmu.memory.guest_tables import is_table
from mmulab.mmu.memory.p2m import hfn_of, is_backed, is_merged
from mmulab.mmu.memory.state import MERGED_PAGE, Host
from mmulab.mmu.memory.status import NIL
from mmulab.mmu.vmm import exits

#: What a scan is told, and what it counts: names as in /sys/kernel/mm/ksm.
SCAN = np.dtype(
    [
        ("max_page_sharing", np.int64),
        ("use_zero_pages", np.int64),
        ("smart_scan", np.int64),
        ("hints", np.int64),  # 1: as ESX, no checksum is waited for and hints outlive a scan
        ("hinted", np.int64),  # entries of the unstable table that are in use
        ("zero_frame", np.int64),  # the merged frame of zeros, NIL before there is one
        ("epoch", np.int64),  # full scans so far: unstable entries of others are gone
        ("rmap_items", np.int64),
        ("pages_unshared", np.int64),
        ("pages_scanned", np.int64),
        ("pages_skipped", np.int64),
        ("merges", np.int64),
        ("splits", np.int64),  # large host pages cut so that a part could be merged
        ("stable_used", np.int64),
    ]
)
UNSTABLE_ENTRY = np.dtype(
    [("tag", np.int64), ("epoch", np.int64), ("vm", np.int32), ("gfn", np.int32)]
)
STABLE_ENTRY = np.dtype([("tag", np.int64), ("frame", np.int64)])  # frame + 1 of the first dup

#: Items: what ksmd remembers of a page.
ITEM = np.dtype(
    [
        ("checksum", np.int64),
        ("known", np.uint8),  # 1: an rmap_item exists
        ("unstable", np.uint8),  # 1: it stands in the unstable tree
        ("age", np.uint8),
        ("skips", np.uint8),
    ]
)

#: A merge that another VM's pages take part in, to be carried out on that VM.
ORDER = np.dtype([("vm", np.int64), ("gfn", np.int64), ("hfn", np.int64), ("tag", np.int64)])

NOBODY = 0  # in place of a VM: the page that stood here has been merged

NEAR, FAR = 6, 12  # pages ahead that are asked for: measured

_MULTIPLIER = -7046029254386353131  # 2**64 / golden ratio (Knuth, TAOCP vol. 3, 6.4)


class Trees(Struct):
    """The stable and the unstable tree, as hash tables with linear probing."""

    scan: np.ndarray  # [1]
    unstable: np.ndarray  # [a power of two]
    stable: np.ndarray  # [a power of two]
    dup: np.ndarray  # [host frames]: the next merged frame of the same tag, + 1
    orders: np.ndarray  # [pages_to_scan]

    FIELDS = {
        "scan": ArrayField(SCAN),
        "unstable": ArrayField(UNSTABLE_ENTRY),
        "stable": ArrayField(STABLE_ENTRY),
        "dup": ArrayField(np.int32),
        "orders": ArrayField(ORDER),
    }


@inlined
def _home(tag, size):
    mixed = tag * _MULTIPLIER
    return (mixed ^ (mixed >> 29)) & (size - 1)


def prune_stable(host: Host, trees: Trees) -> None:
    """Forgets tags that no merged frame has any more, so that the stable table never fills up:
    at most as many are left as there are host frames, a quarter of its places. Called when
    half are taken; a scan before the next call takes a quarter at most."""
    old = trees.stable[trees.stable["frame"] > 0]
    at = old["frame"] - 1
    frame, held = host.frames.frame, host.memory.contents
    while True:  # along each chain to its first frame that still is merged
        gone = (at != NIL) & ((frame["kind"][at] != MERGED_PAGE) | (held[at] != old["tag"]))
        if not gone.any():
            break
        at[gone] = trees.dup[at[gone]].astype(np.int64) - 1
    kept = at != NIL
    size = len(trees.stable)
    trees.stable["frame"] = 0
    mixed = old["tag"][kept] * np.int64(_MULTIPLIER)
    homes = (mixed ^ (mixed >> 29)) & (size - 1)  # as `_home`
    moved = zip(homes.tolist(), old["tag"][kept].tolist(), at[kept].tolist(), strict=True)
    for place, tag, hfn in moved:
        while trees.stable["frame"][place]:
            place = (place + 1) & (size - 1)
        trees.stable[place] = tag, hfn + 1
    trees.scan[0]["stable_used"] = int(kept.sum())


# --- Stable tree ------------------------------------------------------------------


@kernel
def _stable_slot(trees, tag):
    """Where a tag stands in the stable table, or the free place for it."""
    at = _home(tag, trees.stable.size)
    while trees.stable[at].frame and trees.stable[at].tag != tag:
        at = (at + 1) & (trees.stable.size - 1)
    return at


@kernel
def _is_shared(machine, hfn, tag):
    """True where a frame is merged and holds the tag: not freed since, nor used anew."""
    kind = machine.host.frames.frame[hfn].kind
    return kind == MERGED_PAGE and machine.host.memory.contents[hfn] == tag


@kernel
def _stable_find(machine, trees, tag):
    """A merged frame of this tag that may be shared once more, or NIL. Frames of the chain
    that are merged no longer leave it."""
    limit = trees.scan[0].max_page_sharing
    place = trees.stable[_stable_slot(trees, tag)]
    before = NIL
    at = place.frame - 1
    while at != NIL:
        following = trees.dup[at] - 1
        if not _is_shared(machine, at, tag):
            if before == NIL:
                # An emptied chain keeps its place: probing must not stop there.
                place.frame = following + 1 if following != NIL else place.frame
            else:
                trees.dup[before] = following + 1
        elif machine.host.frames.frame[at].references < limit:
            return at
        else:
            before = at
        at = following
    return NIL


@kernel
def _stable_insert(machine, trees, tag, hfn):
    """A frame joins the chain of its tag, first."""
    place = trees.stable[_stable_slot(trees, tag)]
    head = place.frame - 1
    if head == NIL:
        trees.scan[0].stable_used += 1
    elif head == hfn or not _is_shared(machine, head, tag):
        head = NIL  # an emptied chain
    place.tag = tag
    trees.dup[hfn] = head + 1
    place.frame = hfn + 1


# --- Unstable tree ----------------------------------------------------------------


@kernel
def _unstable_slot(trees, tag):
    """Where a tag stands in this scan's unstable table, or the free place for it."""
    at = _home(tag, trees.unstable.size)
    epoch = trees.scan[0].epoch
    while trees.unstable[at].epoch == epoch and trees.unstable[at].tag != tag:
        at = (at + 1) & (trees.unstable.size - 1)
    return at


@kernel
def _forget_unstable(scan, item):
    if item.unstable:
        item.unstable = 0
        scan.pages_unshared -= 1


# --- One page ---------------------------------------------------------------------


@kernel
def _skip(scan, item):
    """Smart scan: a page that was not merged for long is looked at less often (Linux 6.7,
    mm/ksm.c, should_skip_rmap_item() and skip_age())."""
    age = item.age
    if age < 255:
        item.age = age + 1
    if not scan.smart_scan or age < 3:
        return False
    if item.skips == 0:
        item.skips = 1 if age <= 3 else (2 if age <= 5 else (4 if age <= 8 else 8))
        return False
    item.skips -= 1
    scan.pages_skipped += 1
    return True


@kernel
def _join(machine, trees, item, gfn, hfn, tag):
    """Merges a page of the VM that is being scanned."""
    scan = trees.scan[0]
    done = sharing.join(machine, gfn, hfn, tag)
    if done:
        scan.merges += 1
        item.age = 0
    scan.splits += int(done & sharing.CUT != 0)


@kernel
def _join_zeros(machine, trees, item, gfn):
    """A page of zeros becomes the page of zeros, which any number may share, or joins it.
    ksmd holds a reference of its own, so that it stays."""
    scan = trees.scan[0]
    if scan.zero_frame != NIL:
        _join(machine, trees, item, gfn, scan.zero_frame, 0)
        return
    _join(machine, trees, item, gfn, hfn_of(machine, gfn), 0)
    hfn = hfn_of(machine, gfn)
    if is_merged(machine, gfn):
        machine.host.frames.frame[hfn].references += 1
        scan.zero_frame = hfn


@kernel
def _meet(machine, trees, items, gfn, tag, ordered):
    """A page that keeps what it holds meets the unstable tree: it enters it, or becomes,
    with the page that it finds, a merged one. Returns the number of orders."""
    scan = trees.scan[0]
    item = items[gfn]
    vm = machine.vm.record[0].id
    place = trees.unstable[_unstable_slot(trees, tag)]
    if place.epoch != scan.epoch or place.vm == NOBODY:
        scan.hinted += int(place.epoch != scan.epoch)
        place.tag = tag
        place.epoch = scan.epoch
        place.vm = vm
        place.gfn = gfn
        item.unstable = 1
        scan.pages_unshared += 1
        return ordered
    other = place.gfn
    owner = place.vm
    own = owner == vm
    if own and (not is_backed(machine, other) or contents.look(machine, other) != tag):
        place.gfn = gfn  # the other has changed: this one takes its place
        item.unstable = 1
        scan.pages_unshared += 1
        return ordered
    hfn = hfn_of(machine, gfn)
    _join(machine, trees, item, gfn, hfn, tag)
    if not is_merged(machine, gfn):
        return ordered  # it may not be shared
    _stable_insert(machine, trees, tag, hfn_of(machine, gfn))
    place.vm = NOBODY
    if own:
        _forget_unstable(scan, items[other])
        _join(machine, trees, items[other], other, hfn_of(machine, gfn), tag)
    else:
        order = trees.orders[ordered]
        order.vm = owner
        order.gfn = other
        order.hfn = hfn_of(machine, gfn)
        order.tag = tag
        ordered += 1
        # Held for the other page, so that no more than the limit join before it does.
        machine.host.frames.frame[hfn_of(machine, gfn)].references += 1
    return ordered


@kernel
def _visit(machine, trees, items, gfn, ordered):
    """Looks at one page of a VM. Returns the number of orders."""
    scan = trees.scan[0]
    item = items[gfn]
    scan.pages_scanned += 1
    _forget_unstable(scan, item)
    if is_merged(machine, gfn):
        return ordered
    tag = contents.look(machine, gfn)
    if not scan.hints and item.checksum != tag + 1:  # 0: no checksum yet
        item.checksum = tag + 1
        return ordered
    if tag == 0 and scan.use_zero_pages:
        _join_zeros(machine, trees, item, gfn)
        return ordered
    shared = _stable_find(machine, trees, tag)
    if shared != NIL:
        _join(machine, trees, item, gfn, shared, tag)
        return ordered
    return _meet(machine, trees, items, gfn, tag, ordered)


@kernel
def _is_scanned(machine, scan, gfn):
    """True for the pages that ksmd sees: not those on the page of zeros, which has no owner."""
    if not is_backed(machine, gfn) or is_table(machine, gfn):
        return False
    return not scan.use_zero_pages or hfn_of(machine, gfn) != scan.zero_frame


@inlined
def _fetch_ahead(machine, trees, gfn, end):
    """Asks for what the scan will read of pages to come: each lies anywhere in memory."""
    far = gfn + FAR
    if far < end and is_backed(machine, far):
        hfn = np.uint64(hfn_of(machine, far))
        prefetch(machine.host.memory.contents, hfn)
        prefetch(machine.host.memory.written, hfn)
        prefetch(machine.host.frames.frame, hfn)
    near = gfn + NEAR
    if near < end and is_backed(machine, near):
        tag = machine.vm.contents[near]
        prefetch(trees.stable, np.uint64(_home(tag, trees.stable.size)))
        prefetch(trees.unstable, np.uint64(_home(tag, trees.unstable.size)))


@entry
def scan_vm(machine: Machine, trees: Trees, items, gfn, budget):
    """Visits up to `budget` pages of a VM from gfn on.

    Returns (where it goes on, gfns in all at the VM's end; pages visited; orders).
    """
    scan = trees.scan[0]
    end = machine.vm.p2m.size
    visited = 0
    ordered = 0
    while gfn < end and visited < budget:
        _fetch_ahead(machine, trees, gfn, end)
        if _is_scanned(machine, scan, gfn):
            if not items[gfn].known:
                items[gfn].known = 1
                scan.rmap_items += 1
            if not is_merged(machine, gfn) and _skip(scan, items[gfn]):
                _forget_unstable(scan, items[gfn])
            else:
                ordered = _visit(machine, trees, items, gfn, ordered)
                visited += 1
        elif items[gfn].known:
            _forget_unstable(scan, items[gfn])
            items[gfn].known = 0
            items[gfn].checksum = 0
            items[gfn].age = 0
            scan.rmap_items -= 1
        gfn += 1
    exits.flush_here(machine)
    return gfn, visited, ordered
