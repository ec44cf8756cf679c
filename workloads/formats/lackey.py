"""Valgrind's lackey: `valgrind --tool=lackey --trace-mem=yes [--trace-syscalls=yes]`.

    I  04016b80,3        instruction fetch: address, size
     L 1ffefff7e8,8      load
     S 1ffefff7e0,8      store
     M 0421d7c8,4        modify: a load and a store

Addresses are hexadecimal without 0x (Valgrind's lackey/lk_main.c). Space may be less than
lackey's own, or more at the end, as in files that an editor or a course has been through.
Lines of the form `==pid==`, and `==time pid==` of --time-stamp=yes, are comments; `SB address`
lines of --trace-superblocks=yes are passed over. `SYSCALL[pid,tid](number) sys_name (
arguments ) ...` lines stand in order between them; those that change the address space become
events, and each other call a KERNEL. An access's ip is the address of the fetch before it.

What can be known of processes: memory lines carry no pid. The first pid seen is
process 1 of the trace; where a log holds several processes, a change of the pid in
SYSCALL lines is taken as a switch, which is as near as such a log allows (write one log
a process, --log-file=NAME.%p, to be exact). A child that is not traced exits when its
parent has waited for it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import BinaryIO

import numpy as np

from mmulab.mmu.kernels.compiling import entry, inlined
from mmulab.mmu.trace import (
    BRK,
    EXIT,
    FETCH,
    FORK,
    KERNEL,
    LOAD,
    MMAP,
    MPROTECT,
    MUNMAP,
    PROT_READ,
    PROT_WRITE,
    STORE,
    SWITCH,
    Chunk,
)
from mmulab.workloads.formats import Options, text
from mmulab.workloads.formats.fetches import with_ip
from mmulab.workloads.formats.text import (
    COMMA,
    END,
    FULL,
    HEX,
    NEWLINE,
    NOT_CANONICAL,
    OTHER,
    RETURN,
    SPACE,
    is_canonical,
)
from mmulab.workloads.streams import ByteStream

NAME = "lackey"
SUMMARY = "Valgrind lackey text, --trace-mem=yes, with SYSCALL lines as events"
HOLDS = frozenset({"kind", "fetch", "size", "fetch-ip"})
EXPECTED = "a lackey line such as ' L 1ffefff7e8,8'"

_ACCESS = re.compile(rb"\s*[ILSM]\s+[0-9a-fA-F]{1,16},\d+\s*$|SB [0-9a-fA-F]{1,16}\s*$")
_COMMENT = re.compile(rb"(==|--|\*\*)([\d:.]+ )?\d+(==|--|\*\*)")
_LIKE = re.compile(rb"\s*[ILSM] ")
_NO_LINE = (
    "no line of lackey's; if the program wrote it, give valgrind --log-file=FILE, which "
    "holds lackey's lines alone"
)
_I, _L, _S, _M, _B, _ZERO = ord("I"), ord("L"), ord("S"), ord("M"), ord("B"), ord("0")
_MODIFY, _SUPERBLOCK = 3, 4


def matches(head: bytes) -> bool:
    if not text.looks_like_text(head):
        return False
    seen = [line for line in text.lines(head) if line.strip()]
    known = [line for line in seen if _ACCESS.match(line) or line.startswith((b"==", b"SYSCALL["))]
    comments = all(line.startswith(b"==") for line in seen)
    if b"== Lackey, an example Valgrind tool" in head:
        return True
    return bool(known) and len(known) * 2 > len(seen) and (not comments or b"ackey" in head)


@inlined
def _kind(letter):
    """What a line that begins so does; -1 for no access."""
    if letter == _I:
        return FETCH
    if letter == _L:
        return LOAD
    if letter == _S:
        return STORE
    return _MODIFY if letter == _M else -1


@inlined
def _begin(data, at):
    """(where the address of a line begins, what the line is: a kind, _SUPERBLOCK, -1 for neither)

    Space may be missing before the letter and after it, where there is one at least.
    """
    while data[at] == SPACE:
        at += 1
    what = _kind(data[at])
    if data[at] != NEWLINE:
        at += 1
    if what == STORE and data[at] == _B:
        what = _SUPERBLOCK
        at += 1
    if data[at] != SPACE:
        what = -1
    while data[at] == SPACE:
        at += 1
    return at, what


@entry
def parse(data, position, end, va_bits, address, kind, size, count):
    """Takes lackey lines; see workloads.formats.text.Kernel."""
    lines = 0
    limit = address.size - 1
    while position < end:
        if count >= limit:
            return FULL, position, count, lines
        if position + 3 > end:
            return OTHER, position, count, lines
        at = position + 3
        first, second, third = data[position], data[position + 1], data[position + 2]
        if first == _I and second == SPACE and third == SPACE:
            what = FETCH
        elif first == SPACE and third == SPACE and second == _L:
            what = LOAD
        elif first == SPACE and third == SPACE and second == _S:
            what = STORE
        else:
            at, what = _begin(data, position)
        if what < 0:
            return OTHER, position, count, lines
        if what == _SUPERBLOCK:
            while data[at] != NEWLINE:
                at += 1
            lines += 1
            position = at + 1
            continue
        begin = at
        value = 0
        digit = HEX[data[at]]
        while digit < 16:
            value = (value << 4) | digit
            at += 1
            digit = HEX[data[at]]
        digits = at - begin
        if digits == 0 or digits > 16 or data[at] != COMMA:
            return OTHER, position, count, lines
        at += 1
        length = 0
        begin = at
        while _ZERO <= data[at] < _ZERO + 10 and at - begin < 6:
            length = 10 * length + data[at] - _ZERO
            at += 1
        none = at == begin
        if data[at] != NEWLINE:
            while data[at] == SPACE or data[at] == RETURN:
                at += 1
        if data[at] != NEWLINE or none or not 0 < length < 65536:
            return OTHER, position, count, lines
        if not is_canonical(value, va_bits):
            return NOT_CANONICAL, position, count, lines
        address[count] = value
        size[count] = length
        kind[count] = what
        if what == _MODIFY:
            kind[count] = LOAD
            count += 1
            address[count] = value
            size[count] = length
            kind[count] = STORE
        count += 1
        lines += 1
        position = at + 1
    return END, position, count, lines


# --- System calls ---------------------------------------------------------------

_SYSCALL = re.compile(rb"SYSCALL\[(\d+),(\d+)\]\(\s*(\d+)\)\s*(.*)")
_CALL = re.compile(rb"(?:sys_|sys32_)?(\w+)\s*\(\s*(.*?)\s*\)\s*(?:\[|-->|$)")
_SUCCESS = re.compile(rb"Success\(0x([0-9a-fA-F]+)(?::0x[0-9a-fA-F]+)?\)")
_CONTINUED = re.compile(rb"\[|\s*-->")
_CREATED = re.compile(rb"fork\)?: process (\d+) created child (\d+)")
_PAGE = 4096
_CLONE_VM = 0x100  # <sched.h>: the child shares the address space, it is a thread

_WATCHED = {
    b"mmap", b"munmap", b"mprotect", b"mremap", b"brk", b"fork", b"vfork", b"clone",
    b"wait4", b"exit_group",
}  # fmt: skip

Event = tuple[int, int, int, int, int]  # kind, pid, start, length, value


class Syscalls:
    """Turns SYSCALL lines into events; pairs asynchronous calls with their results."""

    def __init__(self, first: int | None = None, current: int = 1) -> None:
        """first: the operating system's pid of process 1; the first seen unless given.
        current: the process that the log begins in.

        torn: lines left out. After a fork two processes write to one log until one calls
        exec, and where they meet in the middle of a line neither half is one.
        """
        self._pending: dict[tuple[bytes, bytes], tuple[bytes, list[int]]] = {}
        self._first = None if first is None else str(first).encode()
        self._current = current
        self._shared = False
        self.torn = 0
        self._children: set[int] = set()

    def __call__(self, line: bytes) -> list[Event] | str | None:
        found = self._of(line)
        if not isinstance(found, list):
            return found
        if any(value.bit_length() > 64 for event in found for value in event):
            return _NO_LINE
        return [
            (kind, _signed(pid), _signed(start), _signed(length), _signed(value))
            for kind, pid, start, length, value in found
        ]

    def _of(self, line: bytes) -> list[Event] | str | None:
        if not line.strip() or _COMMENT.match(line):
            return []
        found = _SYSCALL.match(line)
        created = _CREATED.search(line)
        if created:
            parent, child = created.groups()
            self._shared = True
            self._children.add(int(child))
            return [*self._switch(parent), (FORK, self._current, 0, 0, int(child))]
        if not found:
            # What a system call prints of its own can wrap onto lines of its own.
            if _CONTINUED.match(line):
                return []
            if not self._shared:
                return None if _LIKE.match(line) else _NO_LINE
            self.torn += 1
            return []
        pid_text, thread, _number, rest = found.groups()
        events = self._switch(pid_text)
        return events + self._call(self._current, (pid_text, thread), rest)

    def _switch(self, pid_text: bytes) -> list[Event]:
        """What it takes to be in the process that the operating system calls so."""
        if self._first is None:
            self._first = pid_text
        pid = 1 if pid_text == self._first else int(pid_text)
        if pid == self._current:
            return []
        self._current = pid
        return [(SWITCH, pid, 0, 0, 0)]

    def _call(self, pid: int, who: tuple[bytes, bytes], rest: bytes) -> list[Event]:
        call = _CALL.match(rest)
        if call:
            name = call[1]
            if name not in _WATCHED:
                self._pending.pop(who, None)
                return [(KERNEL, pid, 0, 0, 0)]
            arguments = _numbers(call[2])
            if name == b"exit_group":
                return [(EXIT, pid, 0, 0, 0)]
            self._pending[who] = (name, arguments)
        success = _SUCCESS.search(rest)
        if not success:
            failed = self._pending.pop(who, None) if b"Failure" in rest else None
            return [(KERNEL, pid, 0, 0, 0)] if failed else []
        name, arguments = self._pending.pop(who, (b"", []))
        if not name:
            return []
        try:
            events = self._done(pid, name, arguments, int(success[1], 16))
        except IndexError:
            events = []
        return events or [(KERNEL, pid, 0, 0, 0)]

    def _done(self, pid: int, name: bytes, args: list[int], result: int) -> list[Event]:
        """The events of a call that has succeeded; none where it changes no address space."""
        if name == b"mmap":
            return [(MMAP, pid, result, _round(args[1]), args[2] & 7)]
        if name == b"munmap":
            return [(MUNMAP, pid, args[0], _round(args[1]), 0)]
        if name == b"mprotect":
            return [(MPROTECT, pid, args[0], _round(args[1]), args[2] & 7)]
        if name == b"brk":
            return [(BRK, pid, result, 0, 0)]
        if name == b"mremap":
            return _moved(pid, args[0], _round(args[1]), result, _round(args[2]))
        if name == b"wait4" and result in self._children:
            self._children.discard(result)
            return [(EXIT, result, 0, 0, 0)]
        if name in (b"fork", b"vfork") or (name == b"clone" and not args[0] & _CLONE_VM):
            if result and result not in self._children:
                self._children.add(result)
                return [(FORK, pid, 0, 0, result)]
        return []


def _numbers(arguments: bytes) -> list[int]:
    values = []
    for item in arguments.split(b","):
        found = re.match(rb"\s*(?:0x([0-9a-fA-F]+)|(\d+))", item)
        if not found:
            break
        values.append(int(found[1] or found[2], 16 if found[1] else 10))
    return values


def _signed(value: int) -> int:
    """A number of 64 bits as one with a sign."""
    return value - (value >> 63 << 64)


def _round(length: int) -> int:
    return (length + _PAGE - 1) & ~(_PAGE - 1)


def _moved(pid: int, old: int, old_length: int, new: int, new_length: int) -> list[Event]:
    """mremap: what is new is mapped, what is gone unmapped; its pages are touched anew."""
    both = PROT_READ | PROT_WRITE
    if new != old:
        return [(MUNMAP, pid, old, old_length, 0), (MMAP, pid, new, new_length, both)]
    if new_length > old_length:
        return [(MMAP, pid, old + old_length, new_length - old_length, both)]
    if new_length < old_length:
        return [(MUNMAP, pid, old + new_length, old_length - new_length, 0)]
    return []


def read(stream: ByteStream, options: Options) -> Iterator[Chunk]:
    """Chunks of a lackey log. Raises InputError naming file and line."""
    return read_process(stream, options, Syscalls())


def read_process(stream: ByteStream, options: Options, syscalls: Syscalls) -> Iterator[Chunk]:
    """`read` for the log of one of several processes, whose syscalls know which."""
    parser = text.KernelParser(parse, options.va_bits)
    chunks = text.read(stream, options, parser, syscalls, EXPECTED)
    return with_ip(chunks) if "ip" in options.columns else chunks


def write(file: BinaryIO, chunks: Iterable[Chunk]) -> None:
    """Writes accesses as lines."""
    for chunk in chunks:
        words = np.array([" L", " S", "I "])[chunk.kind].tolist()
        rows = zip(chunk.address.view(np.uint64).tolist(), words, chunk.size.tolist(), strict=True)
        file.write("".join(f"{k} {a:08x},{s}\n" for a, k, s in rows).encode())
