"""From a study to its runs: a pure function of what the study says and what its files hold."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import product
from typing import TYPE_CHECKING, Any

from mmulab import __version__
from mmulab.mmu.errors import InputError, MMULabError
from mmulab.mmu.presets import DEFAULT
from mmulab.mmu.report import made
from mmulab.studies.calls import CALLS
from mmulab.studies.derive import derived

if TYPE_CHECKING:
    from mmulab.mmu.scenario.settings import Scenario
    from mmulab.studies.study import Study

#: Runs that one study may have.
MOST = 1_000_000

_DIGITS = 16  # of a key: 64 bits, so that a million runs share one with a chance of 3e-8


@dataclass(frozen=True)
class Point:
    """A run of a study, before it is made.

    key: a digest of all that the run is made of, the version of mmulab included: two runs with
    one key have the same rows. axes: its value on each axis. settings: all of them, axes and
    those derived included. files: SHA-256 by the name that a file was given by. refused: why it
    cannot be made; "" where it can.
    """

    key: str
    command: str
    axes: tuple[tuple[str, str], ...]
    settings: Mapping[str, str]
    scenario: Scenario | None = None
    files: Mapping[str, str | None] = field(default_factory=dict)
    refused: str = ""

    def to_dict(self) -> dict[str, Any]:
        """As the manifest of a study lists it. preset, seed: their names; "" where it has none."""
        default_seed, preset = "1", ""
        if self.scenario:
            default_seed = str(self.scenario.seed)
            preset = self.settings.get("host.preset", self.scenario.host.preset)
        elif self.command == "compare":
            preset = DEFAULT
        return {
            "run": self.key,
            "axes": dict(self.axes),
            "preset": self.settings.get("preset", preset),
            "seed": self.settings.get("seed", default_seed),
        }


def expand(study: Study, digest: Callable[[str], str | None] = made.digest) -> list[Point]:
    """The runs of a study, in the order of its axes, the last varying fastest.

    digest: of a file, by its path. Raises InputError where there is none, where two are the same,
    and where a value of an axis can be in none of them: what one of them alone cannot have, that
    run says in `refused`.
    """
    count = 1
    for values in study.axes.values():
        count *= len(values)
    if count > MOST:
        raise InputError(f"study {study.name}: {count:,} runs; expected {MOST:,} at most")
    digest = lru_cache(maxsize=None)(digest)
    points = []
    for values in product(*study.axes.values()):
        axes = dict(zip(study.axes, values, strict=True))
        if not any(_is_excluded(axes, rule) for rule in study.exclude):
            points.append(_point(study, axes, digest))
    if not points:
        raise InputError(f"study {study.name}: every run is excluded")
    _check_values(study, points)
    _check_differ(study, points)
    return points


def _is_excluded(axes: Mapping[str, str], rule: Mapping[str, tuple[str, ...]]) -> bool:
    return all(axes[key] in values for key, values in rule.items())


def one(study: Study, axes: Mapping[str, str]) -> Point:
    """The run of a study with these values of its axes."""
    return _point(study, dict(axes), made.digest)


def _point(study: Study, axes: dict[str, str], digest: Callable[[str], str | None]) -> Point:
    settings = {**study.base, **axes}
    for key, rule in study.derive.items():
        settings[key] = derived(key, rule, settings)
    about: dict[str, Any]
    files: dict[str, str | None] = {}
    refused = ""
    try:
        about, named = CALLS[study.command].made_of(settings, study.scenario)
        files = {name: digest(path) for name, path in named.items()}
    except MMULabError as error:
        about, refused = {"settings": settings}, str(error)
    whole = {"version": __version__, **about, "files": files, "refused": refused}
    text = json.dumps(whole, sort_keys=True, default=str)
    key = hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:_DIGITS]
    return Point(key, study.command, tuple(axes.items()), settings, study.scenario, files, refused)


def _check_values(study: Study, points: list[Point]) -> None:
    """A value that no run can have is a mistake in the study."""
    fine = {pair for point in points if not point.refused for pair in point.axes}
    for point in points:
        for pair in point.axes if point.refused else ():
            if pair not in fine:
                shown = "=".join(pair)
                said = point.refused.startswith(shown)
                raise InputError(point.refused if said else f"{shown}: {point.refused}")
    if not any(not point.refused for point in points):
        raise InputError(points[0].refused)


def _check_differ(study: Study, points: list[Point]) -> None:
    seen: dict[str, Point] = {}
    for point in points:
        other = seen.setdefault(point.key, point)
        if other is not point and not point.refused:
            raise InputError(f"{_apart(other, point)}; expected values that differ")


def _apart(one: Point, other: Point) -> str:
    """What two runs that are the same differ in, as an error says it."""
    differ = [(a, b) for a, b in zip(one.axes, other.axes, strict=True) if a != b]
    keys = ", ".join(a[0] for a, _ in differ)
    return (
        f"{keys}: {', '.join(a[1] for a, _ in differ)} and "
        f"{', '.join(b[1] for _, b in differ)} are equal"
    )
