"""What the pages of one VM's processes hold, in plain Python: the oracle of `drivers.crowd`."""

from __future__ import annotations

from collections.abc import Iterable

Page = int  # number of a page: its address >> 12
Key = tuple[int, Page]  # pid, page; pid 0 for the kernel half, which all processes share

#: What a page holds: a tag, 0 for zeros, or the number of the store that was its last.
Held = int | tuple[str, int]


class Model:
    """The processes of one VM."""

    def __init__(self) -> None:
        self.pages: dict[Key, Held] = {}
        self.heap: dict[int, tuple[int, int]] = {}  # pid -> base and end, pages
        self.pids = [1]
        self.current = 1
        self.next_pid = 2

    def _key(self, page: Page) -> Key:
        return (self.current if page >= 0 else 0), page

    def store(self, page: Page, number: int) -> None:
        self.pages[self._key(page)] = ("written", number)

    def load(self, page: Page) -> None:
        self.pages.setdefault(self._key(page), 0)

    def fill(self, pages: Iterable[Page], tag: int) -> None:
        for page in pages:
            self.pages[self._key(page)] = tag

    def unmap(self, pages: Iterable[Page]) -> None:
        for page in pages:
            self.pages.pop((self.current, page), None)

    def brk(self, end: Page) -> None:
        """The first call says where the heap is, and so does one below it."""
        base, old = self.heap.get(self.current, (0, 0))
        if old == 0 or end < base:
            self.heap[self.current] = end, end
            return
        self.heap[self.current] = base, end
        self.unmap(range(end, old))

    def fork(self) -> int:
        child, self.next_pid = self.next_pid, self.next_pid + 1
        for (pid, page), held in list(self.pages.items()):
            if pid == self.current:
                self.pages[child, page] = held
        if self.current in self.heap:
            self.heap[child] = self.heap[self.current]
        self.pids.append(child)
        return child

    def empty(self, pid: int) -> None:
        self.pages = {key: held for key, held in self.pages.items() if key[0] != pid}

    def exit(self, pid: int) -> None:
        """Where it runs, the first of the others goes on."""
        self.empty(pid)
        self.heap.pop(pid, None)
        self.pids.remove(pid)


class Tags:
    """Which tag the simulator gave to which store: one each, whatever becomes of the page."""

    def __init__(self) -> None:
        self._of: dict[Held, int] = {}
        self._by: dict[int, Held] = {}

    def compare(self, where: str, held: Held, tag: int, fresh: bool) -> None:
        """fresh: stored to since anyone looked, so that the tag is not its own."""
        if isinstance(held, int):
            assert not fresh, f"{where} has been stored to; its guest did not"
            assert tag == held, f"{where} reads {tag}; its guest wrote {held}"
        elif fresh:
            assert held not in self._of, f"{where} has been stored to again; its guest did not"
        else:
            assert tag < 0, f"{where} reads {tag}, not what was stored"
            assert self._of.setdefault(held, tag) == tag, f"{where} changed with no store"
            assert self._by.setdefault(tag, held) == held, (
                f"{where} reads what was before, or is elsewhere"
            )
