"""Scenarios for KSM: run on the model, run on the kernel, recorded from one. Form: ksm_program.py.

    cd tests && python -m drivers.ksm_scenarios > data/ksm-linux.json

records them all on this machine's kernel, as root.
"""

from __future__ import annotations

import json
import os
import random
from pathlib import Path
from typing import Any

from models.linux_ksm import COUNTERS, KSM

RECORDED = Path(__file__).parents[1] / "data" / "ksm-linux.json"

Scenario = dict[str, Any]


def replay(scenario: Scenario) -> list[dict[str, int]]:
    """The model's counters after each step."""
    settings = scenario.get("settings", {})
    ksm = KSM(
        scenario["pages"],
        max_page_sharing=settings.get("max_page_sharing", 256),
        use_zero_pages=bool(settings.get("use_zero_pages", 0)),
        smart_scan=bool(settings.get("smart_scan", 1)),
        prune=bool(settings.get("prune", 0)),
    )
    records = []
    for step in scenario["steps"]:
        for site, content in step.get("write", []):
            ksm.write(site, content)
        for site in step.get("discard", []):
            ksm.discard(site)
        if step.get("unmerge"):
            ksm.unmerge()
        if "batch" in step:
            ksm.scan(step["batch"])
        for _ in range(step.get("scans", 0)):
            ksm.full_scan()
        records.append(ksm.counters())
    return records


def random_scenario(rng: random.Random, batches: bool) -> Scenario:
    """A few pages of few contents and small limits, so that everything happens.

    batches: some steps are parts of a full scan, with writes between them.
    """
    pages, tags = rng.randint(1, 60), rng.randint(1, 8)

    def some(most: int) -> list[int]:
        return [rng.randrange(pages) for _ in range(rng.randint(1, max(1, pages // most)))]

    steps = []
    for _ in range(rng.randint(3, 14)):
        step: dict[str, Any] = {}
        if rng.random() < 0.5:
            step["write"] = [[page, rng.randint(0, tags)] for page in some(3)]
        if rng.random() < 0.2:
            step["discard"] = some(4)
        if rng.random() < 0.04:
            step["unmerge"] = True
        if batches and rng.random() < 0.5:
            step["batch"] = rng.randint(1, pages)
        else:
            step["scans"] = rng.randint(1, 4)
        steps.append(step)
    return {
        "pages": [rng.randint(0, tags) for _ in range(pages)],
        "settings": {
            "max_page_sharing": rng.choice([2, 3, 4, 5, 8, 256]),
            "use_zero_pages": rng.randint(0, 1),
            "smart_scan": rng.randint(0, 1),
            "prune": rng.randint(0, 1),
        },
        "steps": steps,
    }


def named() -> dict[str, Scenario]:
    """Scenarios that each show one thing."""
    scans = [{"scans": 1}] * 6
    copies = [tag for tag in range(1, 14) for _ in range(tag)]
    writes = [{"write": [[page, 50 + page]], "scans": 1} for page in range(0, 91, 5)]
    return {
        "two scans until a merge": {"pages": [1, 1, 2, 2, 2, 3], "steps": scans},
        "copy on write is seen at the next visit": {
            "pages": [1, 1, 1, 2, 2], "settings": {"smart_scan": 0},
            "steps": [{"scans": 3}, {"write": [[0, 1]]}, *scans, {"write": [[3, 7], [4, 7]]},
                      *scans],
        },
        "a page that changes before every scan is volatile": {
            "pages": [1, 1, 2], "settings": {"smart_scan": 0},
            "steps": [{"write": [[2, 10 + scan]], "scans": 1} for scan in range(8)],
        },
        "smart scan skips what never merges": {
            "pages": [1, 2, 3, 4, 4], "steps": [{"scans": 1}] * 40},
        "without smart scan": {
            "pages": [1, 2, 3, 4, 4], "settings": {"smart_scan": 0}, "steps": [{"scans": 1}] * 8},
        "zero pages": {
            "pages": [0] * 5 + [1, 1, 2], "settings": {"use_zero_pages": 1},
            "steps": [*scans, {"write": [[0, 1], [1, 9], [5, 0]]}, *scans, {"discard": [2]},
                      *scans],
        },
        "zero pages merged as any": {
            "pages": [0] * 5 + [1, 1, 2], "settings": {"use_zero_pages": 0}, "steps": scans},
        **{
            f"chains with at most {most} sites a page{', pruned' * prune}": {
                "pages": copies,
                "settings": {"max_page_sharing": most, "prune": prune, "smart_scan": 0},
                "steps": [*scans, *writes, *scans],
            }
            for most, prune in ((2, 0), (3, 1), (4, 0), (4, 1), (5, 0))
        },
        "given back": {
            "pages": [1, 1, 1, 2, 2, 3], "settings": {"smart_scan": 0},
            "steps": [{"scans": 3}, {"discard": [0, 3, 5]}, *scans,
                      {"write": [[0, 2], [5, 2]]}, *scans],
        },
        "unmerged and merged again": {
            "pages": [1, 1, 1, 2, 2, 3],
            "steps": [{"scans": 3}, {"unmerge": True}, *scans],
        },
        "in batches": {
            "pages": copies, "settings": {"max_page_sharing": 8},
            "steps": [{"batch": 10}] * 30,
        },
        "ksm01 of LTP with 32 pages a process": ltp_ksm01(32, 3),
    }  # fmt: skip


def ltp_ksm01(pages: int, processes: int) -> Scenario:
    """The populations of LTP's ksm01: what each process fills its pages with, phase by phase.

    testcases/kernel/mem/ksm/ksm_test.h, create_same_memory(). The processes' pages stand one
    after another. A phase rewrites every page and waits for three full scans
    (wait_ksmd_full_scan); in the last one, the end of process 1's last page is an 'e'.
    """
    first = {0: "ccdd", 1: "abdd", 2: "aadd"}
    steps: list[dict[str, Any]] = []
    for phase in range(4):
        fills = [first.get(process, "ccdd")[phase] for process in range(processes)]
        content = [ord(fill) for fill in fills for _ in range(pages)]
        if phase == 3:
            content[2 * pages - 1] = ord("e")
        steps.append({"write": [[page, tag] for page, tag in enumerate(content)], "scans": 3})
    steps.append({"unmerge": True})
    settings = {"max_page_sharing": pages * processes, "smart_scan": 0}
    return {"pages": [1] * (pages * processes), "settings": settings, "steps": steps}


def recorded() -> dict[str, Any]:
    return json.loads(RECORDED.read_text())


def main() -> None:
    """Runs everything on this machine's kernel and prints it, a run a line."""
    from drivers import ksm_program

    runs = named()
    for seed in range(12):
        runs[f"random {seed}"] = random_scenario(random.Random(seed), batches=False)
        runs[f"random in batches {seed}"] = random_scenario(random.Random(seed), batches=True)
    kernel = os.uname().release.split("-")[0]
    print(f'{{"kernel": "Linux {kernel} {os.uname().machine}",')
    print(f' "counters": {json.dumps(COUNTERS)},\n "runs": [')
    for number, (name, scenario) in enumerate(runs.items()):
        records = [[record[c] for c in COUNTERS] for record in ksm_program.run(scenario)]
        run = {"name": name, "scenario": scenario, "records": records}
        end = ",\n" if number + 1 < len(runs) else "\n]}\n"
        print(json.dumps(run, separators=(",", ":")), end=end)


if __name__ == "__main__":
    main()
