"""Ops: kernels that are reached through a table of addresses, `VM.ops`.

Each part of the program that is compiled apart declares what it is called for as ops, in a
section of the table that is its own, and writes the addresses of its kernels there: the
processor's instructions, the VMM's memory, the hooks of techniques, the guest OS, devices. Who
calls an op is compiled without what serves it. Ops take whole numbers beside the machine, and
return one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from mmulab.mmu.hardware.state import Machine
from mmulab.mmu.kernels.compiling import entry, kernel
from mmulab.mmu.kernels.kinds import int64
from mmulab.mmu.kernels.parts import Far, addresses_of, far_call, type_of

_MACHINE = type_of(Machine)

#: Ops that the table has room for. Sections lie one after another, at places that do not
#: depend on which are loaded: compiled code holds them.
OPS = 128


class Op(NamedTuple):
    """A kernel that is called by address.

    takes: names of its arguments beside the machine. returns: "status", or what the number that
    it returns means. default: the kernel that serves where nobody else does, None: there is
    always one.
    """

    number: int
    name: str
    takes: tuple[str, ...]
    meaning: str
    returns: str
    default: Any


def _far(op: Op, function: Any) -> Far:
    """A kernel that serves as an op."""
    return Far(function, (_MACHINE, *(int64 for _ in op.takes)), int64)


class Section:
    """Ops of one kind, by name. first, room: their place in the table."""

    def __init__(self, first: int, room: int) -> None:
        self.first, self.room = first, room
        self.ops: dict[str, Op] = {}

    def op(
        self, name: str, takes: str, meaning: str, default: Any = None, returns: str = "status"
    ) -> Any:
        """Declares an op; returns the kernel that calls it. takes: names, with spaces."""
        number = self.first + len(self.ops)
        if len(self.ops) == self.room or number >= OPS:
            raise ValueError(f"no room for op {name}")
        op = Op(number, name, tuple(takes.split()), meaning, returns, default)
        self.ops[name] = op
        call = far_call(int64, _MACHINE, *(int64 for _ in op.takes))

        @kernel
        def through_table(machine, *arguments):
            return call(machine.vm.ops[number], machine, *arguments)

        return through_table

    @property
    def defaults(self) -> dict[str, Any]:
        """The default kernels, of ops that have one."""
        return {name: op.default for name, op in self.ops.items() if op.default is not None}

    def linker(self, module: str, kernels: Mapping[str, Any]) -> Any:
        """As `linker`, of one section."""
        return linker(module, (self, kernels))


def linker(module: str, *parts: tuple[Section, Mapping[str, Any]]) -> Any:
    """An entry that writes the addresses of kernels, by the names of their ops, into a table.
    module: whose part it is, and which it is kept with."""
    # A tuple, so that what is kept on disk can be told by what it is made of.
    write = addresses_of(
        tuple(
            (section.ops[name].number, _far(section.ops[name], kernel))
            for section, kernels in parts
            for name, kernel in kernels.items()
        )
    )

    def link(table):
        write(table)

    link.__module__ = module
    link.__qualname__ = "link"
    return entry(link)
