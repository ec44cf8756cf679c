"""Types of options and arguments."""

from __future__ import annotations

from typing import Any

import click

from mmulab.mmu.units import parse_bytes, parse_count


class Bytes(click.ParamType):
    """A number of bytes with an optional binary suffix: 4096, 256M, 16G."""

    name = "bytes"

    def convert(self, value: Any, param: Any, ctx: Any) -> int:
        if isinstance(value, int):
            return value
        try:
            return parse_bytes(value)
        except ValueError:
            self.fail(f"{value!r}: expected a number of bytes, such as 4096, 256M or 16G")


class Count(click.ParamType):
    """A whole number with an optional decimal suffix: 500000, 20M."""

    name = "count"

    def convert(self, value: Any, param: Any, ctx: Any) -> int:
        if isinstance(value, int):
            return value
        try:
            number = parse_count(value)
        except ValueError:
            number = -1
        if number < 0:
            self.fail(f"{value!r}: expected a whole number, such as 500000 or 20M")
        return number


class Address(click.ParamType):
    """A guest-virtual address, hexadecimal with 0x or decimal."""

    name = "address"

    def convert(self, value: Any, param: Any, ctx: Any) -> int:
        try:
            number = int(value, 0)
        except ValueError:
            self.fail(f"{value!r}: expected an address such as 0x7f1234567000")
        if not 0 <= number < 1 << 64:
            self.fail(f"{value!r}: expected an address of 64 bits")
        return number
