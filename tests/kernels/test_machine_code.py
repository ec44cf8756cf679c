"""Objects that LLVM makes are put into memory without it; what is not known is refused."""

from __future__ import annotations

import ctypes
from pathlib import Path

import pytest
from llvmlite import binding as llvm

from mmulab.mmu.kernels import machine_code

pytestmark = pytest.mark.skipif(not machine_code.AVAILABLE, reason="needs Linux on x86-64")

#: `count` adds to a variable and a constant, in a call; `never` calls what is nowhere.
COUNTS = """
@total = internal global i64 7, align 64
@step = internal constant [3 x i64] [i64 10, i64 20, i64 30]
@zeros = internal global [4 x i64] zeroinitializer
declare i8* @memset(i8*, i32, i64)
declare void @nowhere()
define i64 @count(i64 %index) noinline {
  %place = getelementptr [3 x i64], [3 x i64]* @step, i64 0, i64 %index
  %step = load i64, i64* %place
  %had = load i64, i64* @total
  %has = add i64 %had, %step
  store volatile i64 %has, i64* @total
  %zeros = getelementptr [4 x i64], [4 x i64]* @zeros, i64 0, i64 0
  %bytes = bitcast i64* %zeros to i8*
  %done = call i8* @memset(i8* %bytes, i32 1, i64 32)
  %ones = load volatile i64, i64* %zeros
  %sum = add i64 %has, %ones
  ret i64 %sum
}
define void @never() { call void @nowhere() ret void }
"""
ONES = 0x0101010101010101


def compiled(text: str, codemodel: str = "large") -> bytes:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    target = llvm.Target.from_default_triple()
    machine = target.create_target_machine(codemodel=codemodel, reloc="static", jit=False)
    module = llvm.parse_assembly(text)
    module.triple = target.triple
    made: bytes = machine.emit_object(module)
    return made


def count_of(content: bytes) -> tuple[int, ctypes._CFunctionType]:
    address = machine_code.load(content, "count", "never")
    return address, ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)(address)


@pytest.fixture(scope="module")
def counts() -> bytes:
    try:
        return compiled(COUNTS)
    except RuntimeError:  # pragma: no cover
        pytest.skip("needs an LLVM with these instructions")


def test_code_data_and_the_c_library(counts: bytes) -> None:
    _, count = count_of(counts)
    assert [count(index) - ONES for index in (0, 2, 1)] == [17, 47, 67]
    _, again = count_of(counts)
    assert again(0) - ONES == 17  # of its own memory
    assert count(0) - ONES == 77


def test_code_is_never_written_to_where_it_runs(counts: bytes) -> None:
    address, _ = count_of(counts)
    for line in Path("/proc/self/maps").read_text().splitlines():
        first, last = (int(each, 16) for each in line.split()[0].split("-"))
        if first <= address < last:
            assert line.split()[1] == "r-xp"
            return
    pytest.fail("it lies nowhere")


@pytest.mark.parametrize(
    "text",
    [
        COUNTS.replace("@never", "@other"),  # so that it is made ready, and calls what is nowhere
        COUNTS.replace("@memset", "@system"),
        COUNTS.replace("@zeros = internal", "@zeros = common"),
        COUNTS.replace("@total = internal", "@total = internal thread_local"),
        COUNTS.replace("@count", "@counts"),
    ],
)
def test_what_is_not_known_is_refused(text: str) -> None:
    with pytest.raises(machine_code.UnknownError):
        machine_code.load(compiled(text), "count", "never")


def test_other_code_models_are_refused() -> None:
    with pytest.raises(machine_code.UnknownError, match="relocation"):
        machine_code.load(compiled(COUNTS, "small"), "count", "never")


def test_what_is_no_whole_object_is_refused(counts: bytes) -> None:
    for length in (0, 10, 63, 64, len(counts) // 2, len(counts) - 64):
        with pytest.raises(machine_code.UnknownError):
            machine_code.load(counts[:length], "count", "never")
    for content in (
        b"\x7fELF" * 40,
        b"\xcf\xfa\xed\xfe" + bytes(200),
        counts[:18] + b"\xb7" + counts[19:],
    ):
        with pytest.raises(machine_code.UnknownError):
            machine_code.load(content, "count", "never")
