"""Linux's kernel samepage merging, written a second time in plain Python: an oracle.

A model of ksmd (mm/ksm.c, Linux 6.18) over one address space of pages that are given by their
contents. Recorded and live runs of a real kernel agree with it in every counter
(test_linux_ksm.py). It is slow and plain on purpose; names are the kernel's where the
functions do the same.

What it has: the stable tree with chains and dups, the unstable tree that is dropped with each
full scan, both red-black trees with the kernel's shape (what a search clears away on its path,
and what a page written while in the unstable tree hides, depends on it), checksums, zero
pages, smart scan, copy on write, pages that go away, and every counter of /sys/kernel/mm/ksm
that these have (Documentation/admin-guide/mm/ksm.rst).

What it doesn't have: NUMA (merge_across_nodes=0), fork, swap, page migration, checksum
collisions, the advisor. A page that was written after the start of a full scan may still be in
a processor's LRU batch, which keeps the kernel from merging it before the next full scan
(lru_add_drain_all in scan_get_next_rmap_item); here it merges at once.
"""

from __future__ import annotations

from collections.abc import Iterable

from models.ksm_nodes import (
    OWN,
    ZERO_PAGE,
    Chain,
    Content,
    Place,
    RmapItem,
    Site,
    StableNode,
    skip_age,
)
from models.rbtree import RedBlackTree

RMAP_ITEM_BYTES = 64
"""sizeof(struct ksm_rmap_item) on a 64-bit machine, Documentation/admin-guide/mm/ksm.rst."""


COUNTERS = (
    "pages_shared", "pages_sharing", "pages_unshared", "pages_volatile", "full_scans",
    "stable_node_chains", "stable_node_dups", "ksm_zero_pages", "pages_scanned",
    "pages_skipped", "general_profit",
)  # fmt: skip
"""Files of /sys/kernel/mm/ksm: those that count. The last one is made from others."""


