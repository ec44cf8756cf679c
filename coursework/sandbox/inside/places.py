"""Which files the child may read: what Python and its packages load while they run, alone."""

from __future__ import annotations

import glob
import os
import sys
import sysconfig
from collections.abc import Iterable
from dataclasses import dataclass, field

#: What a lazily loaded extension module of Python's, NumPy's or numba's may still need.
_LIBRARIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64")
_FILES = ("/etc/ld.so.cache", "/etc/localtime", "/dev/null", "/dev/urandom")

#: Where packages are installed below the folders above: those of others are nobody's business.
_INSTALLED = ("site-packages", "dist-packages")


@dataclass
class Places:
    """readable: files, and folders with all that is below. listed: folders whose names may be
    read, down to the last, as Python does to find a module, but no file."""

    readable: list[str] = field(default_factory=list)
    listed: list[str] = field(default_factory=list)

    def add(self, place: str, closed: frozenset[str]) -> None:
        """A file or folder without what is closed below it. Landlock can only add rights, so a
        folder with something closed in it is taken apart."""
        if not any(each.startswith(place + os.sep) for each in closed):
            self.readable.append(place)
            return
        self.listed.append(place)
        with os.scandir(place) as entries:
            for entry in entries:
                if entry.path not in closed and not entry.is_symlink():
                    self.add(entry.path, closed)


def find(packages: Iterable[str], closed: Iterable[str]) -> Places:
    """packages: folders of those that may be read. closed: folders that may not."""
    standard = {sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")}
    standard |= {os.path.dirname(os.__file__)}
    standard |= {path for path in sys.path if path.endswith("lib-dynload")}
    shut = {os.path.realpath(each) for each in closed}
    for name in _INSTALLED:
        shut |= {os.path.realpath(os.path.join(each, name)) for each in standard}
        for library in _LIBRARIES:
            shut |= set(map(os.path.realpath, glob.glob(f"{library}/python*/{name}")))
    places = Places()
    for place in sorted({os.path.realpath(each) for each in (*standard, *_LIBRARIES)}):
        if os.path.isdir(place):
            places.add(place, frozenset(shut))
    places.readable += [*packages, *_FILES]
    return places
