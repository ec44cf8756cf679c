"""How far a study scales on a Dask cluster: what its scheduler costs, measured, and a model.

    python benchmarks/cluster.py [--tiny] [docs/cluster.svg]

Two workers on this machine make small runs. Measured are, of a run: processor time of the scheduler
and of the process that keeps its rows, which no other can take over; what lies between its being
handed out and its coming back, beside the run; bytes each way. And how fast a trace is sent. The
model is a queue: workers have AHEAD runs waiting, one server hands them out and takes rows. It is
set against what the two workers took, before it is asked about a thousand.

Left out: what each machine does once, however many runs it makes: compiling the kernels, which are
kept, and receiving a trace.
"""

from __future__ import annotations

import heapq
import logging
import os
import pickle
import statistics
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tiny import sized

from mmulab.studies import study as studies
from mmulab.studies.cluster import _AHEAD as AHEAD
from mmulab.studies.cluster import _LEAST as LEAST
from mmulab.studies.cluster import Cluster, _Task, made_there
from mmulab.studies.engines import Inline
from mmulab.studies.points import Point, expand

RUNS, ALONE, SENT = sized(300, 4), sized(20, 2), sized(64 << 20, 1 << 20)
WORKERS = sized([1 << power for power in range(11)], [1, 4])
SECONDS = (1, 10, 60)  # of a run
EACH = sized(50, 4)  # runs that a worker makes
SPREAD = 0.5  # of the time of a run, its deviation over its mean: an assumption


class Costs(NamedTuple):
    """Of a run: serial: seconds of the one server. latency: seconds there and back. bytes_out,
    bytes_back. And bandwidth: bytes a second on this machine."""

    serial: float
    latency: float
    bytes_out: int
    bytes_back: int
    bandwidth: float


def measure() -> tuple[Costs, float, float]:
    """The costs; and of RUNS runs on two workers, their mean and what they took together."""
    import distributed

    table = {
        "traces": ["gups:size=64K,accesses=1K"],
        "preset": "skylake-sp",
        "techniques": "native",
    }
    points = expand(studies.parse({**table, "axes": {"seed": f"1..{RUNS + ALONE}"}}, "study"))
    first = next(iter(Inline().outcomes(points[:1])))  # compiled
    with distributed.LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        dashboard_address=None,
        host="127.0.0.1",
        silence_logs=logging.CRITICAL,
    ) as local:
        engine = Cluster(local.scheduler_address)
        list(engine.outcomes(points[:2]))
        begun, used = time.perf_counter(), time.process_time()
        outcomes = list(engine.outcomes(points[ALONE:]))
        wall, serial = time.perf_counter() - begun, (time.process_time() - used) / RUNS
        with distributed.Client(local.scheduler_address, set_as_default=False) as client:
            latencies = [_alone(client, point) for point in points[:ALONE]]
            block = np.random.default_rng(1).bytes(SENT)
            begun = time.perf_counter()
            client.scatter(block, hash=False)
            bandwidth = SENT / (time.perf_counter() - begun)
    costs = Costs(
        serial, statistics.median(latencies), len(pickle.dumps(_Task(points[0], "/"))),
        len(pickle.dumps(first.rows)), bandwidth,
    )  # fmt: skip
    return costs, statistics.mean(each.seconds for each in outcomes), wall


def _alone(client: Any, point: Point) -> float:
    """Seconds of a run that is the only one, beside it."""
    begun = time.perf_counter()
    _, seconds = client.submit(made_there, _Task(point, os.getcwd()), {}, pure=False).result()
    return time.perf_counter() - begun - float(seconds)


