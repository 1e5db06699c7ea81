"""Compiles the hot path with mypyc, if that is possible here; all else is in pyproject.toml.

Without a C compiler or mypyc, or with AMQPD_PURE=1, amqpd is installed as plain Python and
uses the codec made for that. AMQPD_PURE=0 makes a failing compilation an error.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from setuptools import setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import BaseError, CompileError, LinkError

if TYPE_CHECKING:
    from setuptools import Extension

ROOT = Path(__file__).resolve().parent

#: One group, one extension: calls and attributes between these modules are direct.
COMPILED = (
    "amqpd/amqp/classify.py",
    "amqpd/amqp/codec.py",
    "amqpd/amqp/gathering.py",
    "amqpd/amqp/reader.py",
    "amqpd/broker/chunk.py",
    "amqpd/broker/content.py",
    "amqpd/broker/counts.py",
    "amqpd/broker/delivery.py",
    "amqpd/broker/lane.py",
    "amqpd/broker/levels.py",
    "amqpd/broker/rows.py",
    "amqpd/broker/run.py",
    "amqpd/broker/stretch.py",
    "amqpd/broker/sums.py",
    "amqpd/broker/window.py",
    "amqpd/store/ranges.py",
)


def say(text: str) -> None:
    """A line for the person who builds."""
    sys.stderr.write(f"amqpd: {text}\n")


def pure_reason() -> str:
    """Why nothing is to be compiled, or nothing if it is."""
    if os.environ.get("AMQPD_PURE", "0") not in ("", "0"):
        return "AMQPD_PURE is set"
    try:
        import mypyc.build  # noqa: F401
    except ImportError:
        return "mypyc is not installed"
    return ""


def extensions() -> list[Extension]:
    """The extension of the compiled modules; none if this is a plain installation."""
    reason = pure_reason()
    if reason:
        say(f"{reason}: installing without the compiled hot path")
        return []
    from mypyc.build import mypycify

    os.chdir(ROOT)
    paths = [path for path in COMPILED if Path(path).exists()]
    try:
        compiled = mypycify(
            ["--strict", "--follow-imports=silent", "--python-version=3.11", *paths],
            group_name="amqpd",
            opt_level="3",
            debug_level="0",
        )
    except SystemExit:  # how mypyc tells that the sources have errors
        return failed("mypyc refused the sources")
    for extension in compiled:
        # A compiler that knows more warnings than ours is no reason to go without.
        extension.extra_compile_args = [
            argument for argument in extension.extra_compile_args if argument != "-Werror"
        ]
    return compiled


def failed(what: str) -> list[Extension]:
    """Go on without the compiled hot path, or not, if it was demanded."""
    if os.environ.get("AMQPD_PURE") == "0":
        raise SystemExit(f"amqpd: {what}, and AMQPD_PURE=0 demands the compiled hot path")
    say(f"{what}: installing without the compiled hot path (slower, otherwise the same)")
    return []


class BuildIfPossible(build_ext):
    """Builds the extensions, or installs without them where no C compiler works."""

    def run(self) -> None:
        """Build all or none: modules of one group cannot do without each other."""
        try:
            super().run()
        except (BaseError, CompileError, LinkError, OSError) as error:
            for extension in self.extensions:
                Path(self.get_ext_fullpath(extension.name)).unlink(missing_ok=True)
            self.extensions = failed(f"no working C compiler ({str(error)[:100]}…)")


setup(ext_modules=extensions(), cmdclass={"build_ext": BuildIfPossible})
