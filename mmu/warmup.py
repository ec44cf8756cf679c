"""`--warmup auto`: how much of a trace goes by before its first touches of memory are over."""

from __future__ import annotations

from dataclasses import replace

from mmulab.mmu.config import Config
from mmulab.mmu.errors import InputError
from mmulab.mmu.machine.simulator import build
from mmulab.mmu.machine.work import prepare
from mmulab.mmu.presets.preset import Preset
from mmulab.mmu.techniques.specs import parse
from mmulab.mmu.trace import Trace, origin

#: Of all first touches, those that may be left after the warm-up; and of a trace, what a
#: warm-up may take. Both are choices: enough that first touches decide nothing, and that no
#: less is measured than is thrown away.
LEFT = 0.05
MOST = 0.5

#: Accesses between two looks at how many there have been.
STEP = 1 << 14


def automatic(trace: Trace, preset: Preset, config: Config) -> int:
    """Accesses after which a twentieth of all first touches is left, half of the trace at most.

    The trace is run once on bare metal, where the guest takes memory as it does everywhere.
    Raises InputError for a bad trace, and one that cannot be read twice; RunError where the
    run cannot go on.
    """
    known = origin(trace)
    if known and known.spec == "-":
        raise InputError(
            "warmup auto reads the trace twice; standard input can be read once: expected a "
            "number of accesses"
        )
    config = replace(config, caches="off")  # they change no touch
    simulator = build(parse("native", config), preset, config)
    seen = [(0, 0)]  # (accesses, first touches until then)
    for chunk in trace.chunks():
        work, _ = prepare(trace, chunk, simulator.accesses, 0, config.levels)
        event = 0
        for start in range(0, max(1, chunk.accesses), STEP):
            stop = min(chunk.accesses, start + STEP)
            event = simulator.run(chunk, work.marks, start, stop, event)
            seen.append((simulator.accesses, int(simulator.machine.vcpu.first[0]["guest_faults"])))
    accesses, touches = seen[-1]
    enough = (done for done, so_far in seen if touches - so_far <= LEFT * touches)
    return min(next(enough), int(MOST * accesses))
