"""A host with two VMs that use more memory than it has, and what may take some of it."""

from __future__ import annotations

from mmulab import workloads
from mmulab.mmu.host.system import System
from mmulab.mmu.scenario import parsing
from mmulab.mmu.scenario.run import build

_SCENARIO = """
name = "two VMs"
[host]
memory = "{host}"
swap = "128M"
quantum = 20_000
[[vm]]
name = "first"
memory = "32M"
disk = "64M"
technique = "{first}"
workload = "guest:size=16M,accesses=60k,active=0.5,zero=0.3"
[[vm]]
name = "second"
memory = "32M"
disk = "64M"
technique = "{second}"
workload = "guest:size=28M,accesses=60k,active=1,zero=0.3"
{rest}
"""

MECHANISMS = {
    "host paging": "",
    "esx": '[balloon]\nperiod = "200us"\nsample_period = "1ms"\n',
    "ksm": '[ksm]\nsleep = "100us"\npages_to_scan = 2000\n',
}


def two_vms(first: str, second: str = "nested", host: str = "56M", rest: str = "") -> System:
    """The system, ready to run. first, second: specs of techniques. rest: more tables of the
    scenario."""
    text = _SCENARIO.format(first=first, second=second, host=host, rest=rest)
    return build(parsing.parse(text, "two-vms.toml"), workloads.of_vm)
