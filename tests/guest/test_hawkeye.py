"""HawkEye: the order of promotions, and frames that are zeroed before they are touched."""

from __future__ import annotations

from drivers.huge_pages import BASE, PAGE, SPAN, HugeGuest

from mmulab.mmu.trace import FORK, LOAD, STORE, SWITCH

SAMPLE, ROUND = 3000, 6000  # from clearing A bits to looking; from sample to sample
TIMES = f"sample_millisecs={SAMPLE},sample_sleep_millisecs={ROUND}"


def ranked(policy: str = "", first_scan: int = 5 * ROUND, **options) -> HugeGuest:
    """No huge pages at first touches, and one promotion a batch from the fifth sample on."""
    return HugeGuest(
        f"hawkeye:at_fault=off,{TIMES},pages_to_scan=512,zero_sleep_millisecs=1000000,"
        f"scan_sleep_millisecs={first_scan}{policy}",
        memory=128 << 20,
        **options,
    )


class Clock:
    """Accesses that a guest has made; goes on to a time."""

    def __init__(self, guest: HugeGuest) -> None:
        self.guest, self.now = guest, 0

    def touch(self, pages: int, at: int, kind: int = LOAD) -> None:
        self.guest.touch(pages, at, kind)
        self.now += pages

    def until(self, time: int) -> None:
        self.guest.wait(time - self.now)
        self.now = time


def weights(used: list[int]) -> int:
    """A moving average, of whole numbers, as HawkEye's kernel has it."""
    weight = 0
    for pages in used:
        weight = (4 * weight + 6 * pages) // 10
    return weight


def test_the_region_that_is_used_most_is_promoted_first() -> None:
    """So many pages are used in each sample; from the fourth on that gives a bucket of 50."""
    used = [60, 512, 260, 10, 500, 300]
    guest = ranked(first_scan=4 * ROUND + SAMPLE + 1000)
    clock = Clock(guest)
    guest.map(len(used))
    for region in range(len(used)):
        clock.touch(512, region, STORE)
    promoted: list[int] = []
    for round_ in range(1, 31):
        clock.until(round_ * ROUND)  # a sample begins
        for region, pages in enumerate(used):
            clock.touch(pages, region)
        clock.until(round_ * ROUND + SAMPLE + 1000)
        promoted += [region for region in guest.huge() if region not in promoted]
    bucket = [min(weights([pages] * 4) // 50, 9) for pages in used]
    assert bucket == [1, 9, 5, 0, 9, 5]
    order = sorted(range(len(used)), key=lambda region: (-bucket[region], region))
    assert promoted == order == [1, 4, 2, 5, 0, 3]


def test_a_region_that_rises_goes_before_those_that_were_there() -> None:
    guest = ranked(first_scan=6 * ROUND)
    clock = Clock(guest)
    guest.map(2)
    for region in range(2):
        clock.touch(512, region, STORE)
    for round_ in range(1, 6):
        clock.until(round_ * ROUND)
        clock.touch(240, 0)
        clock.touch(60 if round_ < 5 else 350, 1)
        clock.until(round_ * ROUND + SAMPLE)
    assert weights([240] * 5) // 50 == weights([60] * 4 + [350]) // 50 == 4
    clock.until(6 * ROUND)
    assert guest.huge() == [1]


def test_processes_take_turns_within_a_bucket() -> None:
    guest = ranked(first_scan=ROUND, policy=",warm_up_samples=0")
    clock = Clock(guest)
    guest.event(FORK, value=2)
    for pid in (1, 2):
        guest.event(SWITCH, pid=pid)
        guest.map(2)
        for region in range(2):
            clock.touch(512, region, STORE)
    clock.until(ROUND)
    for pid in (1, 2):
        guest.event(SWITCH, pid=pid)
        for region in range(2):
            clock.touch(400, region)
    for batch, expected in ((2, ([], [0])), (3, ([0], [0])), (4, ([0], [0, 1]))):
        clock.until(batch * ROUND)
        found = []
        for pid in (1, 2):
            guest.event(SWITCH, pid=pid)
            found.append(guest.huge())
        assert tuple(found) == expected


def test_frames_that_were_zeroed_before_are_not_again() -> None:
    guest = HugeGuest("hawkeye:zero_blocks=1,zero_sleep_millisecs=2000")
    guest.map(4)
    guest.touch(1, 0)
    guest.wait(2000 - 1)
    zeroed = guest.counts("pages_zeroed")[0]
    for region in range(1, 4):  # 1,024 pages are ready: two of these
        guest.touch(1, region)
    assert guest.huge() == [0, 1, 2, 3]
    assert guest.counts("thp_prezeroed") == [1024]
    assert guest.counts("pages_zeroed")[0] - zeroed == 512
    assert BASE % SPAN == 0 and PAGE == 4096
