"""`mmulab rerun`: a saved result made once more from what it says of itself, and compared."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

from mmulab.mmu.errors import InputError, printable, unknown

#: Of a result, what is not part of it: when and where it was made.
NOT_COMPARED = "made"

Made = dict[str, Any]


class Rerun(NamedTuple):
    """A result made again. differences: (where, what it was, what it is)."""

    again: Made
    differences: list[tuple[str, Any, Any]]


def load(path: str) -> list[Made]:
    """The results in a file that `--json` wrote. Raises InputError."""
    try:
        with open(path, encoding="utf-8") as file:
            found = json.load(file)
    except OSError as error:
        raise InputError(f"{printable(path)}: {error.strerror or error}") from None
    except ValueError as error:
        raise InputError(f"{printable(path)}: no JSON: {error}") from None
    results = found if isinstance(found, list) else [found]
    for number, result in enumerate(results, start=1):
        where = f"{printable(path)}: result {number}" if len(results) > 1 else printable(path)
        given = result.get("input") if isinstance(result, dict) else None
        call = given.get("call") if isinstance(given, dict) else None
        if not isinstance(call, str):
            raise InputError(
                f"{where}: expected a result that --json wrote, with what it was made of: schema 2"
            )
        if call not in _CALLS:
            raise InputError(f"{where}: {unknown('input.call', call, _CALLS)}")
    if not results:
        raise InputError(f"{printable(path)}: no results")
    return results


def rerun(results: list[Made], progress: Callable[[int], None] | None = None) -> list[Rerun]:
    """Each result made again, in order. Raises InputError where what it was made of is not to
    be had, or has another digest by now."""
    made: list[Made] = []
    baseline: Any = None
    for result in results:
        with _at_its_files(result):
            try:
                again = _CALLS[result["input"]["call"]](result, progress)
            except (KeyError, TypeError, AttributeError) as error:
                raise InputError(f"the result's input lacks or misnames {error}") from None
        if result["input"]["call"] == "run":
            # Slowdowns are against the baseline, with which the variants of a scenario begin.
            from mmulab.mmu.scenario.run import with_slowdown

            baseline = again if again.variant == "ample" else baseline
            of_variants = result["variant"] != "as given" and baseline is not None
            again = with_slowdown(again, baseline) if of_variants else again
        made.append(json.loads(json.dumps(_plain(result, again))))
    return [Rerun(new, list(differences(old, new))) for old, new in zip(results, made, strict=True)]


def differences(old: Any, new: Any, where: str = "") -> Iterator[tuple[str, Any, Any]]:
    """(where, old, new) of each value that is not the same, `made` left out."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in dict.fromkeys((*old, *new)):
            if where or key != NOT_COMPARED:
                below = f"{where}.{key}".lstrip(".")
                yield from differences(old.get(key), new.get(key), below)
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for number, pair in enumerate(zip(old, new, strict=True)):
            yield from differences(*pair, f"{where}[{number}]")
    elif old != new or type(old) is not type(new):
        yield where, old, new


@contextmanager
def _at_its_files(result: Made) -> Iterator[None]:
    """The directory in which the result's files are found: this one, or where it was made.
    Raises InputError where one is missing or has changed."""
    from mmulab.mmu.report.made import digest

    here = os.getcwd()
    files: Mapping[str, str | None] = result["input"].get("files", {})
    named = [name for name in files if not name.startswith("@")]
    made_in = result.get("made", {}).get("directory", here)
    if not all(os.path.exists(name) for name in named) and os.path.isdir(made_in):
        os.chdir(made_in)
    try:
        for name in named:
            if not os.path.exists(name):
                raise InputError(f"{printable(name)}: no such file, of which the result was made")
            if files[name] is None:
                raise InputError(
                    f"{printable(name)}: not a regular file: what was read from it is gone"
                )
            if digest(name) != files[name]:
                raise InputError(
                    f"{printable(name)}: not the file that the result was made of: its SHA-256 "
                    f"was {files[name]}"
                )
        yield
    finally:
        os.chdir(here)


