"""Machine code that LLVM has made, without LLVM: relocatable objects are put into memory.

What numba compiles for Linux on x86-64 it compiles with the large code model, so that
objects hold addresses of 64 bits alone: each is that of a section or of a function of the C
library. Anything else is no business of this: an `UnknownError`, and LLVM loads the object
(`kernels.entries`). The structures are those of the System V ABI (gABI, "Object Files"; AMD64
supplement, "Relocation").

Code is written first and then made executable, so that no page is both at a time.
"""

from __future__ import annotations

import ctypes
import mmap
import platform
import struct
import sys
from typing import NamedTuple

#: True where such objects can be put into memory.
AVAILABLE = (
    sys.platform == "linux"
    and platform.machine() == "x86_64"
    and struct.calcsize("P") == 8
    and sys.byteorder == "little"
)

_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_SYMBOL = struct.Struct("<IBBHQQ")
_RELOCATION = struct.Struct("<QQq")

_MAGIC = b"\x7fELF\x02\x01\x01"  # 64 bits, little endian
_RELOCATABLE, _X86_64 = 1, 62
_PROGBITS, _SYMTAB, _RELA, _NOBITS = 1, 2, 4, 8
_WRITE, _ALLOC, _EXECUTE = 1, 2, 4
_UNWIND = 0x70000001  # tables for exceptions of C++, of which there are none
_ABSOLUTE_64 = 1
_UNDEFINED, _RESERVED = 0, 0xFF00

#: Functions of the C library that code may call.
_LIBRARY = ("memset", "memcpy", "memmove", "memcmp", "bcmp",
            "pow", "exp", "exp2", "log", "log2", "floor", "ceil", "fmod")  # fmt: skip
#: Frees an array that the code has made: it makes none, or it would ask for memory too.
_NEVER = "NRT_MemInfo_call_dtor"


class UnknownError(Exception):
    """The object holds something that is not dealt with here."""


class _Section(NamedTuple):
    kind: int
    flags: int
    offset: int
    size: int
    link: int
    info: int
    align: int

    @property
    def loads(self) -> bool:
        return bool(self.flags & _ALLOC) and self.kind != _UNWIND

    @property
    def writes(self) -> bool:
        return bool(self.flags & _WRITE)


class _Symbol(NamedTuple):
    name: str
    section: int
    value: int
    size: int


def load(content: bytes, entry: str, unused: str) -> int:
    """The address of a function of an object that is put into memory. unused: a function of
    it that is never called, and not made ready. Raises UnknownError and OSError."""
    if not AVAILABLE:
        raise UnknownError("another system or processor")
    try:
        return _Object(content).load(entry, unused)
    except (struct.error, IndexError, ValueError) as error:
        raise UnknownError(f"no whole object: {error}") from error


class _Object:
    def __init__(self, content: bytes) -> None:
        head = _HEADER.unpack_from(content)
        if not head[0].startswith(_MAGIC) or head[1:3] != (_RELOCATABLE, _X86_64):
            raise UnknownError("another kind of object")
        start, count = head[6], head[12]
        found = _SECTION.iter_unpack(content[start : start + count * _SECTION.size])
        self.sections = [_Section(s[1], s[2], s[4], s[5], s[6], s[7], s[8]) for s in found]
        self.content = content
        self.symbols = self._symbols()

    def _symbols(self) -> list[_Symbol]:
        (table,) = (each for each in self.sections if each.kind == _SYMTAB)
        names = self.sections[table.link].offset
        symbols = []
        for name, _, _, section, value, size in _SYMBOL.iter_unpack(self._bytes(table)):
            end = self.content.index(b"\0", names + name)
            symbols.append(_Symbol(self.content[names + name : end].decode(), section, value, size))
        return symbols

    def _bytes(self, section: _Section) -> bytes:
        return self.content[section.offset : section.offset + section.size]

    def load(self, entry: str, unused: str) -> int:
        places, fixed, size = self._places()
        memory = mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        base = ctypes.addressof(ctypes.c_char.from_buffer(memory))
        for index, place in places.items():
            section = self.sections[index]
            if section.kind == _PROGBITS:
                memory[place : place + section.size] = self._bytes(section)
        for section in self.sections:
            if section.kind == _RELA and section.info in places:
                self._relocate(memory, base, places, section, unused)
        (found,) = (each for each in self.symbols if each.name == entry and each.section)
        address = base + places[found.section] + found.value
        _protect(base, fixed)
        # Never given back: as the process ends, other threads may still run in there.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(memory))
        return address

    def _places(self) -> tuple[dict[int, int], int, int]:
        """(where sections lie, bytes of those that are not written to, bytes of all)."""
        places: dict[int, int] = {}
        end = fixed = 0
        for writes in False, True:
            for index, section in enumerate(self.sections):
                if not section.loads or section.writes != writes:
                    continue
                if section.kind not in (_PROGBITS, _NOBITS) or section.flags & ~0x10000037:
                    raise UnknownError(f"a section of kind {section.kind}, {section.flags:#x}")
                align = max(section.align, 1)
                end = (end + align - 1) // align * align
                places[index] = end
                end += section.size
            if not writes:
                end = fixed = -(-end // mmap.PAGESIZE) * mmap.PAGESIZE
        return places, fixed, max(end, 1)

    def _relocate(
        self,
        memory: mmap.mmap,
        base: int,
        places: dict[int, int],
        relocations: _Section,
        unused: str,
    ) -> None:
        skipped = next(
            (
                range(each.value, each.value + each.size)
                for each in self.symbols
                if each.name == unused and each.section == relocations.info
            ),
            range(0),
        )
        place = places[relocations.info]
        known: dict[int, int] = {}
        for offset, info, added in _RELOCATION.iter_unpack(self._bytes(relocations)):
            if offset in skipped:
                continue
            if info & 0xFFFFFFFF != _ABSOLUTE_64:
                raise UnknownError(f"a relocation of kind {info & 0xFFFFFFFF}")
            number = info >> 32
            if number not in known:
                known[number] = self._address(base, places, self.symbols[number])
            value = (known[number] + added) & (1 << 64) - 1
            struct.pack_into("<Q", memory, place + offset, value)

    def _address(self, base: int, places: dict[int, int], symbol: _Symbol) -> int:
        if symbol.section == _UNDEFINED:
            return _of_library(symbol.name)
        if symbol.section >= _RESERVED or symbol.section not in places:
            raise UnknownError(f"{symbol.name or 'a section'} lies nowhere")
        return base + places[symbol.section] + symbol.value


def _of_library(name: str) -> int:
    if name == _NEVER:
        name = "abort"
    elif name not in _LIBRARY:
        raise UnknownError(f"{name} is not of the C library")
    try:
        function = getattr(ctypes.CDLL(None), name)
    except AttributeError as error:
        raise UnknownError(f"{name} is not there") from error
    return int(ctypes.cast(function, ctypes.c_void_p).value or 0)


def _protect(base: int, size: int) -> None:
    """Makes pages executable that may not be written to any more."""
    change = ctypes.CDLL(None, use_errno=True).mprotect
    change.argtypes = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
    if change(base, size, mmap.PROT_READ | mmap.PROT_EXEC):
        raise OSError(ctypes.get_errno(), "mprotect")
