"""What is never called here, whatever it would be good for: code out of data, files out of names.

Row 40 of the table in `amqpd/docs/security.md`, and of row 33 that text which comes from others is
never the format of a line of the log.
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

AMQPD = Path(__file__).resolve().parents[1] / "amqpd"
SOURCES = sorted(AMQPD.rglob("*.py"))

MODULES = {
    "pickle", "marshal", "shelve", "dill", "yaml", "subprocess", "pty", "code", "codeop",
    "xml", "lxml", "telnetlib", "ftplib", "imp", "runpy",
}  # fmt: skip
CALLS = {
    "eval", "exec", "compile", "__import__", "os.system", "os.popen", "os.execv", "os.execvp",
    "os.spawnv", "os.spawnl", "tempfile.mktemp", "ctypes.CDLL", "importlib.import_module",
    "ssl._create_unverified_context", "random.random", "random.choice", "random.randint",
    "random.getrandbits", "os.chmod",
}  # fmt: skip
#: Where one of them is right after all, and why.
ALLOWED = {
    ("server/backends.py", "importlib.import_module"): "modules of a table in that file",
    ("amqp/wire.py", "importlib.import_module"): "the two codecs",
    ("cli/main.py", "importlib.import_module"): "commands of a table in that file",
    ("cli/forking.py", "importlib.import_module"): "modules of a table in that file",
    ("cli/consume.py", "subprocess"): "--pipe: what the person at the keyboard names, no shell",
    ("testing/program.py", "subprocess"): "starts the broker for somebody's tests",
    ("testing/forkserver.py", "subprocess"): "starts what forks brokers for these",
}


def dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return ""


def found(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, name.name) for name in node.names
                        if name.name.split(".")[0] in MODULES)  # fmt: skip
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in MODULES:
            yield node.lineno, node.module or ""
        elif isinstance(node, ast.Call):
            name = dotted(node.func)
            if name in CALLS:
                yield node.lineno, name
            for keyword in node.keywords:
                value = keyword.value
                if keyword.arg == "shell" and isinstance(value, ast.Constant) and value.value:
                    yield node.lineno, "shell=True"


LEVELS = {"debug", "info", "warning", "error", "critical", "exception", "log"}
LOGGERS = {"log", "logger", "logging.getlogger"}


def formats(tree: ast.AST) -> Iterator[tuple[int, ast.expr]]:
    """What lines of the log are made of, by line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            made_by = node.func.value
            called = dotted(made_by.func if isinstance(made_by, ast.Call) else made_by)
            is_log = called.lower() in LOGGERS or called.endswith((".log", ".logger", ".LOG"))
            if is_log and node.func.attr in LEVELS and called != "math.log":
                yield node.lineno, node.args[node.func.attr == "log"]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(AMQPD)))
def test_33_the_format_of_a_log_line_is_ours(path: Path) -> None:
    found = formats(ast.parse(path.read_text()))

    assert not [
        (line, ast.unparse(one)) for line, one in found if not isinstance(one, ast.Constant)
    ]


def test_the_search_finds_formats() -> None:
    tree = ast.parse(
        "LOG.info(f'{x}')\nlogging.getLogger('a').log(9, 'a' + x)\nlog.debug('%s', x)\n"
    )

    assert [isinstance(one, ast.Constant) for _, one in formats(tree)] == [False, False, True]
    assert sum(len([*formats(ast.parse(path.read_text()))]) for path in SOURCES) > 100


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(AMQPD)))
def test_40_nothing_that_is_banned_is_used(path: Path) -> None:
    name = str(path.relative_to(AMQPD))
    tree = ast.parse(path.read_text())

    banned = [(line, what) for line, what in found(tree) if (name, what) not in ALLOWED]

    assert not banned, f"{name}: {banned}"


def test_40_what_is_allowed_is_still_there() -> None:
    for name, what in ALLOWED:
        tree = ast.parse((AMQPD / name).read_text())
        assert what in {one for _, one in found(tree)}


def test_the_search_finds_what_is_banned() -> None:
    tree = ast.parse("import pickle\nfrom yaml import load\neval('1')\nrun(x, shell=True)\n")

    assert [what for _, what in found(tree)] == ["pickle", "yaml", "eval", "shell=True"]
