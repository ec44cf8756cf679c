"""What memory images could share: the table that papers print."""

from __future__ import annotations

from mmulab.workloads.analysis.page_sharing import Report, Sharing

#: By bytes.
PAGE_NAMES = {4096: "4K", 4096 * 512: "2M"}


def mb(pages: int, size: int) -> float:
    """Pages of so many bytes in units of 2**20 bytes."""
    return pages * size / 2**20


def table(report: Report) -> str:
    """A row a file and page size, as in Waldspurger, OSDI 2002, figure 4: total, shared and
    reclaimed MB, and the part of the last that are zeros."""
    width = max(12, *(len(one.name) for one in report.files)) + 2
    head = f"{'image':<{width}}{'pages of':>8}{'total MB':>12}{'shared':>12}{'%':>7}"
    lines = [head + f"{'reclaimed':>12}{'%':>7}{'zeros':>12}{'contents':>12}"]
    rows = [*report.files, *(report.together if len(report.files) > len(report.together) else ())]
    lines += [_row(one, width) for one in rows]
    if report.cut is not None:
        lines.append(f"\n{report.cut:,} pages of 2 MiB would have to be cut to share their parts.")
    return "\n".join(lines)


def _row(one: Sharing, width: int) -> str:
    def part(pages: int) -> str:
        percent = f"{100 * pages / one.pages:.1f}" if one.pages else "-"
        return f"{mb(pages, one.page_bytes):>12,.1f}{percent:>7}"

    return (
        f"{one.name:<{width}}{PAGE_NAMES[one.page_bytes]:>8}{mb(one.pages, one.page_bytes):>12,.1f}"
        f"{part(one.shared)}{part(one.reclaimed)}{mb(one.zero, one.page_bytes):>12,.1f}"
        f"{one.contents:>12,}"
    )
