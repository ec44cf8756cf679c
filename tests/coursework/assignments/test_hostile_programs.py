"""Programs that mean harm to what plays their decisions again."""

from __future__ import annotations

import numpy as np
import pytest
from drivers.coursework import graded

from mmulab.coursework import sandbox

#: Only what the handout's VM offers: each table is full of links to the next.
FAN = """
def load_cr3(vm, gfn):
    if not vm.data:
        chain = vm.data["chain"] = [vm.new_table() for _ in range(vm.levels)]
        for table, following in zip(chain, chain[1:]):
            vm.spt[table][:] = [following << 12 | 7] * 512
        vm.set_root(chain[0])
def shadow_fault(vm, gva, write, user, fetch):
    return True
def guest_pte_write(vm, gfn, index, value):
    vm.gpt[gfn][index] = value
def invlpg(vm, gva):
    pass
"""

#: Sends a message of its own before any function is asked for.
FORGED = """
json = __import__("json")
values, arrays, data = {}
text = json.dumps({{"values": {{"ok": values}}, "arrays": arrays}}).encode()
for handle in range(3, 20):
    try:
        __import__("posix").write(handle, len(text).to_bytes(8, "little") + text + data)
    except OSError:
        pass
__import__("posix")._exit(0)
"""

#: (values, arrays, bytes): of "fill 0" and others, what no driver of ours sends.
RECORDS = {
    "nothing": "{}, [], b''",
    "problems of a wrong type": "{'problems': 3}, [['fill 0', '<i8', [0, 5]]], b''",
    "a problem that is none": "{'problems': {'fill 0': {}}}, [['fill 0', '<i8', [0, 5]]], b''",
    "a problem nowhere": "{'problems': {'fill 0': {'operation': 'x', 'text': []}}}, "
    "[['fill 0', '<i8', [0, 5]]], b''",
    "records that are flat": "{}, [['fill 0', '<i8', [0]]], b''",
    "records of floats": "{}, [['fill 0', '<f8', [0, 5]]], b''",
    "an entry beyond its table": "{}, [['fill 0', '<i8', [1, 5]]], "
    "b''.join(n.to_bytes(8, 'little') for n in (0, 0, 1, 1 << 62, 7))",
    "one value of a name twice": "{'fill 0': 1}, [], b''",
}


def test_tables_full_of_links_end() -> None:
    with sandbox.terms(60, unsafe=True):
        assert sum(graded("shadow-sync", {"shadow.py": FAN})) == 0


@pytest.mark.parametrize("name", RECORDS)
def test_forged_records_are_worth_nothing(name: str) -> None:
    source = FORGED.format(RECORDS[name])
    assert sum(graded("shadow-sync", {"shadow.py": source})) == 0


def test_only_what_is_expected_is_taken() -> None:
    outputs = {"y": np.arange(6).reshape(2, 3), "f": np.zeros(6), "n": 3, "b": True,
               "d": {"a": {"n": 4}, "t": "text"}}  # fmt: skip
    verdict = sandbox.Verdict(True, outputs=outputs)
    assert verdict.array("y", (2, 3), 6) is verdict.array("y", (None, 3), 9) is outputs["y"]
    for name, shape, most in (("y", (2, 3), 5), ("y", (6,), 6), ("y", (3, None), 6),
                              ("f", (6,), 6), ("n", (), 1), ("no", (), 1)):  # fmt: skip
        assert verdict.array(name, shape, most) is None
    assert verdict.value("d", "a", "n", kind=int) == 4 and verdict.value("n", kind=int) == 3
    assert verdict.value("b", kind=int) is None and verdict.value("d", "t", "x", kind=str) is None
    assert verdict.value("d", "t", kind=int) is None and verdict.value("no", kind=str) is None
