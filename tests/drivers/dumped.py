"""Dumps of page tables, and a trace over them: a region of 16 MiB, as an artifact's example."""

from __future__ import annotations

from pathlib import Path

REGION = 0x100000000
PAGES = 4096  # 16 MiB
DATA, TABLES = 0x40000, 0x1000  # first frames of the guest


def guest_lines(pages: int = PAGES, table: int = 0x1100) -> list[str]:
    """A line for each page; table: frame of the first last-level table, whose others follow."""
    return [
        f"{REGION + page * 4096:x},1000,1001,1003,{table + page // 512:x},{DATA + page:x}"
        for page in range(pages)
    ]


def host_lines(lines: list[str], scattered: bool = False) -> list[str]:
    """A line for each frame of the guest's dump. scattered: each second host frame is left out."""
    frames = sorted({int(each, 16) for line in lines for each in line.split(",")[1:]})
    return [
        f"{gfn << 12:x},2000,{0x2001 + (gfn >> 27):x},{0x3000 + (gfn >> 18):x},"
        f"{0x4000 + (gfn >> 9):x},{0x80000 + number * (2 if scattered else 1):x}"
        for number, gfn in enumerate(frames)
    ]


def write(path: Path, lines: list[str]) -> Path:
    path.write_text("\n".join([str(len(lines)), *lines]) + "\n")
    return path


def write_touches(path: Path, times: int = 3, pages: int = PAGES) -> Path:
    """A load and a store of each page, in order."""
    once = "".join(
        f"{REGION + page * 4096:#x} R\n{REGION + page * 4096:#x} W\n" for page in range(pages)
    )
    path.write_text(once * times)
    return path