def _trace(described: Made, levels: int = 5) -> Any:
    from mmulab import api

    spec = described["spec"]
    if spec in (None, "-"):
        what = "an object of Python's" if spec is None else "standard input"
        raise InputError(f"{described['name']}: the trace was {what}, which is gone")
    given = {"format": described["format"], "levels": levels}
    return api.trace(spec, seed=described["seed"] or 1, **given)


def _compare(result: Made, progress: Any) -> Any:
    from mmulab.mmu import simulate
    from mmulab.mmu.config import Config

    given = result["input"]
    config = Config(**given["settings"])
    source = _trace(given["trace"], config.levels)
    preset = _preset(given["preset"], given["techniques"])
    return simulate.compare(
        source, preset, config, given["techniques"], given["warmup"], progress=progress
    )


def _estimate(result: Made, progress: Any) -> Any:
    from mmulab.mmu.config import Config
    from mmulab.mmu.sampling import sampled

    given = result["input"]
    config = Config(**given["settings"])
    source = _trace(given["trace"], config.levels)
    preset = _preset(given["preset"], given["techniques"])
    return sampled.estimate(
        source, preset, config, given["techniques"], given["intervals"], given["warmup"],
        progress=progress,
    )  # fmt: skip


def _blame(result: Made, progress: Any) -> Any:
    from mmulab.mmu.config import Config
    from mmulab.workloads.analysis import blame

    given = result["input"]
    config = Config(**given["settings"])
    (technique,) = given["techniques"]
    preset = _preset(given["preset"], given["techniques"])
    return blame.measure(
        _trace(given["trace"], config.levels), preset, config, technique, given["by"],
        given["range"], given["warmup"], given["max"], progress,
    )  # fmt: skip


def _preset(described: Made, techniques: list[str]) -> Any:
    """The preset with every number as it was, whatever that of its name has now."""
    from mmulab.mmu.presets.listing import restored
    from mmulab.mmu.presets.shootdowns import SHOOTDOWNS
    from mmulab.mmu.techniques import specs

    costs = specs.costs(specs.parse(text).technique for text in techniques)
    return restored(described, costs | SHOOTDOWNS)


def _run(result: Made, progress: Any) -> Any:
    from mmulab.mmu.scenario import run
    from mmulab.mmu.scenario.settings import restored
    from mmulab.workloads import of_vm

    given = result["input"]
    return run.run(restored(given["scenario"]), of_vm, given["variant"], progress=progress)


def _miss_ratio(result: Made, progress: Any) -> Any:
    from mmulab.workloads.analysis import miss_ratio

    given = result["input"]
    return miss_ratio.measure(
        _trace(given["trace"]), given["page_sizes"], given["sample"], given["warmup"],
        given["max"], progress,
    )  # fmt: skip


def _geometries(result: Made, progress: Any) -> Any:
    from mmulab.mmu.tlb_stream.levels import Geometry
    from mmulab.workloads.analysis import geometries

    given = result["input"]
    return geometries.measure(
        _trace(given["trace"]), given["page_sizes"], given["sets"], given["ways"],
        Geometry(*given["l1"]) if given["l1"] else None, given["warmup"], given["max"],
        given["ignore"], progress,
    )  # fmt: skip


def _trace_info(result: Made, progress: Any) -> Any:
    from mmulab.workloads.analysis import summary

    given = result["input"]
    return summary.summarise(_trace(given["trace"]), progress, given["window"])


def _dedup(result: Made, progress: Any) -> Any:
    from mmulab.workloads.analysis import page_sharing

    given = result["input"]
    return page_sharing.measure(given["images"], given["page_sizes"], progress)


def _plain(old: Made, again: Any) -> Made:
    if "entries" in old:  # of a miss-ratio curve, the sizes that were asked for
        return again.to_dict(old["entries"])
    return again.to_dict()


_CALLS: dict[str, Callable[[Made, Any], Any]] = {
    "compare": _compare,
    "estimate": _estimate,
    "blame": _blame,
    "run": _run,
    "miss_ratio": _miss_ratio,
    "geometries": _geometries,
    "trace_info": _trace_info,
    "dedup": _dedup,
}
