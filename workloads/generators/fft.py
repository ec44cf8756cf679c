"""Fast Fourier transform: strides that double from stage to stage."""

from __future__ import annotations

from collections.abc import Iterator

from mmulab.mmu.kernels.compiling import entry, inlined
from mmulab.mmu.trace import LOAD, STORE, Chunk
from mmulab.workloads.generators.origins import Depends, independent
from mmulab.workloads.generators.parameters import ACCESSES, HEAP, WORD, Parameter, mapped, stream

SUMMARY = (
    "radix-2 FFT of complex numbers, bit reversal, then log2 n stages "
    "(Cooley and Tukey 1965; Bailey, FFTs in external or hierarchical memory, 1990)"
)
PARAMETERS = {
    "log2n": Parameter(20, "log2 of the elements, of 16 bytes each", least=2, most=36),
    "accesses": ACCESSES,
}

_ELEMENT = 2 * WORD  # a real and an imaginary part, one access of each element


@inlined
def _reversed(index, bits):
    result = 0
    for _ in range(bits):
        result = (result << 1) | (index & 1)
        index >>= 1
    return result


@inlined
def _next_reversed(reversed_, n):
    """The reversal of the next number: a carry that runs from the top bit down. 0 at the end."""
    bit = n >> 1
    while reversed_ & bit:
        reversed_ ^= bit
        bit >>= 1
    return reversed_ | bit


@entry
def _fill(first, address, kind, bits):
    """Reversal: load x[i], store y[reversed i]. A butterfly of stage s: load the twiddle
    factor, y[k], y[k + 2**s]; store both."""
    n = 1 << bits
    x, y, twiddles = HEAP, HEAP + n * _ELEMENT, HEAP + 2 * n * _ELEMENT
    reversal, butterflies = 2 * n, 5 * (n >> 1)
    at = first % (reversal + bits * butterflies)
    stage = max(0, (at - reversal) // butterflies)
    butterfly, step = divmod(max(0, at - reversal - stage * butterflies), 5)
    back = _reversed(at >> 1, bits) if at < reversal else 0
    for position in range(address.size):
        what = LOAD
        if at < reversal:
            if at & 1:
                where = y + back * _ELEMENT
                what = STORE
                back = _next_reversed(back, n)
            else:
                where = x + (at >> 1) * _ELEMENT
            at += 1
        else:
            half = 1 << stage
            low = butterfly & (half - 1)
            if step == 0:
                where = twiddles + (low << (bits - 1 - stage)) * _ELEMENT
            else:
                index = ((butterfly >> stage) << (stage + 1)) | low
                where = y + (index + (half if step == 2 or step == 4 else 0)) * _ELEMENT
                what = STORE if step > 2 else LOAD
            step += 1
            if step == 5:
                step, butterfly = 0, butterfly + 1
                if butterfly == n >> 1:
                    butterfly, stage = 0, stage + 1
                    if stage == bits:
                        stage = at = 0
        address[position] = where
        kind[position] = what


def depends(parameters: dict[str, int | float]) -> Depends:
    """Counters make all addresses, the reversed ones as well."""
    return independent


def chunks(parameters: dict[str, int | float], seed: int) -> Iterator[Chunk]:
    bits = int(parameters["log2n"])
    return stream(
        int(parameters["accesses"]),
        mapped((HEAP, (5 * _ELEMENT << bits) // 2)),
        lambda first, address, kind: _fill(first, address, kind, bits),
    )
