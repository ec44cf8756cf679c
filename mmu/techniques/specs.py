"""Specs: a technique as users name it, `name` or `name:key=value,...`, and lists of them.

    native,shadow:policy=trap,nested:host_page_size=2m

A comma begins a new spec unless what follows, up to the next comma, is `key=value` with no
colon before the equals sign. A name that ends in .py, or has a slash in it, is a file. `all` in a
list stands for those techniques of the package that the list does not name.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from mmulab.mmu.config import TECHNIQUES, Config
from mmulab.mmu.errors import InputError, unknown
from mmulab.mmu.presets.cited import Cited
from mmulab.mmu.presets.preset import Preset
from mmulab.mmu.techniques import registry
from mmulab.mmu.techniques.technique import Technique, Variant

#: What stands for every technique of the package.
ALL = "all"


@dataclass(frozen=True)
class Spec:
    """A technique with its parameters.

    text: the canonical form, which is the key everywhere: parameters in the order in which the
    technique declares them, those left out that are as the run's options have them. origin:
    what the technique is found by, its name or file. values: of all parameters. optional: of
    `all`, so that the others go on where it cannot run.
    """

    text: str
    origin: str
    technique: Technique
    values: dict[str, Any]
    optional: bool = field(default=False, compare=False)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled by where its technique is found: that is code."""
        state = (self.text, self.origin, self.values, self.technique.variant, self.optional)
        return _found_again, state

    def on(self, preset: Preset) -> Spec:
        """The same on a processor. Raises InputError where the technique is not there."""
        return replace(self, technique=self.technique.on(variant_of(preset)))

    def is_on(self, preset: Preset) -> bool:
        """Whether it is there on a processor."""
        return self.technique.is_on(variant_of(preset))

    @property
    def name(self) -> str:
        return self.technique.name

    @property
    def parameters(self) -> dict[str, str]:
        """Values as text."""
        return {name: str(value) for name, value in self.values.items()}

    def is_same(self, other: Spec) -> bool:
        """Whether both name one technique with the same values: a file by two paths, say."""
        return self.technique is other.technique and self.values == other.values


def variant_of(preset: Preset) -> Variant:
    """What of a processor decides which walk its hardware makes."""
    return Variant(preset.arch, bool(preset.tlb_prefetch.names))


def _found_again(
    text: str, origin: str, values: dict[str, Any], variant: Variant, optional: bool
) -> Spec:
    return Spec(text, origin, registry.get(origin).on(variant), values, optional)


def split(text: str) -> list[str]:
    """The specs of a list: of techniques, traces or values of a sweep. Empty ones are dropped."""
    specs: list[str] = []
    for piece in text.split(","):
        key, equals, _ = piece.partition("=")
        if specs and equals and ":" not in key:
            specs[-1] += f",{piece}"
        else:
            specs.append(piece)
    return [spec.strip() for spec in specs if spec.strip()]


def parse(text: str, config: Config | None = None) -> Spec:
    """A technique as a user names it. config: the run's options, which parameters default to.

    Raises InputError naming what is unknown, with the nearest that is known.
    """
    config = config or Config()
    name, _, rest = text.partition(":")
    name = name.strip()
    technique = registry.get(name)
    given: dict[str, Any] = {}
    known = {parameter.name: parameter for parameter in technique.parameters}
    for item in rest.split(",") if rest else ():
        key, equals, value = (part.strip() for part in item.partition("="))
        if not equals:
            raise InputError(f"technique {text}: {item!r}: expected KEY=VALUE")
        if key not in known:
            if not known:
                raise InputError(f"technique {text}: {name} has no parameters")
            raise InputError(f"technique {text}: {unknown('parameter', key, known)}")
        if key in given:
            raise InputError(f"technique {text}: {key} is given twice")
        given[key] = known[key].read(f"{name}:{key}", value)
    values, differ = {}, []
    for key, parameter in known.items():
        default = parameter.preset(config)
        values[key] = given.get(key, default)
        if values[key] != default:
            differ.append(f"{key}={values[key]}")
    canonical = name + (":" + ",".join(differ) if differ else "")
    return Spec(canonical, name, technique, values)


def parse_all(
    techniques: str | Sequence[str | Spec], config: Config | None = None
) -> tuple[Spec, ...]:
    """The techniques of a list, in its order. Raises InputError where there is none, or where
    two are the same, but for those of the default that the run's options make the same, which
    stand once."""
    texts: Iterable[str | Spec] = split(techniques) if isinstance(techniques, str) else techniques
    specs = [spec for each in _spelt_out(texts, config) for spec in each]
    if not specs:
        raise InputError(f"no technique; expected one or more of {', '.join(registry.names())}")
    for number, spec in enumerate(specs):
        for other in specs[:number]:
            if spec.text == other.text or spec.is_same(other):
                if techniques == TECHNIQUES:
                    return tuple(specs[:number] + specs[number + 1 :])
                raise InputError(f"technique {spec.text} is named twice; expected each once")
    return tuple(specs)


def _spelt_out(texts: Iterable[str | Spec], config: Config | None) -> list[list[Spec]]:
    """What each text names: one, or for ALL those that no other text does."""
    asked = list(texts)
    named = [
        [each if isinstance(each, Spec) else parse(each, config)] if each != ALL else []
        for each in asked
    ]
    if ALL in asked:
        known = {spec.origin for each in named for spec in each}
        rest = [parse(name, config) for name in registry.of_package() if name not in known]
        named[asked.index(ALL)] = [replace(spec, optional=True) for spec in rest]
    return named


def costs(techniques: Iterable[Technique]) -> dict[str, Cited]:
    """What techniques' exits and counters cost, by the keys of `--set`: `NAME.REASON`."""
    return {
        f"{technique.name}.{name}": cost
        for technique in techniques
        for name, cost in technique.costs.items()
    }
