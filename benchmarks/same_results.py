"""Whether two versions of mmulab say the same: for changes that must change no result.

    python benchmarks/same_results.py OLD [NEW]

OLD and NEW are commands, such as /path/to/a/venv/bin/mmulab; NEW is this version unless given.
Both run 14 compares over all presets, policies and page sizes, three walks and the bundled
scenarios. Printed text must be equal byte for byte, and every value of the JSON by its key, but for
what says when and where it was made. Keys
that one of them lacks are listed; it is a difference only where the other's value is not zero.
The exit code is 1 where anything differs.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tiny import ARGUMENTS, TINY

GUPS, CHURN = "gups:size=64M,accesses=300k", "microchurn:accesses=300k"
PRESETS = ("opteron-2008", "haswell", "skylake-sp", "neoverse-n1", "zen-4", "golden-cove")
COMPARES = (
    *(f"{GUPS} @shell --preset {name}" for name in PRESETS),
    f"{CHURN} @shell --shadow-policy trap",
    f"{CHURN} --warmup 50k --check",
    f"{GUPS} @xz --page-size 2m --host-page-size 2m",
    f"{GUPS} {CHURN} --page-size thp",
    f"@python {CHURN} --host-page-size 2m",
    f"{GUPS} @shell --page-size 1g --host-page-size 1g --levels 5 --host-levels 5",
    f"{CHURN} @shell --no-pcid --no-vpid --no-ept-ad --no-walk-caches",
    f"{GUPS} @shell --set tlb.stlb.policy=fifo --set tlb.dtlb-4k.policy=random"
    " --set tlb.itlb-4k.policy=plru",
)
WALKS = (
    "0x7f1234567abc",
    "0x7f1234567abc --walk-caches --page-size 2m --store --levels 5",
    "0x7f1234567abc --host-page-size 2m --host-levels 5 --preset zen-4",
)
RUNS = ("@double-paging --compare", "@desktops", "@idle-tax --technique shadow")
COMMANDS = (
    *(f"compare {arguments} --memory 4G --json OUT" for arguments in COMPARES),
    *(f"walk {arguments}" for arguments in WALKS),
    *(f"run {arguments} --json OUT" for arguments in RUNS),
)


def outcome(program: list[str], arguments: str, folder: Path) -> tuple[str, Any]:
    """(what a command prints, its JSON), with where it went wrong in the text."""
    out = folder / "out.json"
    out.unlink(missing_ok=True)
    words = [str(out) if word == "OUT" else word for word in shlex.split(arguments)]
    done = subprocess.run([*program, *words], capture_output=True, text=True)
    text = done.stdout + (done.stderr if done.returncode else "")
    return text, json.loads(out.read_text()) if out.exists() else None


def differences(old: Any, new: Any, where: str = "") -> Iterator[tuple[str, bool]]:
    """(what differs, whether it is more than a key that one lacks)."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted((old.keys() | new.keys()) - {"made"}):  # when, where and how long
            place = f"{where}.{key}" if where else key
            if key in old and key in new:
                yield from differences(old[key], new[key], place)
            else:
                yield f"only {'old' if key in old else 'new'}: {place}", bool(old.get(key))
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for mine, yours in zip(old, new, strict=True):
            yield from differences(mine, yours, where)
    elif old != new:
        yield f"{where}: {old!r}, now {new!r}", True


def main() -> None:
    this = f"{shlex.quote(sys.executable)} -m mmulab"
    given = ARGUMENTS or ([this] if TINY else [])
    if not given:
        sys.exit("usage: same_results.py OLD [NEW]")
    old, new = (shlex.split(each) for each in (given[0], given[1] if len(given) > 1 else this))
    keys: dict[str, None] = {}
    failed = 0
    with TemporaryDirectory() as folder:
        for arguments in COMMANDS[-4:-3] if TINY else COMMANDS:
            before, after = (outcome(each, arguments, Path(folder)) for each in (old, new))
            found = list(differences(before[1], after[1]))
            keys |= {what: None for what, much in found if not much}
            wrong = [what for what, much in found if much]
            if before[0] != after[0]:
                wrong.append("the text differs")
            failed += bool(wrong)
            print(f"{'DIFFERS' if wrong else 'equal':<8} {arguments}", *wrong[:5], sep="\n    ")
    print(f"{failed} of {len(COMMANDS)} differ", *keys, sep="\n    ")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
