"""A small assignment, to double numbers, and submissions to it that mean harm."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mmulab.coursework import sandbox
from mmulab.coursework.assignment import Part, PartResult, Problem
from mmulab.coursework.draws import Draws
from mmulab.coursework.sheet import ProgramSheet, Values

ASKED = 12
_LIMITS = sandbox.Limits(cpu=1, wall=30, call=1, memory=128 << 20)


class Doubling(ProgramSheet):
    """Numbers are doubled one by one in a conversation, and then all at once in a batch."""

    name = "doubling"
    number = 99
    title = "Doubling"
    summary = "Double a number."
    minutes = 1
    file = "double.py"
    parts = (Part("one", "One by one", 5), Part("all", "All at once", 5))

    def problem(self, draws: Draws) -> Problem:
        return {"first": draws.below(100)}

    def template(self, problem: Problem) -> dict[str, str]:
        return {self.file: ""}

    def solution(self, problem: Problem) -> dict[str, str]:
        return {self.file: GOOD}

    def shown(self, problem: Problem) -> Values:
        return {}

    def explanation(self, problem: Problem) -> str:
        return "Twice."

    def judged(self, problem: Problem, program: str) -> list[PartResult]:
        numbers = np.arange(problem["first"], problem["first"] + ASKED)
        try:
            with sandbox.Conversation(program, "answer", _LIMITS, name=self.file) as talk:
                one = [talk.ask(number) for number in numbers.tolist()]
        except sandbox.Stopped as stopped:
            return self.unmarked(stopped.verdict.message)
        verdict = sandbox.run(program, "drivers.student", {"x": numbers}, _LIMITS, name=self.file)
        found = verdict.array("y", (ASKED,), ASKED)
        right = one == (2 * numbers).tolist(), found is not None and (found == 2 * numbers).all()
        told = f"{one!r:.80}", verdict.message or f"{found!r:.80}"
        return [
            PartResult(part, part.points * bool(is_right), said)
            for part, is_right, said in zip(self.parts, right, told, strict=True)
        ]


def install(place: Path) -> Path:
    """The assignment as a package below `place`; what to append to `assignments.__path__`."""
    folder = place / "package" / "doubling"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text(
        "from drivers.hostile import Doubling\nASSIGNMENT = Doubling()\n"
    )
    return folder.parent


GOOD = "def answer(x):\n    return 2 * x\n"

#: What the submissions have in hand: the system's own calls, the audit hook put out of force,
#: and any message on any pipe.
_PRELUDE = """
sys, os, time = (__import__(name) for name in ('sys', 'posix', 'time'))
hook = [v for k, v in sys.modules.items() if k.endswith('inside.hook')][0]
hook.Hook.__call__ = lambda *a: None
def send(values='{"ok":{}}', arrays='[]', raw=None):
    text = raw or ('{"values":%s,"arrays":%s}' % (values, arrays)).encode()
    for handle in range(3, 20):
        try:
            os.write(handle, len(text).to_bytes(8, 'little') + text)
        except OSError:
            pass
def tell(path):
    raise ValueError(open(path, 'rb').read(3000).decode('latin1'))
def libc():
    return __import__('ctypes').CDLL(None)
