"""Types of options and arguments."""

from __future__ import annotations

from typing import Any

import click

from mmulab.arguments import address
from mmulab.mmu.config.units import A_COUNT, parse_bytes, parse_count
from mmulab.mmu.errors import InputError


class Bytes(click.ParamType):
    """A number of bytes with an optional binary suffix: 4096, 256M, 16G."""

    name = "bytes"

    def convert(self, value: Any, param: Any, ctx: Any) -> int:
        if isinstance(value, int):
            return value
        try:
            return parse_bytes(value)
        except ValueError as error:
            self.fail(str(error))


class Count(click.ParamType):
    """A whole number with an optional decimal suffix: 500000, 20M. word: what may stand for one."""

    name = "count"

    def __init__(self, word: str | None = None) -> None:
        self.word = word

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        if isinstance(value, int) or value == self.word:
            return value
        try:
            number = parse_count(value)
        except ValueError:
            number = -1
        if number < 0:
            more = f", or {self.word}" if self.word else ""
            self.fail(f"{value!r}: expected {A_COUNT}{more}")
        return number


class Address(click.ParamType):
    """A guest-virtual address, hexadecimal with 0x or decimal."""

    name = "address"

    def convert(self, value: Any, param: Any, ctx: Any) -> int:
        try:
            return address(value)
        except InputError as error:
            self.fail(str(error))
