"""What stands for Valgrind where there is none: runs the program, and meanwhile logs accesses."""

from __future__ import annotations

import sys
from pathlib import Path

_TEXT = """#!{python}
import os, socket, subprocess, sys, time
if "--version" in sys.argv:
    print("valgrind-3.22.0")
    sys.exit()
(where,) = [a.partition("=")[2] for a in sys.argv if a.startswith("--log-socket=")]
host, port = where.split(":")
log = socket.create_connection((host, int(port)))
program = subprocess.Popen(sys.argv[sys.argv.index("--") + 1:])
log.sendall(b"==%d== Lackey, an example Valgrind tool\\n" % os.getpid())
line = 0
while program.poll() is None:
    text = b"".join(b" L %x,8\\n" % (0x1000 + 8 * ((line + i) % 100_000)) for i in range(1000))
    log.sendall(text)
    line += 1000
    time.sleep(0.001)
sys.exit(program.returncode)
"""


def install(folder: Path) -> Path:
    """Makes a folder for PATH, with `valgrind` in it."""
    folder.mkdir()
    tool = folder / "valgrind"
    tool.write_text(_TEXT.format(python=sys.executable))
    tool.chmod(0o755)
    return folder
