"""Where compiled code is kept, and what becomes of a run that has no such place."""

from __future__ import annotations

import errno
import fcntl
import os
import pwd
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from drivers import throwaway
from drivers.damages import DAMAGES

from mmulab.mmu.kernels import store

NAME = "an.entry-0-1.mmulab"


def test_what_is_written_is_read(cache: Path) -> None:
    assert store.read(NAME) is None and not store.has(NAME)
    assert store.write(NAME, b"content")
    assert store.has(NAME) and bytes(store.read(NAME) or b"") == b"content"
    assert os.listdir(cache) == [NAME]
    assert cache.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_noticed_and_removed(cache: Path, damage: str) -> None:
    store.write(NAME, b"content of an entry")
    DAMAGES[damage](cache / NAME)
    assert store.read(NAME) is None
    assert not (cache / NAME).exists()


def chosen(monkeypatch: pytest.MonkeyPatch, **environment: str) -> str:
    for name in ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return store.directory()


@pytest.mark.skipif(sys.platform == "darwin", reason="has directories of its own")
def test_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    home = str(tmp_path)
    own = f"{home}/.cache/mmulab"
    assert chosen(monkeypatch, HOME=home) == own
    assert chosen(monkeypatch, HOME=home, XDG_CACHE_HOME="") == own
    assert chosen(monkeypatch, HOME=home, XDG_CACHE_HOME="caches") == own
    assert chosen(monkeypatch, HOME=home, XDG_CACHE_HOME="/x") == "/x/mmulab"
    assert chosen(monkeypatch, HOME=home, NUMBA_CACHE_DIR="/y", XDG_CACHE_HOME="/x") == "/y"


@pytest.mark.parametrize("home", [None, "", "relative"])
def test_no_home(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], home: str | None
) -> None:
    def unknown(uid: int) -> None:
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    monkeypatch.setattr(store, "_said", False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    monkeypatch.delenv("HOME")
    environment = {} if home is None else {"HOME": home}
    with pytest.raises(store.NoPlaceError, match="there is no home directory"):
        chosen(monkeypatch, **environment)
    assert store.read(NAME) is None
    assert not store.write(NAME, b"content")
    assert store.lock(NAME) == (True, None)
    assert capfd.readouterr().err == (
        "mmulab: no place to keep compiled code (there is no home directory); "
        "each run compiles anew\n"
    )


@pytest.mark.parametrize("mode", [0o770, 0o702, 0o777])
def test_a_directory_that_others_may_write_to(
    cache: Path, capfd: pytest.CaptureFixture[str], mode: int
) -> None:
    store.write(NAME, b"content")
    cache.chmod(mode)
    assert store.read(NAME) is None and not store.has(NAME)
    assert not store.write("b" + NAME, b"content")
    assert os.listdir(cache) == [NAME]
    assert capfd.readouterr().err == (
        f"mmulab: no place to keep compiled code (others may write to {cache}); "
        "each run compiles anew\n"
    )
    cache.chmod(0o755)
    assert store.read(NAME) is not None


def test_a_directory_of_another_user(
    cache: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    store.write(NAME, b"content")
    other = os.geteuid() + 1
    monkeypatch.setattr(os, "geteuid", lambda: other)
    assert store.read(NAME) is None
    assert f"({cache} belongs to another user)" in capfd.readouterr().err


def test_no_room_in_the_middle_of_a_file(
    cache: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write
    room = [60]

    def full(file: int, content: Any) -> int:
        if not room[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        room[0] -= (count := write(file, content[: room[0]]))
        return count

    monkeypatch.setattr(os, "write", full)
    for _ in range(2):
        assert not store.write(NAME, b"content of an entry")
    assert os.listdir(cache) == []
    assert capfd.readouterr().err == (
        f"mmulab: no place to keep compiled code ({cache}: No space left on device); "
        "each run compiles anew\n"
    )


def test_what_may_only_be_read_is_read_without_a_word(
    cache: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    store.write(NAME, b"content")

    def read_only(path: str, *_: Any) -> int:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), path)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", read_only)
        patch.setattr(os, "utime", read_only)
        assert bytes(store.read(NAME) or b"") == b"content"
        assert not store._said
        assert store.lock("b" + NAME) == (True, None)
        assert not store.write("b" + NAME, b"content")
    err = capfd.readouterr().err
    assert "Read-only file system" in err and err.count("\n") == 1


def test_what_is_not_used_goes(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"{number}{NAME}" for number in range(6)]
    for days, name in enumerate(names):
        store.write(name, bytes(1000))
        used = time.time() - days * 86400
        os.utime(cache / name, (used, used))
    old = time.time() - 40 * 86400
    for name in (f"a{NAME}", f"a{NAME}.0123.tmp", f"a{NAME}.lock", "of somebody else"):
        (cache / name).write_bytes(b"")
        os.utime(cache / name, (old, old))
    (cache / f"b{NAME}.0123.tmp").write_bytes(b"")  # being written
    monkeypatch.setattr(store, "MOST_BYTES", 5000)
    store.read(names[5])  # used again
    store._tidied.clear()
    store.write(names[0], bytes(1000))
    left = [names[0], names[1], names[2], names[5], f"b{NAME}.0123.tmp", "of somebody else"]
    assert sorted(os.listdir(cache)) == sorted(left)


def test_a_lock_is_one_process_at_a_time(cache: Path) -> None:
    may, held = store.lock(NAME)
    assert may and held is not None
    assert store.lock(NAME, patience=0) == (False, None)
    assert store.lock(NAME, patience=0.1) == (True, None)  # it goes on without in the end
    other = store.lock("b" + NAME, patience=0)
    assert other[0] and other[1] is not None
    other[1].release()
    held.release()
    assert os.listdir(cache) == []
    again = store.lock(NAME, patience=0)[1]
    assert again is not None
    again.release()


def test_a_lock_file_that_is_removed_while_waited_for(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that opened the file before the other removed it does not have the lock."""
    first = store.lock(NAME)[1]
    assert first is not None
    flock, ending = fcntl.flock, [first]

    def ends_meanwhile(file: int, operation: int) -> None:
        while ending:
            ending.pop().release()
        flock(file, operation)

    monkeypatch.setattr(fcntl, "flock", ends_meanwhile)
    second = store.lock(NAME, patience=1)[1]
    assert second is not None
    assert store.lock(NAME, patience=0) == (False, None)
    second.release()


LOCKS = f"""
import time
from mmulab.mmu.kernels import store
assert store.lock({NAME!r})[1] is not None
print("locked", flush=True)
time.sleep(100)
"""


def test_the_lock_of_a_process_that_was_killed(cache: Path, tmp_path: Path) -> None:
    process = throwaway.start(tmp_path, LOCKS)
    assert process.stdout is not None and process.stdout.readline() == "locked\n"
    assert store.lock(NAME, patience=0) == (False, None)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    may, held = store.lock(NAME, patience=0)
    assert may and held is not None
    held.release()
