"""Damaged inputs for every reader of mmulab: each is read, or refused in one sentence.

    PYTHONPATH=tests python -m drivers.fuzz [INPUTS] [SEED]

tries 40,000 unless told otherwise, in some three minutes; the same seed makes the same inputs. An
input fails that has another exception escape, takes 2 s, or has the process hold 500 MB at once. It
is left in fuzz-failed-NUMBER.bin.
"""

from __future__ import annotations

import bz2
import faulthandler
import gzip
import lzma
import random
import signal
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path
from typing import Any, NoReturn

import click

from drivers.fuzz_inputs import REFUSALS, Reader, readers
from mmulab.mmu.errors import Notice

INPUTS, SEED = 40_000, 1
SECONDS = 2.0  # a second try, alone, decides: others may be busy on the machine
BYTES = 500 << 20
LONGEST = 1 << 17
STUCK = 60  # seconds after which a kernel, which no exception ends, is given up

_NUMBERS = (b"\0", b"\xff", b"\x7f", b"\x80", b"\xff\xff\xff\xff", b"\xff" * 7 + b"\x7f", b"\0" * 8)
_TEXTS = (b"\n", b" ", b"\r\n", b",", b"-1", b"0", b"9" * 40, b"1e999", b"nan", b"\xe9", b"\x1b[2J",
          b"0x", b"[", b"]" * 50, b"\"", b"=", b"#", b"true", b"inf", b"\xef\xbb\xbf")  # fmt: skip
_PACKERS = (gzip.compress, bz2.compress, lzma.compress)


class Failed(Exception):
    pass


class TooSlow(BaseException):
    """Nobody catches it on its way."""


def changed(data: bytes, draw: random.Random, others: list[bytes]) -> bytes:
    """An input with one to six changes; now and then cut off, or compressed and changed again."""
    for _ in range(draw.choice((1, 1, 2, 3, 6))):
        at = draw.randint(0, len(data))
        kind = draw.randrange(8)
        if kind == 0:
            new, gone = bytes([draw.randrange(256)]), 1
        elif kind == 1:
            new = draw.choice(_NUMBERS)
            gone = len(new)
        elif kind == 2:
            new, gone = draw.choice(_TEXTS), draw.choice((0, 0, 1, 4))
        elif kind == 3:
            new, gone = b"", draw.choice((1, 2, 8, 64, 1000))
        elif kind == 4:
            new, gone = data[at : at + draw.choice((1, 8, 40, 400))] * draw.choice((2, 2, 50)), 0
        elif kind == 5:
            other = draw.choice(others)
            start = draw.randint(0, len(other))
            new, gone = other[start : start + draw.choice((4, 16, 100))], draw.choice((0, 16))
        elif kind == 6 and data:
            at = min(at, len(data) - 1)
            new, gone = bytes([data[at] ^ 1 << draw.randrange(8)]), 1
        else:
            new, gone = draw.randbytes(draw.choice((1, 2, 4, 8))), draw.choice((0, 4, 8))
        data = (data[:at] + new + data[at + gone :])[:LONGEST]
    if not draw.randrange(12):
        data = data[: draw.randint(0, len(data))]
    if not draw.randrange(30):
        data = draw.choice(_PACKERS)(data)
        if draw.randrange(2):
            at = draw.randrange(len(data))
            data = data[:at] + draw.randbytes(2) + data[at + 2 :]
    return data


def fed(reader: Reader, path: Path) -> bool:
    """True where the reader took the input, False where it refused it. Raises what it should
    not, TooSlow among that."""
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    began = time.monotonic()
    try:
        reader.read(path)
        took = True
    except REFUSALS as error:
        text = error.format_message() if isinstance(error, click.ClickException) else str(error)
        assert text and "Traceback" not in text, text
        took = False
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    if time.monotonic() - began > SECONDS:
        raise TooSlow
    return took


def peak() -> int:
    """Bytes that this process has held at most, since `forget_peak` where Linux can."""
    try:
        with open("/proc/self/status") as file:
            return next(int(line.split()[1]) << 10 for line in file if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        return 0


def forget_peak() -> None:
    try:
        Path("/proc/self/clear_refs").write_text("5")  # proc(5): resets VmHWM
    except OSError:
        pass


def tried(reader: Reader, data: bytes, path: Path) -> bool:
    """As `fed`, with a second try. Raises Failed, with why."""
    path.write_bytes(data)
    faulthandler.dump_traceback_later(STUCK, exit=True)
    try:
        try:
            took = fed(reader, path)
        except TooSlow:
            took = fed(reader, path)
    except TooSlow:
        raise Failed(f"takes more than {SECONDS:g} s") from None
    except Exception:
        raise Failed(traceback.format_exc()) from None
    finally:
        faulthandler.cancel_dump_traceback_later()
    if peak() > BYTES:
        held = peak() >> 20
        forget_peak()
        raise Failed(f"{held:,} MB held at once")
    return took


def _too_slow(*_: Any) -> NoReturn:
    raise TooSlow


def main(inputs: int = INPUTS, seed: int = SEED) -> None:
    warnings.simplefilter("ignore", Notice)
    signal.signal(signal.SIGALRM, _too_slow)
    place = Path(tempfile.mkdtemp(prefix="fuzz-"))
    path = place / "input"
    every = list(readers(place))
    for reader in every:  # compiles what it needs; and what is not damaged is taken
        for data in reader.seeds:
            path.write_bytes(data)
            try:
                reader.read(path)
            except REFUSALS as error:
                sys.exit(f"{reader.name} refuses a good input: {error}")
    forget_peak()
    others = [data for reader in every for data in reader.seeds]
    taken = failed = 0
    for number in range(inputs):
        reader = every[number % len(every)]
        draw = random.Random(f"{seed} {number}")
        data = changed(draw.choice(reader.seeds), draw, others)
        try:
            taken += tried(reader, data, path)
        except Failed as why:
            failed += 1
            Path(f"fuzz-failed-{number}.bin").write_bytes(data)
            print(f"input {number}, for {reader.name}: {why}", flush=True)
    print(
        f"{inputs:,} inputs to {len(every)} readers: {taken:,} read, "
        f"{inputs - taken - failed:,} refused, {failed:,} failed; at most {peak() >> 20:,} MB"
    )
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:3]))
