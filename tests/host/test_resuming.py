"""Nothing of a run lies in a generator, a closure or a thread: a host that is pickled in the
middle of a run goes on to the same end, in the same process or in another."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np

from mmulab import workloads
from mmulab.mmu.machine.feed import Feed
from mmulab.mmu.scenario import parsing
from mmulab.mmu.scenario.run import build

SCENARIO = """
name = "resumed"
[host]
memory = "24M"
swap = "64M"
quantum = 2000
[[vm]]
name = "paging"
memory = "16M"
disk = "64M"
workload = "zipf:keys=20k,accesses=60k"
[[vm]]
name = "shadowed"
technique = "shadow:policy=trap"
memory = "16M"
workload = "microchurn:accesses=40k"
[balloon]
period = "1ms"
[ksm]
sleep = "1ms"
"""


def system():
    return build(parsing.parse(SCENARIO, "resumed.toml"), workloads.of_vm)


def finish(one) -> list:
    """Everything that a run has come to."""
    while one.step():
        pass
    return [
        one.now,
        one.host.frames.frame.tobytes(),
        one.host.memory.entry.tobytes(),
        one.cores[0].tag.tobytes(),
        *(guest.measured() for guest in one.guests),
        *(service.counters(one) for service in one.services),
    ]


def test_a_host_is_resumed_in_the_middle_of_its_run():
    whole = finish(system())
    one = system()
    for _ in range(25):
        assert one.step()
    resumed = pickle.loads(pickle.dumps(one))
    assert resumed.guests[0].vm is not one.guests[0].vm
    assert finish(resumed) == whole


def test_another_process_resumes_it(tmp_path: Path):
    one = system()
    for _ in range(25):
        assert one.step()
    (tmp_path / "run").write_bytes(pickle.dumps(one))
    code = (
        "import pickle, sys; from pathlib import Path; import test_resuming as here\n"
        "end = here.finish(pickle.loads(Path(sys.argv[1]).read_bytes()))\n"
        "Path(sys.argv[2]).write_bytes(pickle.dumps(end))\n"
    )
    subprocess.run(
        [sys.executable, "-c", code, tmp_path / "run", tmp_path / "end"],
        check=True,
        cwd=Path(__file__).parent,
    )
    assert pickle.loads((tmp_path / "end").read_bytes()) == finish(one)


def test_a_feed_goes_on_where_it_was():
    feed = Feed(workloads.resolve("chase:accesses=2100k"))
    first = feed.next()
    copy = pickle.loads(pickle.dumps(feed))
    assert copy.taken == 1
    for _ in range(3):
        mine, yours = feed.next(), copy.next()
        assert (mine is None) == (yours is None)
        assert mine is None or np.array_equal(mine.address, yours.address)
    feed.restart()
    assert np.array_equal(feed.next().address, first.address)
