"""What ksmd keeps about pages: the structures of mm/ksm.c that linux_ksm.py works on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from models.rbtree import Node

Content = Any
"""What a page holds, and how two pages compare (memcmp): numbers, or strings."""


class _Zero:
    """The kernel's zero page as KSM maps it (use_zero_pages)."""


ZERO_PAGE = _Zero()
OWN = None  # an anonymous page of its own


@dataclass(eq=False)
class StableNode:
    """One KSM page: its contents, the rmap_items on its list, the sites that still map it.

    `items` may hold more than `mapped`: a write takes a site off the page at once, but ksmd
    notices only at its next visit. With no site left the page is freed and the node stale.
    """

    content: Content
    items: list[RmapItem] = field(default_factory=list)  # kernel's rmap_hlist_len is its length
    mapped: set[int] = field(default_factory=set)
    chain: Chain | None = None
    node: Node | None = None  # in the stable tree, unless it is a chain's dup


@dataclass(eq=False)
class Chain:
    """Several KSM pages of the same contents, since each may have max_page_sharing sites."""

    node: Node
    dups: list[StableNode] = field(default_factory=list)


@dataclass(eq=False)
class RmapItem:
    """What ksmd remembers of one page."""

    site: int
    checksum: Content = None  # the kernel's is 0 at first: no page's
    stable: StableNode | None = None
    unstable: Node | None = None
    unstable_scan: int | None = None  # full_scans when it was put in the unstable tree
    age: int = 0
    remaining_skips: int = 0


@dataclass
class Site:
    """One page of the address space: what it holds, and the page frame behind it."""

    content: Content
    frame: StableNode | _Zero | None = OWN
    present: bool = True


class Place(NamedTuple):
    """Where contents belong in the stable tree: at a node, or below a parent on a side."""

    node: Node | None
    parent: Node | None
    side: str
    page: StableNode | None


def skip_age(age: int) -> int:
    """How many scans a page that was not merged for `age` scans sits out next."""
    return 1 if age <= 3 else 2 if age <= 5 else 4 if age <= 8 else 8
