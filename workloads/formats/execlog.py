"""QEMU's execlog plugin in user mode: one instruction a line, with its data accesses.

    0, 0x401126, 0xe5894855, "pushq %rbp", store, 0x7ffe5c3c0b58

vCPU, address, first bytes, disassembly, then `load` or `store` and an address for every
access (contrib/plugins/execlog.c); registers, which its newer options add, are passed
over. In user mode each thread is a vCPU of its own: a SWITCH stands before the first line
and wherever the vCPU changes, with process 1 and the vCPU's number as thread. Each line
is a fetch and its accesses, in order, whose ip is the fetch's address. The plugin prints no
sizes: all are one byte.

QEMU writes a line and its end one after the other, so that a line of one thread can begin
before that of another has ended: both are read; the vCPU of the second is taken to have
one digit where it follows an address.

In full-system mode it prints physical addresses, with the device's name behind them; such
a log is refused, because there is nothing to translate.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np

from mmulab.mmu.kernels.compiling import entry, inlined
from mmulab.mmu.trace import FETCH, LOAD, STORE, SWITCH, Chunk
from mmulab.workloads.formats import Options, fields, text
from mmulab.workloads.formats.fetches import with_ip
from mmulab.workloads.formats.text import (
    AGAIN,
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
from mmulab.workloads.formats.words import pack
from mmulab.workloads.streams import ByteStream

NAME = "execlog"
SUMMARY = "QEMU execlog plugin, user mode: fetches, loads and stores, with vCPUs as threads"
PHYSICAL = "a physical address; expected a log of user-mode QEMU"
EXPECTED = "a line of QEMU's execlog such as '0, 0x401126, 0xe5894855, \"pushq %rbp\"'"

_NEXT = rb'\d, 0x[0-9a-f]+, 0x[0-9a-f]+, "'  # a record glued to this one
_RECORD = re.compile(rb'(\d{1,9}), 0x([0-9a-f]{1,16}), 0x[0-9a-f]+, "[^"]*"')
_ENDS = rb"(?=, |\s*$|" + _NEXT + rb")"
_ACCESS = re.compile(rb", (load|store), 0x([0-9a-f]{1,16}?)" + _ENDS)
_REGISTER = re.compile(rb", \S+ -> 0x[0-9a-f]+?" + _ENDS)


def matches(head: bytes) -> bool:
    return text.most_lines(head, _RECORD)


_ZERO, _X, _QUOTE = ord("0"), ord("x"), ord('"')
_LOAD, _STORE = pack("load"), pack("store")


@inlined
def _address(data, at):
    """(value, where it ends or -1) of `, 0x` and up to 16 hexadecimal digits."""
    value = 0
    if data[at] == COMMA and data[at + 1] == SPACE and data[at + 2] == _ZERO and data[at + 3] == _X:
        at += 4
        begin = at
        digit = HEX[data[at]]
        while digit < 16:
            value = (value << 4) | digit
            at += 1
            digit = HEX[data[at]]
        if 0 < at - begin <= 16:
            return value, at
    return value, -1


@inlined
def _instruction(data, position):
    """(vCPU, address, where the disassembly ends or -1)"""
    at, cpu = position, 0
    while HEX[data[at]] < 10 and at - position < 9:
        cpu = 10 * cpu + HEX[data[at]]
        at += 1
    begin = at
    value, at = _address(data, begin)
    if begin == position or at < 0:
        return cpu, value, -1
    _, at = _address(data, at)
    if at < 0 or data[at] != COMMA or data[at + 1] != SPACE or data[at + 2] != _QUOTE:
        return cpu, value, -1
    at += 3
    while data[at] != _QUOTE and data[at] != NEWLINE:
        at += 1
    return cpu, value, at + 1 if data[at] == _QUOTE else -1


@inlined
def _access(data, at):
    """(kind, address, where it ends or -1) of `, load, 0x...` or `, store, 0x...`"""
    word = 0
    if data[at + 1] != SPACE:
        return LOAD, 0, -1
    at += 2
    while data[at] != COMMA and data[at] != NEWLINE:
        word = (word << 8) | data[at]
        at += 1
    if word != _LOAD and word != _STORE:
        return LOAD, 0, -1
    value, at = _address(data, at)
    return LOAD if word == _LOAD else STORE, value, at


@entry
def parse(data, position, end, va_bits, address, kind, size, count, state, events):
    """Takes lines without registers; see workloads.formats.text.Kernel and fields.switch."""
    lines = 0
    room = address.size
    while position < end:
        if count >= room - 1:
            return FULL, position, count, lines
        if state[fields.EVENTS] == len(events):
            return AGAIN, position, count, lines
        cpu, value, at = _instruction(data, position)
        if at < 0:
            return OTHER, position, count, lines
        good = is_canonical(value, va_bits)
        address[count], kind[count], size[count] = value, FETCH, 1
        after = count + 1
        while data[at] == COMMA:
            what, value, at = _access(data, at)
            if at < 0:
                return OTHER, position, count, lines
            if after >= room:
                # More than there is room for: in the next chunk, or one by one.
                return FULL if count else OTHER, position, count, lines
            good = good and is_canonical(value, va_bits)
            address[after], kind[after], size[after] = value, what, 1
            after += 1
        if data[at] == RETURN:
            at += 1
        if data[at] != NEWLINE:
            return OTHER, position, count, lines
        if not good:
            return NOT_CANONICAL, position, count, lines
        fields.switch(-1, cpu, count, state, events)
        count = after
        lines += 1
        position = at + 1
    return END, position, count, lines


class _Parser:
    """Takes lines by the kernel, and those it leaves; both know which vCPU ran last."""

    def __init__(self, va_bits: int) -> None:
        self._va_bits = va_bits
        self._switching = fields.Switching()

    def parse(
        self, data: np.ndarray, position: int, end: int, columns: text.Columns
    ) -> tuple[int, int, int]:
        return self._switching.call(parse, (data, position, end, self._va_bits), columns)

    def other(self, line: bytes) -> text.Events:
        items: list[tuple[int, ...]] = []
        at, end = 0, len(line.rstrip())
        while at < end:
            record = _RECORD.match(line, at)
            if not record:
                return None
            items += self._begin(int(record[1]), int(record[2], 16))
            at, is_access = record.end(), False
            while line[at : at + 1] == b",":
                found = _ACCESS.match(line, at) or _REGISTER.match(line, at)
                if not found:
                    return PHYSICAL if is_access else None
                is_access = found.re is _ACCESS
                if is_access:
                    kind = LOAD if found[1] == b"load" else STORE
                    items.append(text.Access(int(found[2], 16), kind, 1))
                at = found.end()
        return items

    def _begin(self, cpu: int, address: int) -> list[tuple[int, ...]]:
        """The fetch of a record, and a SWITCH before it where another vCPU ran last."""
        fetch = text.Access(address, FETCH, 1)
        who = [1, cpu]
        if self._switching.state[:2].tolist() == who:
            return [fetch]
        self._switching.state[:2] = who
        return [(SWITCH, 1, 0, 0, cpu), fetch]


def read(stream: ByteStream, options: Options) -> Iterator[Chunk]:
    """Chunks of an execlog. Raises InputError naming file and line."""
    parser = _Parser(options.va_bits)
    chunks = text.read(stream, options, parser, parser.other, EXPECTED)
    return with_ip(chunks) if "ip" in options.columns else chunks
