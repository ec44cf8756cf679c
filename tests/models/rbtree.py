"""A red-black tree whose nodes are placed by the caller, as in Linux's lib/rbtree.c.

The textbook's algorithm (Cormen et al., Introduction to Algorithms, chapter 13), which gives
the tree the same shape as the kernel's after the same insertions and removals. Nothing here
compares anything: whoever inserts walks down from the root and says where the new leaf goes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(eq=False)
class Node:
    """One node; `side` names a child, "left" or "right"."""

    value: Any
    parent: Node | None = None
    left: Node | None = None
    right: Node | None = None
    red: bool = True

    def side(self) -> str:
        """Which child of its parent it is."""
        assert self.parent is not None
        return "left" if self.parent.left is self else "right"


def other(side: str) -> str:
    return "right" if side == "left" else "left"


def is_red(node: Node | None) -> bool:
    return node is not None and node.red


class RedBlackTree:
    root: Node | None = None

    def insert(self, value: Any, parent: Node | None, side: str = "") -> Node:
        """A new leaf below `parent` (None: the tree is empty), and the tree balanced again."""
        node = Node(value, parent)
        if parent is None:
            assert self.root is None
            self.root = node
        else:
            assert getattr(parent, side) is None
            setattr(parent, side, node)
        self._balance_insertion(node)
        return node

    def erase(self, node: Node) -> None:
        """Takes the node out; all other nodes stay the objects they are."""
        if node.left is not None and node.right is not None:
            self._swap_with_successor(node, node.right)
        child = node.left or node.right
        parent, side = node.parent, node.side() if node.parent else ""
        self._replace(node, child)
        if is_red(child):
            child.red = False  # type: ignore[union-attr]
        elif not node.red and parent is not None:
            self._balance_removal(parent, side)
        node.parent = node.left = node.right = None

    def _replace(self, old: Node, new: Node | None) -> None:
        if old.parent is None:
            self.root = new
        else:
            setattr(old.parent, old.side(), new)
        if new is not None:
            new.parent = old.parent

    def _swap_with_successor(self, node: Node, successor: Node) -> None:
        """Exchanges the places (not the values) of a node and the next one in order."""
        while successor.left is not None:
            successor = successor.left
        below, above = successor.right, successor.parent
        node.red, successor.red = successor.red, node.red
        self._replace(node, successor)
        successor.left = node.left
        node.left.parent = successor  # type: ignore[union-attr]
        if above is node:
            successor.right, node.parent = node, successor
        else:
            successor.right, above.left = node.right, node  # type: ignore[union-attr]
            node.right.parent, node.parent = successor, above  # type: ignore[union-attr]
        node.left, node.right = None, below
        if below is not None:
            below.parent = node

    def _rotate(self, node: Node, side: str) -> None:
        """The node goes down on that side; its child from the other side takes its place."""
        up = getattr(node, other(side))
        inner = getattr(up, side)
        self._replace(node, up)
        setattr(up, side, node)
        node.parent = up
        setattr(node, other(side), inner)
        if inner is not None:
            inner.parent = node

    def _balance_insertion(self, node: Node) -> None:
        while node.parent is not None and node.parent.red:
            parent, grandparent = node.parent, node.parent.parent
            assert grandparent is not None  # the root is black
            side = parent.side()
            uncle = getattr(grandparent, other(side))
            if is_red(uncle):
                parent.red = uncle.red = False
                grandparent.red = True
                node = grandparent
                continue
            if node.side() != side:
                self._rotate(parent, side)
                node, parent = parent, node
            parent.red, grandparent.red = False, True
            self._rotate(grandparent, other(side))
        assert self.root is not None
        self.root.red = False

    def _balance_removal(self, parent: Node | None, side: str) -> None:
        """A path through `parent`'s child on that side is one black node short."""
        while parent is not None:
            sibling = getattr(parent, other(side))
            if sibling.red:
                sibling.red, parent.red = False, True
                self._rotate(parent, side)
                sibling = getattr(parent, other(side))
            near, far = getattr(sibling, side), getattr(sibling, other(side))
            if not is_red(near) and not is_red(far):
                sibling.red = True
                if parent.red:
                    parent.red = False
                    return
                if parent.parent is None:
                    return
                side, parent = parent.side(), parent.parent
                continue
            if not is_red(far):
                near.red, sibling.red = False, True
                self._rotate(sibling, other(side))
                sibling, far = near, sibling
            sibling.red, parent.red, far.red = parent.red, False, False
            self._rotate(parent, side)
            return
