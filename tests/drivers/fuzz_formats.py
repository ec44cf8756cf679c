"""A longer fuzz of the trace readers, started by hand:

    python tests/drivers/fuzz_formats.py FORMAT [SECONDS] [SEED_FILE]...

Any bytes must give chunks or an InputError, in bounded time and memory. With the package
atheris the search follows coverage; without it, random changes of the seed files are
tried. A failure prints its traceback and leaves the input in fuzz-FORMAT.bin.
"""

from __future__ import annotations

import os
import random
import sys
import tempfile
import time
import types
import warnings
from pathlib import Path

from mmulab import workloads
from mmulab.mmu.errors import InputError, Notice

LONGEST = 1 << 16
SLOW = 5.0  # seconds that an input of LONGEST bytes may take
COMPILING = 600.0  # and the first one, which waits for the kernels


def feed(name: str, data: bytes, path: Path, slow: float = SLOW) -> None:
    """One input through the reader. Raises what should not be raised."""
    path.write_bytes(data)
    started = time.monotonic()
    try:
        for chunk in workloads.open_trace(path, name, 48, 4096).chunks():
            assert len(chunk.address) == len(chunk.kind) == len(chunk.size)
    except InputError:
        pass
    if time.monotonic() - started > slow:
        raise AssertionError(f"took more than {slow} s")


def change(data: bytes, draw: random.Random) -> bytes:
    for _ in range(draw.randint(1, 6)):
        start = draw.randint(0, len(data))
        length = draw.choice((0, 1, 1, 2, 4, 8, 64))
        new = draw.randbytes(draw.choice((0, 1, 1, 2, 4, 8))) * draw.choice((1, 1, 1, 50))
        data = data[:start] + new + data[start + length :]
    return data[:LONGEST]


def at_random(name: str, seeds: list[bytes], seconds: float, path: Path) -> None:
    draw = random.Random(1)
    feed(name, seeds[0], path, COMPILING)
    end, tried = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        data = change(draw.choice(seeds), draw)
        try:
            feed(name, data, path)
        except BaseException:
            Path(f"fuzz-{name}.bin").write_bytes(data)
            raise
        tried += 1
    print(f"{name}: {tried:,} inputs, no failure")


def plain_functions() -> list[types.FunctionType]:
    """Python functions and methods of the package; kernels are compiled and left alone."""
    found = []
    for name, module in list(sys.modules.items()):
        if name.startswith("mmulab.workloads"):
            mine = [each for each in vars(module).values() if module_of(each) == name]
            members = [each for owner in mine for each in vars(owner).values()]
            found += [each for each in mine + members if isinstance(each, types.FunctionType)]
    return found


def module_of(thing: object) -> str | None:
    """The module that a function or class is of; None for anything else."""
    is_known = isinstance(thing, (types.FunctionType, type))
    return thing.__module__ if is_known else None


def main() -> None:
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    warnings.simplefilter("ignore", Notice)
    name, seconds = sys.argv[1], float(sys.argv[2]) if len(sys.argv) > 2 else 60.0
    seeds = [Path(file).read_bytes()[:LONGEST] for file in sys.argv[3:]] or [os.urandom(256)]
    path = Path(tempfile.mkdtemp()) / "input"
    try:
        import atheris
    except ModuleNotFoundError:
        at_random(name, seeds, seconds, path)
        return
    feed(name, seeds[0], path, COMPILING)
    for function in plain_functions():
        atheris.instrument_func(function)
    corpus = path.parent / "corpus"
    corpus.mkdir()
    for number, seed in enumerate(seeds):
        (corpus / str(number)).write_bytes(seed)
    flags = [f"-max_total_time={seconds:.0f}", f"-max_len={LONGEST}"]
    atheris.Setup([sys.argv[0], str(corpus), *flags], lambda data: feed(name, data, path))
    atheris.Fuzz()


if __name__ == "__main__":
    main()