class KSM:
    """ksmd and the pages it scans.

    max_page_sharing, use_zero_pages, smart_scan: as in /sys/kernel/mm/ksm (smart_scan is in
    Linux since 6.7, on by default). prune: stable_node_chains_prune_millisecs has passed at
    each look-up (True) or never (False); the kernel's is a matter of time. checksum_first:
    a page must have kept its checksum before it may join even the stable tree: Linux since
    6.11 (commit d58a361b0350); before it, only the unstable one. zero: what a page of zeros
    holds.
    """

    def __init__(
        self,
        contents: Iterable[Content] = (),
        *,
        max_page_sharing: int = 256,
        use_zero_pages: bool = False,
        smart_scan: bool = True,
        prune: bool = False,
        checksum_first: bool = True,
        zero: Content = 0,
    ) -> None:
        if max_page_sharing < 2:
            raise ValueError("max_page_sharing must be at least 2")
        self.max_page_sharing = max_page_sharing
        self.use_zero_pages = use_zero_pages
        self.smart_scan = smart_scan
        self.prune = prune
        self.checksum_first = checksum_first
        self.zero = zero
        self.sites = [Site(content) for content in contents]
        self.items: dict[int, RmapItem] = {}
        self.stable, self.unstable = RedBlackTree(), RedBlackTree()
        self.cursor: int | None = None  # next site to look at; None between full scans
        self.passed = 0  # the site after the last one where a page was found
        self.pages_shared = self.pages_sharing = self.pages_unshared = 0
        self.stable_node_chains = self.stable_node_dups = 0
        self.full_scans = self.pages_scanned = self.pages_skipped = self.ksm_zero_pages = 0

    # What the program does -------------------------------------------------------------------

    def write(self, site: int, content: Content) -> None:
        """The program writes a page: if it's a merged one, to a copy of its own."""
        self._leave_frame(site)
        self.sites[site] = Site(content)

    def discard(self, site: int) -> None:
        """The program gives a page back (MADV_DONTNEED): nothing is mapped there."""
        self._leave_frame(site)
        self.sites[site] = Site(None, OWN, present=False)

    def _leave_frame(self, number: int) -> None:
        site = self.sites[number]
        if isinstance(site.frame, StableNode):
            site.frame.mapped.discard(number)
        elif site.frame is ZERO_PAGE:
            self.ksm_zero_pages -= 1
        site.frame = OWN

    # What ksmd does --------------------------------------------------------------------------

    def full_scan(self) -> None:
        """Until full_scans has gone up by one."""
        self.scan(None)

    def scan(self, pages_to_scan: int | None) -> None:
        """One batch: so many pages, or to the end of the scan (ksm_do_scan)."""
        while pages_to_scan is None or pages_to_scan > 0:
            item = self._get_next()
            if item is None:
                return
            self.cmp_and_merge_page(item)
            self.pages_scanned += 1
            if pages_to_scan is not None:
                pages_to_scan -= 1

    def _get_next(self) -> RmapItem | None:
        """The next page that is there and not skipped (scan_get_next_rmap_item).

        Sites without an anonymous page, such as those on the zero page, are passed over; a
        rmap_item left from before is freed when the scan finds the next page, or its end.
        """
        if self.cursor is None:
            self.unstable = RedBlackTree()
            self.cursor = 0
            self.passed = 0
        while self.cursor < len(self.sites):
            number = self.cursor
            self.cursor += 1
            site = self.sites[number]
            if not site.present or site.frame is ZERO_PAGE:
                continue
            self._free_items(number)
            self.passed = self.cursor
            item = self.items.setdefault(number, RmapItem(number))
            if not self.should_skip(site, item):
                return item
        self._free_items(len(self.sites))
        self.cursor = None
        self.full_scans += 1
        return None

    def _free_items(self, end: int) -> None:
        """Frees the rmap_items of the sites that the scan came past and found no page at."""
        for number in range(self.passed, end):
            if number in self.items:
                self.remove_from_tree(self.items.pop(number))

    def should_skip(self, site: Site, item: RmapItem) -> bool:
        """Smart scan (should_skip_rmap_item): older pages that never merge sit scans out."""
        if not self.smart_scan or isinstance(site.frame, StableNode):
            return False
        age = item.age
        item.age = min(age + 1, 255)
        if age < 3:
            return False
        if not item.remaining_skips:
            item.remaining_skips = skip_age(age)
            return False
        self.pages_skipped += 1
        item.remaining_skips -= 1
        self.remove_from_tree(item)
        return True

    def cmp_and_merge_page(self, item: RmapItem) -> None:
        site = self.sites[item.site]
        if isinstance(site.frame, StableNode):
            assert item.stable is site.frame
            return
        self.remove_from_tree(item)
        if self.checksum_first and not self._unchanged(item, site):
            return
        node = self.stable_tree_search(site.content)
        if node is not None:
            self._merge(item, node)
            return
        if not self.checksum_first and not self._unchanged(item, site):
            return
        other = self.unstable_tree_search_insert(item, site)
        if other is not None:
            node = StableNode(site.content)
            self.remove_from_tree(other)
            self.stable_tree_insert(node)
            self._merge(other, node)
            self._merge(item, node)

    def _unchanged(self, item: RmapItem, site: Site) -> bool:
        """Whether the page kept its checksum and wasn't merged with the zero page at once."""
        if item.checksum is None or item.checksum != site.content:
            item.checksum = site.content
            return False
        if self.use_zero_pages and site.content == self.zero:
            site.frame = ZERO_PAGE
            self.ksm_zero_pages += 1
            return False
        return True

    def _merge(self, item: RmapItem, node: StableNode) -> None:
        """Maps the KSM page at the item's site and lists the item (stable_tree_append)."""
        self.sites[item.site].frame = node
        node.mapped.add(item.site)
        item.stable = node
        if node.items:
            self.pages_sharing += 1
        else:
            self.pages_shared += 1
        node.items.insert(0, item)
        assert len(node.items) <= self.max_page_sharing

    def remove_from_tree(self, item: RmapItem) -> None:
        """Takes the item off the tree it is in (remove_rmap_item_from_tree)."""
        node = item.stable
        if node is not None:
            if self._stale(node):
                return
            node.items.remove(item)
            item.stable = None
            if node.items:
                self.pages_sharing -= 1
            else:
                self.pages_shared -= 1
        elif item.unstable_scan is not None:
            if item.unstable_scan == self.full_scans:  # else its tree was dropped
                assert item.unstable is not None
                self.unstable.erase(item.unstable)
            item.unstable = item.unstable_scan = None
            self.pages_unshared -= 1

    # The trees -------------------------------------------------------------------------------

    def _stale(self, node: StableNode) -> bool:
        """Whether the KSM page was freed; then its node goes (ksm_get_folio)."""
        if node.mapped:
            return False
        for item in node.items:
            item.stable = None
        if node.items:
            self.pages_shared -= 1
            self.pages_sharing -= len(node.items) - 1
        node.items.clear()
        if node.chain is not None:
            node.chain.dups.remove(node)
            self.stable_node_dups -= 1
        else:
            assert node.node is not None
            self.stable.erase(node.node)
        return True

    def sharing_candidate(self, node: StableNode, more: int = 0) -> bool:
        return bool(node.items) and len(node.items) + more < self.max_page_sharing

    def stable_tree_search(self, content: Content) -> StableNode | None:
        """A KSM page of these contents that may have one site more."""
        found = self._walk(content, self.prune).page
        return found if found is not None and self.sharing_candidate(found) else None

    def _walk(self, content: Content, prune: bool) -> Place:
        """Down the stable tree to where the contents are or would be.

        Stale nodes on the way are cleared, which rebalances the tree: then from the root again.
        """
        parent, side, at = None, "", self.stable.root
        while at is not None:
            held = at.value
            if isinstance(held, Chain):
                found = self.stable_node_dup(held, prune)
            else:
                found = None if self._stale(held) else held
            if found is None:
                parent, side, at = None, "", self.stable.root
            elif content == found.content:
                return Place(at, parent, side, found)
            else:
                parent, side = at, "left" if content < found.content else "right"
                at = getattr(at, side)
        return Place(None, parent, side, None)

    def stable_node_dup(self, chain: Chain, prune: bool) -> StableNode | None:
        """The dup of a chain to use: the first with room, or, pruning, the fullest with room."""
        found: StableNode | None = None
        for dup in list(chain.dups):
            if self._stale(dup):
                continue
            if found is None or (
                self.sharing_candidate(dup)
                and (not self.sharing_candidate(found) or len(dup.items) > len(found.items))
            ):
                found = dup
                if not prune and self.sharing_candidate(found):
                    break
        if found is None:
            self.stable.erase(chain.node)
            self.stable_node_chains -= 1
        elif chain.dups == [found]:
            found.chain, found.node, chain.node.value = None, chain.node, found
            self.stable_node_chains -= 1
            self.stable_node_dups -= 1
        elif chain.dups[0] is not found and self.sharing_candidate(found, 1):
            chain.dups.remove(found)
            chain.dups.insert(0, found)
        return found

    def stable_tree_insert(self, node: StableNode) -> None:
        """A new KSM page; if full ones of the same contents exist, they form a chain."""
        at, parent, side, _ = self._walk(node.content, prune=False)
        if at is None:
            node.node = self.stable.insert(node, parent, side)
            return
        if isinstance(at.value, StableNode):
            old = at.value
            old.chain, old.node = Chain(at, [old]), None
            at.value = old.chain
            self.stable_node_chains += 1
            self.stable_node_dups += 1
        node.chain = at.value
        node.chain.dups.insert(0, node)
        self.stable_node_dups += 1

    def unstable_tree_search_insert(self, item: RmapItem, site: Site) -> RmapItem | None:
        """Another page seen in this scan with these contents; else this one waits for one."""
        parent, side, at = None, "", self.unstable.root
        while at is not None:
            there = self.sites[at.value.site]  # compared by what it holds now
            if not there.present or there.frame is ZERO_PAGE:
                return None
            if there.content == site.content:
                return at.value
            parent, side = at, "left" if site.content < there.content else "right"
            at = getattr(at, side)
        item.unstable = self.unstable.insert(item, parent, side)
        item.unstable_scan = self.full_scans
        self.pages_unshared += 1
        return None

    # What an administrator sees and does -----------------------------------------------------

    def unmerge(self) -> None:
        """Writes 2 to `run`: every page gets a frame of its own again, ksmd forgets all."""
        for number in range(len(self.sites)):
            self._leave_frame(number)
        self.items.clear()
        self.stable, self.unstable = RedBlackTree(), RedBlackTree()
        self.cursor = None
        self.pages_shared = self.pages_sharing = self.pages_unshared = 0
        self.stable_node_chains = self.stable_node_dups = self.full_scans = 0

    @property
    def pages_volatile(self) -> int:
        """rmap_items in no tree: changing pages, skipped ones, those just seen first."""
        trees = self.pages_shared + self.pages_sharing + self.pages_unshared
        return len(self.items) - trees

    def counters(self) -> dict[str, int]:
        """The files of /sys/kernel/mm/ksm, by name."""
        saved = self.pages_sharing + self.ksm_zero_pages
        return {name: getattr(self, name) for name in COUNTERS[:-1]} | {
            "general_profit": saved * 4096 - len(self.items) * RMAP_ITEM_BYTES
        }

    def frames(self) -> int:
        """Page frames in use for the sites' contents, the zero page aside."""
        own = sum(site.present and site.frame is OWN for site in self.sites)
        return own + len({id(s.frame) for s in self.sites if isinstance(s.frame, StableNode)})