def simulated(workers: int, times: np.ndarray, costs: Costs) -> float:
    """Seconds that runs of these times take, so many workers at once."""
    way, server = costs.latency / 2, 0.0
    handed = min(len(times), max(LEAST, AHEAD * workers))
    waiting: list[list[float]] = [[] for _ in range(workers)]  # when each of its runs gets there
    for number in range(handed):
        server += costs.serial / 2
        waiting[number % workers].append(server + way)
    moments = [(each[0], False, number) for number, each in enumerate(waiting) if each]
    heapq.heapify(moments)  # when a worker has a run, or ends one
    running = [False] * workers
    begun, last = 0, 0.0
    while moments:
        now, is_end, worker = heapq.heappop(moments)
        if is_end:
            running[worker] = False
            server = max(server, now + way) + costs.serial
            last = max(last, server)
            if handed < len(times):
                handed += 1
                waiting[worker].append(server + way)
        if running[worker] or not waiting[worker]:
            continue
        if waiting[worker][0] > now:
            heapq.heappush(moments, (waiting[worker][0], False, worker))
            continue
        del waiting[worker][0]
        running[worker] = True
        heapq.heappush(moments, (now + float(times[begun]), True, worker))
        begun += 1
    assert begun == len(times)
    return last


def efficiency(workers: int, seconds: float, costs: Costs) -> float:
    """Of workers, the part of the time that they run. Times are lognormal."""
    sigma = np.sqrt(np.log1p(SPREAD**2))
    random = np.random.default_rng(1)
    times = seconds * random.lognormal(-(sigma**2) / 2, sigma, EACH * workers)
    return float(times.sum()) / (workers * simulated(workers, times, costs))


def main() -> None:
    costs, seconds, wall = measure()
    print(f"of a run: {1e3 * costs.serial:.1f} ms of the scheduler's process, "
          f"{1e3 * costs.latency:.0f} ms there and back, {costs.bytes_out:,} bytes out, "
          f"{costs.bytes_back:,} back")  # fmt: skip
    print(f"a trace is sent at {costs.bandwidth / 1e6:.0f} MB/s on this machine")
    model = simulated(2, np.full(RUNS, seconds), costs)
    print(f"{RUNS} runs on two workers: {wall:.2f} s measured, {model:.2f} s by the model\n")
    print(f"{'workers':>8}" + "".join(f"{f'runs of {each} s':>14}" for each in SECONDS))
    found: dict[float, list[float]] = {each: [] for each in SECONDS}
    for workers in WORKERS:
        for each in SECONDS:
            found[each].append(efficiency(workers, each, costs))
        print(f"{workers:>8,}" + "".join(f"{100 * found[each][-1]:>12.1f} %" for each in SECONDS))
    limits = (f"{each / costs.serial:,.0f} with runs of {each} s" for each in SECONDS)
    print(f"workers that one scheduler keeps busy: {', '.join(limits)}")
    paths = [each for each in sys.argv[1:] if not each.startswith("--")]
    if paths:
        draw(found, costs, Path(paths[0]))


def draw(found: dict[float, list[float]], costs: Costs, path: Path) -> Any:
    from mmulab.plots.figures import MARKERS, SERIES, new_figure, save, tidy

    figure = new_figure(6.0, 3.4)
    axes = figure.subplots()
    for (seconds, values), colour, marker in zip(found.items(), SERIES, MARKERS, strict=False):
        percent = [100 * value for value in values]
        axes.plot(WORKERS, percent, marker=marker, ms=4, color=colour, label=f"runs of {seconds} s")
    axes.axhline(90, color="#888888", lw=0.8, ls=":")
    axes.set_xscale("log", base=2)
    axes.set_xticks(WORKERS, [f"{each:,}" for each in WORKERS])
    axes.set_ylim(0, 105)
    axes.set_xlabel("workers")
    axes.set_ylabel("% of the workers' time that they run")
    axes.set_title(
        f"model of a Dask cluster: {1e3 * costs.serial:.1f} ms of the scheduler a run", fontsize=10,
        loc="left",
    )  # fmt: skip
    axes.legend(fontsize=8, frameon=False)
    tidy(axes)
    save(figure, path)


if __name__ == "__main__":
    main()
