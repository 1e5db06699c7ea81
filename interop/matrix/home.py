"""Makes a program runnable: its packages by name from the registries, its build in the cache.

What is brought and built stays in a cache outside the repository and is used again until the
program or its entry in clients.toml changes.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import toolchains

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from plan import Client

ROOT = Path(__file__).resolve().parents[1]
#: Commands that everything needs, and those of a language; where each is missing it is installed.
BASE = {"ip": "iproute2", "openssl": "openssl", "unshare": "util-linux"}
TOOLS = {
    "node": {"node": "nodejs", "npm": "npm"},
    "java": {"java": "default-jdk-headless", "mvn": "maven"},
    "go": {"git": "git"},
    "rust": {"cc": "gcc"},
}


class NotRunnable(Exception):
    """The program cannot run here, for a reason that is not the broker's."""


def cache() -> Path:
    """Where everything is kept between runs."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "amqpd-interop"


def prepare(client: Client) -> Path:
    """The program's folder in the cache, ready to run.

    Raises:
        NotRunnable: a package or a tool is not to be had, or the build failed.
    """
    source = ROOT / client.folder
    home = cache() / "matrix" / client.name
    stamp = home / "complete"
    digest = _digest(client, source)
    if stamp.exists() and stamp.read_text(encoding="utf-8") == digest:
        return home
    stamp.unlink(missing_ok=True)
    home.mkdir(parents=True, exist_ok=True)
    log = home / "install.log"
    log.unlink(missing_ok=True)
    tools = TOOLS.get(client.language.lower(), {})
    install([*_without(tools), *client.debian], log)
    _compiler(client.language.lower(), log)
    # Over what is there: compilers start from their earlier work.
    shutil.copytree(source, home / "program", dirs_exist_ok=True)
    if client.python:
        if not (home / "venv/bin/pip").exists():
            call([sys.executable, "-m", "venv", "--clear", str(home / "venv")], home, log)
        pip = [str(home / "venv/bin/python"), "-m", "pip", "install", "-q"]
        call([*pip, "--disable-pip-version-check", *client.python], home, log)
    for command in client.build:
        call(fill(command, home), home / "program", log)
    stamp.write_text(digest, encoding="utf-8")
    return home


def _compiler(language: str, log: Path) -> None:
    try:
        if language == "go":
            toolchains.go(cache(), log, install)
        elif language == "rust":
            toolchains.rust(log, install)
    except subprocess.CalledProcessError as error:
        raise NotRunnable(f"{' '.join(error.cmd)} exited {error.returncode} (see {log})") from error


def base() -> None:
    """What runs the programs, whatever they are.

    Raises:
        NotRunnable: it is missing and cannot be installed.
    """
    cache().mkdir(parents=True, exist_ok=True)
    missing = _without(BASE)
    if not importlib.util.find_spec("ensurepip"):
        missing.append("python3-venv")
    install(missing, cache() / "base.log")
    hosts = Path("/etc/hosts")
    if not hosts.exists() and os.geteuid() == 0:
        # Of a system that was made by hand: clients know their broker as localhost.
        hosts.write_text("127.0.0.1 localhost\n", encoding="utf-8")


def broker() -> str:
    """The command of an amqpd out of this checkout, in an environment of its own."""
    venv = cache() / "broker"
    if not (venv / "bin/amqpd").exists():
        log = cache() / "broker.log"
        call([sys.executable, "-m", "venv", str(venv)], cache(), log)
        call(
            [str(venv / "bin/python"), "-m", "pip", "install", "-q", str(ROOT.parent)], cache(), log
        )
    return str(venv / "bin/amqpd")


def _without(tools: Mapping[str, str]) -> list[str]:
    """The packages of those commands that are not here."""
    return [package for command, package in tools.items() if not shutil.which(command)]


def fill(command: Sequence[str], home: Path) -> list[str]:
    """`{python}` and `{home}` filled in."""
    python = home / "venv/bin/python"
    return [part.replace("{python}", str(python)).replace("{home}", str(home)) for part in command]


def install(packages: Sequence[str], log: Path) -> None:
    """Debian's packages, those that are missing.

    Raises:
        NotRunnable: they are missing and this user may not install them.
    """
    missing = [name for name in packages if not _is_installed(name)]
    if not missing:
        return
    if os.geteuid() or not shutil.which("apt-get"):
        raise NotRunnable(f"please install {' '.join(missing)}")
    # Another installation on this machine is waited for.
    quiet = ["--option=DPkg::Lock::Timeout=600", "-qq", "-y", "--no-install-recommends"]
    call(["apt-get", *quiet, "update"], Path("/"), log)
    os.environ["DEBIAN_FRONTEND"] = "noninteractive"
    call(["apt-get", *quiet, "install", *missing], Path("/"), log)


def call(command: Sequence[str], cwd: Path, log: Path) -> None:
    """One step; its output goes to the log.

    Raises:
        NotRunnable: it failed.
    """
    with log.open("ab") as out:
        out.write(f"$ {' '.join(command)}\n".encode())
        out.flush()
        try:
            code = subprocess.call(command, cwd=cwd, stdin=-3, stdout=out, stderr=out)
        except FileNotFoundError as error:
            raise NotRunnable(f"{command[0]} is not here") from error
    if code:
        tail = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-3:]
        raise NotRunnable(f"{command[0]} exited {code}: {' / '.join(tail)} (see {log})")


def _is_installed(package: str) -> bool:
    query = ["dpkg-query", "-W", "-f", "${db:Status-Status}", package]
    try:
        done = subprocess.run(query, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return False
    return done.stdout == "installed"


def _digest(client: Client, source: Path) -> str:
    found = hashlib.sha256(repr((client.build, client.python, client.debian, sys.version)).encode())
    for path in sorted(source.rglob("*")):
        if path.is_file():
            found.update(str(path.relative_to(source)).encode() + path.read_bytes())
    return found.hexdigest()
