"""Runs a student's Python file where it can do no harm, and says readably what became of it.

    run(source, driver, inputs)             a driver of ours calls the student's functions over
                                            arrays, in the child, and returns arrays
    Conversation(source, function)          the student's function is asked again and again

The file runs in a child process: isolated Python (-I -S), an empty directory, an empty
environment, a session of its own, and nothing of mmulab's but `inside`. Before the file is
looked at, the child gives up, for good:

    privileges  (Linux) no capabilities, so that root's child is no more than another process:
                it cannot raise its limits or look into the grader. No rights by programs.
    landlock    (Linux 5.13) the kernel lets it read Python, NumPy, numba and the system's
                libraries, and nothing else: neither /proc nor mmulab, with its worked solutions.
                No file can be written, made or deleted; no TCP (6.7), no signals to others (6.12).
    limits      CPU time, address space, open files, processes, no file may grow, no core dumps
                (setrlimit); wall time and the size of what comes back (by the grader). Stops
                endless loops and memory bombs. Without Landlock, no file at all can be opened.
                Where there is neither Linux nor seccomp, root may still fork.
    seccomp     (Linux, x86-64 and AArch64) some 60 system calls are left. No sockets, no new
                processes or threads, no programs, no signals to others, no opening for writing,
                no ptrace.
    audit hook  (everywhere) Python refuses the same, in words. No boundary: code that means
                harm gets round it.

Where one is missing, nothing of the student's is run, unless `terms` say unsafe. `Verdict.layers`
says which were in force, `Verdict.missing` why others were not. What remains: the child can
compute for as long as its limits allow, time the machine, and read the Python installation; and
the kernel is the same one. A grader for a class belongs in a container all the same, with no
secrets in it but the seed. That is never in the child: it is started as a new program, with an
environment of its own and three pipes.

What comes back is JSON and arrays of numbers, never pickles, and read with limits
(`inside.wire`); `Verdict.array` and `Verdict.value` give what an assignment expects. It must be
decisions, never marks: the grader plays them again by itself, so that a forged answer is worth
no more than a guess.
"""

from mmulab.coursework.sandbox.batch import run
from mmulab.coursework.sandbox.conversation import Conversation, Stopped
from mmulab.coursework.sandbox.terms import Terms, TimeUp, terms
from mmulab.coursework.sandbox.verdict import IMPORTS, Limits, Verdict

__all__ = [
    "IMPORTS", "Conversation", "Limits", "Stopped", "Terms", "TimeUp", "Verdict", "run", "terms",
]  # fmt: skip