"""

#: Bodies of `answer`; {canary}: a file of the grader's.
_ANSWERS = {
    # messages that no honest child sends, each field in turn
    "ok is no dictionary": "send('{\"ok\":7}')",
    "values is a list": "send('[]')",
    "no values": "send(raw=b'{}')",
    "header is no JSON": "send(raw=b'hello')",
    "header is not UTF-8": "send(raw=b'\\xff\\xfe')",
    "header too long": "os.write(4, b'\\xff' * 8); send(raw=b'x' * (1 << 21))",
    "deep header": "send(raw=b'[' * 100_000)",
    "deep values": "send('{\"ok\":{\"answer\":' + '[' * 900 + ']' * 900 + '}}')",
    "infinite number": "send('{\"ok\":{\"answer\":1e999}}')",
    "endless number": "send('{\"ok\":{\"answer\":' + '9' * 4000 + '}}')",
    "half a surrogate": "send('{\"ok\":{\"answer\":\"\\\\ud800\"}}')",
    "error is text": "send('{\"error\":\"x\"}')",
    "error of wrong types": "send('{\"error\":{\"kind\":[],\"text\":{},\"lines\":[[]]}}')",
    "error of an unknown kind": "send('{\"error\":{\"kind\":\"\\\\u001b[2J\",\"text\":\"x\"}}')",
    "arrays is no list": "send(arrays='3')",
    "array of a bad type": "send(arrays='[[\"y\",\"|O\",[1]]]')",
    "array without a name": "send(arrays='[[3,\"<i8\",[1]]]')",
    "array of shape text": "send(arrays='[[\"y\",\"<i8\",\"1\"]]')",
    "empty array of huge shape": "send(arrays='[[\"y\",\"<i8\",[0,1099511627775,1099511627775]]]')",
    "huge array": "send(arrays='[[\"y\",\"<i8\",[1099511627776]]]')",
    "negative array": "send(arrays='[[\"y\",\"<i8\",[-8]]]')",
    "array that never comes": "send(arrays='[[\"y\",\"<i8\",[9]]]'); time.sleep(60)",
    "two arrays of one name": "send(arrays='[[\"y\",\"|u1\",[0]],[\"y\",\"|u1\",[0]]]')",
    "answer is true": "send('{\"ok\":{\"answer\":true}}')",
    "answer is a dictionary": "send('{\"ok\":{\"answer\":{\"answer\":2}}}')",
    "a key twice": "send('{\"ok\":{\"answer\":1},\"ok\":{\"answer\":[]}}')",
    "says that it is ready again": "send('{\"ready\":{\"landlock\":7}}')",
    "long error": "send('{\"error\":{\"kind\":\"error\",\"text\":\"' + 'x' * 900_000 + '\"}}')",
    "error that steers a terminal": "raise ValueError('\\x1b]0;all points\\x07' * 99)",
    "array of floats": "send(arrays='[[\"y\",\"<f8\",[12]]]', raw=None); os.write(4, bytes(96))",
    "header that never ends": "os.write(4, bytes([99] + [0] * 7))\ntime.sleep(60)",
    # it takes for ever
    "sleeps": "time.sleep(60)",
    "loops": "while True: pass",
    "is slow each time": "time.sleep(0.9)\nreturn 2 * x",
    "prints now and then": "while True: print('x', flush=True); time.sleep(0.01)",
    # bombs
    "a large error": "raise ValueError('x' * (1 << 24))",
    "an error that cannot be told": "raise type('E', (Exception,), {'__str__': answer})",
    "a flood of answers": "while True: send('{\"ok\":{\"answer\":0}}')",
    "forks": "while True: os.fork()",
    "threads": "start = __import__('_thread').start_new_thread\nwhile True: start(tell, (1,))",
    "memory": "s = 'x'\nwhile True: s += s",
    "prints": "while True: print('x' * 10_000)",
    "many files": "k = [open('/dev/null') for _ in range(99)]",
    "deep recursion": "return answer(x)",
    "a large answer": "return 'x' * (1 << 21)",
    # readers
    "reads a file": "tell({canary!r})",
    "reads the grader's environment": "tell('/proc/%d/environ' % os.getppid())",
    "reads the grader's arguments": "tell('/proc/%d/cmdline' % os.getppid())",
    "reads its own environment": "tell('/proc/self/environ')",
    "reads the grader's memory": "tell('/proc/%d/mem' % os.getppid())",
    "reads the grader's files": "tell('/proc/%d/fd/0' % os.getppid())",
    "reads the solutions": "tell({solution!r})",
    "reads passwords": "tell('/etc/passwd')",
    "reads what is open": "raise ValueError([os.read(h, 999) for h in (0,)], os.environ)",
    "reads a file by its number": "raise ValueError(libc().syscall(2, {canary!r}.encode()))",
    "maps a file": "m = __import__('mmap').mmap(os.open({canary!r}, 0), 0)\nraise ValueError(m[:])",
    "links to a file": "os.symlink({canary!r}, 'here')\ntell('here')",
    # ends
    "exits": "os._exit(0)",
    "raises SystemExit": "raise SystemExit(3)",
    "aborts": "os.abort()",
    "crashes": "libc().memset(8, 1, 8)",
    "kills itself": "os.kill(os.getpid(), 9)",
    "kills the grader": "os.kill(os.getppid(), 9)",
    "stops the grader": "os.kill(os.getppid(), 19)",
    "kills the group": "os.killpg(0, 9)",
    "traces the grader": "raise ValueError(libc().ptrace(16, os.getppid(), 0, 0))",
    "closes all": "os.closerange(0, 100)",
    "closes all and waits": "os.closerange(0, 100)\ntime.sleep(60)",
    "raises its limits": "r = __import__('resource')\nr.setrlimit(r.RLIMIT_CPU, (99, 99))",
}  # fmt: skip

KINDS = tuple(_ANSWERS)


def program(kind: str, canary: Path, solution: Path, batch: bool = False) -> str:
    """A submission. batch: honest while it is asked one by one, and hostile after that."""
    text = _ANSWERS[kind].replace("{canary!r}", repr(str(canary)))
    text = text.replace("{solution!r}", repr(str(solution)))
    lines = ["if type(x) is int: return 2 * x"] if batch else []
    lines += [*text.split("\n"), "return 3 * x"]
    return _PRELUDE + "def answer(x):\n" + "".join(f"    {line}\n" for line in lines)
