"""What the marks of a figure stand for, in words: each bar, and points of each line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Points of a line without markers that can be pointed at, and points beyond which none of a line
#: with markers can.
FEW, MANY = 16, 200


def mark(figure: Figure) -> dict[str, list[str]]:
    """Gives every bar and line of a figure an id, and returns what each mark of it says, by that.
    Lines without markers get some that cannot be seen."""
    found: dict[str, list[str]] = {}
    for axes in figure.axes:
        if axes.get_visible():
            for artist, said in [*_bars(axes), *_lines(axes)]:
                artist.set_gid(f"mark-{len(found)}")
                found[artist.get_gid()] = said
    return found


def _bars(axes: Any) -> Iterator[tuple[Any, list[str]]]:
    from matplotlib.container import BarContainer

    for container in axes.containers:
        if not isinstance(container, BarContainer):
            continue
        flat = container.orientation == "horizontal"
        across, along = (axes.xaxis, axes.yaxis) if flat else (axes.yaxis, axes.xaxis)
        for bar in container.patches:
            value = bar.get_width() if flat else bar.get_height()
            box = bar.get_bbox()
            middle = (box.y0 + box.y1) / 2 if flat else (box.x0 + box.x1) / 2
            if value:
                yield bar, [_said(axes, container, _category(along, middle), value, across)]


def _lines(axes: Any) -> Iterator[tuple[Any, list[str]]]:
    for line in list(axes.lines):
        label = str(line.get_label())
        xs, ys = (np.asarray(each, float) for each in line.get_data(orig=False))
        if label.startswith("_") and not _is_of_errorbar(axes, line) or len(xs) < 2:
            continue
        if _is_vertical(xs):
            continue
        if line.get_marker() in ("None", "", " ", None):
            line = _unseen(axes, line, xs, ys)
            xs, ys = (np.asarray(each, float) for each in line.get_data(orig=False))
        if len(xs) <= MANY:
            yield line, [_point(axes, line, x, y) for x, y in zip(xs, ys, strict=True)]


def _is_vertical(xs: np.ndarray) -> bool:
    return bool(np.ptp(xs) == 0)


def _is_of_errorbar(axes: Any, line: Any) -> bool:
    """Whether a line's label is that of the container which it is the data of."""
    return any(_data_line(each) is line for each in axes.containers)


def _data_line(container: Any) -> Any:
    return container.lines[0] if hasattr(container, "lines") else None


def _name(axes: Any, artist: Any) -> str:
    """Which series it is of."""
    for container in axes.containers:
        if _data_line(container) is artist:
            artist = container
    label = str(artist.get_label())
    return "" if label.startswith("_") else label


def _unseen(axes: Any, line: Any, xs: np.ndarray, ys: np.ndarray) -> Any:
    """Markers at some points of a line, evenly spaced on its axis."""
    last = len(xs) - 1
    if axes.get_xscale() == "log" and xs[0] > 0:
        chosen = np.searchsorted(xs, np.geomspace(xs[0], xs[-1], FEW))
    else:
        chosen = np.linspace(0, last, FEW).astype(int)
    at = np.unique(np.minimum(chosen, last))
    ends = axes.get_xlim(), axes.get_ylim()
    (made,) = axes.plot(
        xs[at], ys[at], "o", markersize=8, color=line.get_color(), label=line.get_label()
    )
    made.set_alpha(0)
    axes.set_xlim(ends[0])
    axes.set_ylim(ends[1])
    return made


def _point(axes: Any, line: Any, x: float, y: float) -> str:
    where = _category(axes.xaxis, x) if _is_named(axes.xaxis) else f"{x:,.6g}"
    name = axes.get_xlabel()
    at = f"{name} {where}" if name else where
    return _joined(_name(axes, line), at, _number(axes.yaxis, y))


def _said(axes: Any, artist: Any, category: str, value: float, across: Any) -> str:
    return _joined(_name(axes, artist), category, _number(across, value))


def _joined(name: str, where: str, value: str) -> str:
    about = ", ".join(filter(None, (name, where)))
    return f"{about}: {value}" if about else value


def _number(axis: Any, value: float) -> str:
    label = axis.get_label_text() or axis.axes.get_title(loc="left")
    unit = " ".join(label.partition(";")[0].split())
    return f"{value:,.4g} {unit}".rstrip()


def _is_named(axis: Any) -> bool:
    """Whether an axis has names at its ticks, and no numbers."""
    from matplotlib.ticker import FixedFormatter

    return isinstance(axis.get_major_formatter(), FixedFormatter) or bool(_names(axis))


def _names(axis: Any) -> dict[str, int]:
    """Places by name, of an axis of categories."""
    found: dict[str, int] = getattr(axis.units, "_mapping", {})
    return found


def _category(axis: Any, place: float) -> str:
    """The name of the tick next to a place."""
    for name, at in _names(axis).items():
        if at == round(place):
            return name.replace("\n", " ")
    ticks: Sequence[float] = axis.get_ticklocs()
    labels = axis.get_major_formatter().format_ticks(ticks)
    near = [label for tick, label in zip(ticks, labels, strict=True) if abs(tick - place) <= 0.5]
    return near[0].replace("\n", " ") if near else ""
