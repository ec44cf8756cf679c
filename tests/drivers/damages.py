"""What can become of a file of compiled code."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mmulab.mmu.kernels import store


def other_name(path: Path) -> None:
    store.write(f"another{path.name}", b"other content")
    os.replace(path.with_name(f"another{path.name}"), path)


def flip(position: int) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        content = bytearray(path.read_bytes())
        content[position] ^= 4
        path.write_bytes(content)

    return damage


DAMAGES: dict[str, Callable[[Path], Any]] = {
    "empty": lambda path: path.write_bytes(b""),
    "only the head": lambda path: os.truncate(path, 52),
    "half the head": lambda path: os.truncate(path, 20),
    "one byte short": lambda path: os.truncate(path, path.stat().st_size - 1),
    "one byte long": lambda path: path.write_bytes(path.read_bytes() + b"\0"),
    "zeroed": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "zeroed content": lambda path: path.write_bytes(
        path.read_bytes()[:52] + bytes(path.stat().st_size - 52)
    ),
    "a bit of the content": flip(-3),
    "a bit of the checksum": flip(20),
    "another version": flip(8),
    "another program's": lambda path: path.write_text("\x93NUMPY" * 20),
    "another entry's": other_name,
}
