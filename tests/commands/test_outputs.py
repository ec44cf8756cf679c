"""What outputs are written to: files, links, pipes, devices, descriptors."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest
from drivers.command_line import SMALL, check_error
from drivers.processes import in_shell

from mmulab.mmu.errors import InputError, RunError
from mmulab.mmu.report.files import check_apart, check_writable, replacing, together

pytestmark = pytest.mark.skipif(os.name != "posix", reason="links, pipes and modes of POSIX")


def write(path: Path, text: str = "new") -> None:
    check_writable(path, "json")
    with replacing(path) as temporary:
        temporary.write_text(text)


def write_unchecked(path: Path) -> None:
    with replacing(path) as temporary:
        temporary.write_text("new")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("mask", [0o022, 0o077])
def test_a_new_file_has_the_mode_that_the_umask_leaves(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        write(tmp_path / "a")
    finally:
        os.umask(before)
    assert mode(tmp_path / "a") == 0o666 & ~mask
    assert [each.name for each in tmp_path.iterdir()] == ["a"]


def test_a_file_keeps_its_mode_and_nobody_else_reads_it_meanwhile(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.touch(0o600)
    path.chmod(0o640)
    with replacing(path) as temporary:
        assert mode(temporary) == 0o600
        temporary.write_text("new")
    assert mode(path) == 0o640 and path.read_text() == "new"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root")
def test_a_file_keeps_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.touch()
    os.chown(path, 1234, 2345)
    write(path)
    assert (path.stat().st_uid, path.stat().st_gid) == (1234, 2345)


@pytest.mark.parametrize("target", ["/dev/full", "folder/b"])
def test_all_or_none(tmp_path: Path, target: str) -> None:
    """The second cannot be written, whether that shows at once or in the end."""
    (tmp_path / "a").write_text("old")
    with pytest.raises((RunError, OSError)), together():
        write_unchecked(tmp_path / "a")
        write_unchecked(tmp_path / target)
    assert [each.name for each in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_text() == "old"


def test_links_are_followed(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    target = tmp_path / "there" / "target"
    target.write_text("old")
    (tmp_path / "second").symlink_to("there/target")
    (tmp_path / "first").symlink_to("second")
    (tmp_path / "dangling").symlink_to("there/made")
    for name in ("first", "dangling"):
        write(tmp_path / name)
        assert (tmp_path / name).is_symlink() and (tmp_path / name).read_text() == "new"
    assert target.read_text() == "new"
    assert sorted(each.name for each in (tmp_path / "there").iterdir()) == ["made", "target"]


def test_bad_links_are_refused(tmp_path: Path) -> None:
    (tmp_path / "circle").symlink_to("circle")
    (tmp_path / "nowhere").symlink_to("no/such/file")
    with pytest.raises(InputError, match="too many symbolic links"):
        check_writable(tmp_path / "circle", "json")
    with pytest.raises(InputError, match="no/such does not exist"):
        check_writable(tmp_path / "nowhere", "json")


def test_a_pipe_is_written_to_and_stays(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(path.read_text()), daemon=True)
    reader.start()
    write(path)
    reader.join(10)
    assert read == ["new"] and path.is_fifo()


@pytest.mark.parametrize("device", ["/dev/null", "/dev/full"])
def test_a_device_is_written_to_and_stays(device: str) -> None:
    before = os.stat(device)
    if device == "/dev/full":
        with pytest.raises(RunError, match="/dev/full: No space left"):
            write(Path(device))
    else:
        write(Path(device))
    assert os.path.samestat(before, os.stat(device))


def test_a_failure_leaves_what_was_there_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), replacing(path) as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_names_may_be_as_long_as_the_file_system_takes(tmp_path: Path) -> None:
    write(tmp_path / ("a" * 250))
    write(tmp_path / ("b" * 255))
    with pytest.raises(InputError, match="File name too long"):
        check_writable(tmp_path / ("c" * 256), "json")


@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may do anything")
def test_a_file_that_may_not_be_written_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.touch(0o400)
    with pytest.raises(InputError, match="is not writable"):
        check_writable(path, "json")


@pytest.mark.parametrize("name", [b"\xff.json", b"\x1b[31m.json"])
def test_odd_names_are_written_and_shown_escaped(mmulab, tmp_path: Path, name: bytes) -> None:  # type: ignore
    path = tmp_path / os.fsdecode(name)
    assert mmulab("trace", "info", SMALL, "--json", path).code == 0
    assert path.stat().st_size > 0
    result = mmulab("compare", path)
    check_error(result, 2, "xff.json" if name[0] == 0xFF else r"\x1b[31m.json")
    assert "\x1b" not in result.err


@pytest.mark.parametrize("two", [("a.json", "./a.json"), ("a.json", "link"), ("-", "/dev/stdout")])
def test_two_outputs_in_one_file_are_refused(mmulab, tmp_path: Path, monkeypatch, two) -> None:  # type: ignore
    monkeypatch.chdir(tmp_path)
    Path("link").symlink_to("a.json")
    result = mmulab("compare", SMALL, "--json", two[0], "--csv", two[1])
    check_error(result, 2, f"json and csv: {two[1]}: the same file")


def test_a_plot_is_an_output_too_and_hard_links_are_one_file(mmulab, tmp_path: Path) -> None:  # type: ignore
    picture = tmp_path / "a.svg"
    check_error(mmulab("mrc", SMALL, "--csv", picture, "--plot", picture), 2, "plot and csv")
    picture.touch()
    os.link(picture, tmp_path / "b")
    with pytest.raises(InputError, match="the same file"):
        check_apart({"json": picture, "csv": tmp_path / "b"})


def test_a_device_may_stand_for_two_outputs() -> None:
    check_apart({"json": "/dev/null", "csv": "/dev/null"})


def test_descriptors_are_written_to_where_they_stand(tmp_path: Path) -> None:
    """As the shell's redirections have it: appended, and to the file that is open."""
    line = f"mmulab mrc {SMALL} --csv %s"
    assert in_shell(line % "- > plain", tmp_path).returncode == 0
    plain = (tmp_path / "plain").read_text()
    assert in_shell("echo first > out; " + line % "/dev/fd/3 3>> out", tmp_path).returncode == 0
    assert (tmp_path / "out").read_text() == "first\n" + plain
    done = in_shell(line % "/dev/stdout | cat", tmp_path)
    assert done.stdout.endswith(plain)
    closed = in_shell(line % "/dev/fd/7 7>&-", tmp_path)
    assert closed.returncode == 2 and "descriptor 7 is not open for writing" in closed.stderr


def test_a_recording_of_no_name_replaces_nothing(mmulab, tmp_path: Path, monkeypatch) -> None:  # type: ignore
    monkeypatch.chdir(tmp_path)
    Path("trace.mmt").write_text("precious")
    check_error(mmulab("trace", "record", "--", "true"), 2, "-o trace.mmt replaces it")
    assert Path("trace.mmt").read_text() == "precious"
