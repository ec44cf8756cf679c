"""Who a submission is of: student ids, the seed, and the file assignment.toml.

It names assignment, student and version, with two check values under the instructor's
seed. `seed_check` tells whether the seed is the one it was set with; `seal`, a MAC of all
the rest, shows that nobody changed the student's name to get another's numbers. Neither
says more of the seed than the numbers of the assignment do: whoever guesses the seed can
check the guess with either.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import unicodedata
from dataclasses import dataclass

from mmulab import __version__
from mmulab.coursework.toml_text import NotTOML, parse
from mmulab.mmu.errors import InputError

FILE = "assignment.toml"

MOST_CHARACTERS = 200  # of a student's id
SHORT_SEED = 16  # characters; a shorter one may be guessed


def checked_student(student: str) -> str:
    """The id in Unicode's composed form (NFC), so that "é" is one student however it is
    typed. Raises InputError for an empty one or one that cannot be printed."""
    text = unicodedata.normalize("NFC", student.strip())
    if not text or not text.isprintable() or len(text) > MOST_CHARACTERS:
        raise InputError(
            f"student {student[:50]!r}: expected 1 to {MOST_CHARACTERS} printable characters"
        )
    return text


def checked_seed(seed: str) -> str:
    """The seed. Raises InputError for an empty one or one that is not text."""
    if not seed or not seed.isprintable():
        raise InputError("the seed must be a text of printable characters, and not empty")
    return seed


def safe_name(student: str) -> str:
    """A name of a directory for a student id, different for different ids: letters,
    digits and _.@- stay; where others are replaced, a few digits of a hash follow."""
    safe = re.sub(r"[^A-Za-z0-9_.@-]", "_", student)[:60]
    if safe != student or safe[0] in ".-":
        safe = f"{safe.lstrip('.-')}-{hashlib.sha256(student.encode()).hexdigest()[:8]}"
    return safe


@dataclass(frozen=True)
class Identity:
    """What an assignment.toml says, once it is known to be as it was handed out."""

    assignment: str
    student: str
    version: str


def write(name: str, student: str, seed: str) -> str:
    """The text of assignment.toml."""
    quoted = student.replace("\\", "\\\\").replace('"', '\\"')
    return (
        "# Whose assignment this is. Hand it in as it is: a changed one cannot be graded.\n"
        f'name = "{name}"\n'
        f'student = "{quoted}"\n'
        f'version = "{__version__}"\n'
        f'seed_check = "{_seed_check(seed)}"\n'
        f'seal = "{_seal(seed, name, student, __version__)}"\n'
    )


def read(text: str, seed: str) -> Identity:
    """What the text of an assignment.toml says. Raises InputError where it is none, was
    written under another seed, or has been changed."""
    try:
        found = parse(text)
    except NotTOML as error:
        raise InputError(f"{FILE} {error}") from None
    fields = [found.get(key) for key in ("name", "student", "version", "seed_check", "seal")]
    if not all(isinstance(field, str) and field.isprintable() for field in fields):
        raise InputError(f"{FILE} is not as it was handed out")
    name, student, version, seed_check, seal = map(str, fields)
    if seed_check != _seed_check(seed):
        raise InputError(f"{FILE}: set with another seed than the one given")
    if seal != _seal(seed, name, student, version):
        raise InputError(f"{FILE} is not as it was handed out")
    return Identity(name, student, version)


def _seed_check(seed: str) -> str:
    return _mac(seed, "seed check")


def _seal(seed: str, name: str, student: str, version: str) -> str:
    return _mac(seed, f"{len(name)}:{name}{len(student)}:{student}{version}")


def _mac(seed: str, message: str) -> str:
    """HMAC-SHA256 (RFC 2104) under the seed, cut to 48 bits."""
    key = hashlib.sha256(b"mmulab identity " + seed.encode()).digest()
    return hmac.new(key, message.encode(), hashlib.sha256).hexdigest()[:12]
