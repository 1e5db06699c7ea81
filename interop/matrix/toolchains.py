"""Compilers that are newer than the distribution's, from the registries all the same."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import stat
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

#: What the programs' libraries ask for.
GO = (1, 22)
RUST = (1, 88)
#: The Go that is brought: Go's proxy has its releases as modules.
GO_MODULE = "golang.org/toolchain@v0.0.1-go1.24.6.linux-{machine}"
MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}


def go(cache: Path, log: Path, install: Callable[[Sequence[str], Path], None]) -> None:
    """A `go` that is new enough is found in PATH: the one that is here, or one out of its proxy.

    Raises:
        subprocess.CalledProcessError: the proxy does not give it.
    """
    if _version("go", "version") >= GO:
        return
    home = cache / "go"
    if not (home / "bin/go").exists():
        install(["golang-go"], log)
        module = GO_MODULE.format(machine=MACHINES.get(platform.machine(), platform.machine()))
        with log.open("ab") as errors:
            brought = subprocess.run(
                ["go", "mod", "download", "-json", module],
                cwd=cache,
                stdout=subprocess.PIPE,
                stderr=errors,
                check=True,
            )
        part = cache / "go.part"
        shutil.rmtree(part, ignore_errors=True)
        shutil.copytree(json.loads(brought.stdout)["Dir"], part)
        for path in (part, *part.rglob("*")):
            path.chmod(path.stat().st_mode | stat.S_IWUSR)
        # A module's files are not executable.
        for path in (*part.glob("bin/*"), *part.glob("pkg/tool/*/*")):
            path.chmod(0o755)
        part.rename(home)
    os.environ["PATH"] = f"{home / 'bin'}:{os.environ['PATH']}"


def rust(log: Path, install: Callable[[Sequence[str], Path], None]) -> None:
    """A `cargo` that is new enough: the one that is here, or Debian's, which has two of them."""
    if _version("cargo", "--version") >= RUST:
        return
    # What Debian keeps up to date for browsers, beside the release's own.
    browsers = subprocess.run(
        ["apt-cache", "show", "cargo-web"], capture_output=True, check=False
    ).returncode
    install(["cargo" if browsers else "cargo-web"], log)


def _version(*command: str) -> tuple[int, ...]:
    """The first two numbers of what it says; nothing where it is not here."""
    if not shutil.which(command[0]):
        return ()
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.search(r"(\d+)\.(\d+)", said)
    return tuple(map(int, found.groups())) if found else ()
