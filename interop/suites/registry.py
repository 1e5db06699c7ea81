"""Brings a suite from its package registry: the registry's ordinary client, the package's
name and a pinned version. What is brought stays in a cache outside the repository.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from catalogue import Suite

HERE = Path(__file__).resolve().parent
#: Another installation on this machine is waited for.
PATIENT = ("--option=DPkg::Lock::Timeout=600",)


class NotRunnable(Exception):
    """The suite cannot run here, for a reason that is not the broker's."""


def cache() -> Path:
    """Where suites and their environments are kept between runs."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "amqpd-interop"


def call(command: Sequence[str | Path], cwd: Path, log: Path) -> None:
    """Run one step of an installation; its output goes to the log."""
    with log.open("ab") as out:
        out.write(f"$ {' '.join(map(str, command))}\n".encode())
        out.flush()
        code = subprocess.call(list(map(str, command)), cwd=cwd, stdout=out, stderr=out)
    if code:
        tail = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-3:]
        raise NotRunnable(f"{command[0]} exited {code}: {' / '.join(tail)} (see {log})")


def prepare(suite: Suite, source: Path | None) -> Path:
    """The suite's folder, ready to run: `tree` is its source, `venv` its Python.

    Raises:
        NotRunnable: the registry does not have it, or has it without its tests.
    """
    if not suite.tests and source is None:
        raise NotRunnable(f"{suite.artefact} {suite.version} in {suite.registry} holds no tests")
    home = cache() / f"{suite.name}-{suite.version}{'-source' if source else ''}"
    stamp = home / "complete"
    wanted = repr((suite.python, suite.node, suite.extras, suite.build, str(source)))
    if stamp.exists() and stamp.read_text(encoding="utf-8") == wanted:
        return home
    shutil.rmtree(home, ignore_errors=True)
    (home / "download").mkdir(parents=True)
    log = home / "install.log"
    _debian_packages(suite, home, log)
    _tree(suite, source, home, log)
    if suite.support:
        shutil.copytree(HERE / "support" / suite.support, home / "tree", dirs_exist_ok=True)
    if suite.registry == "pypi":
        _virtual_environment(suite, source, home, log)
    if suite.node:
        options = ["--ignore-scripts", "--no-audit", "--no-fund", "--prefix", str(home)]
        call(["npm", "install", "--silent", *options, *suite.node], home, log)
    for command in suite.build:
        call(command, home / "tree", log)
    stamp.write_text(wanted, encoding="utf-8")
    return home


def _tree(suite: Suite, source: Path | None, home: Path, log: Path) -> None:
    tree = home / "tree"
    if source is not None:
        shutil.copytree(source, tree, symlinks=True)
        return
    if suite.registry == "maven":
        shutil.copytree(HERE.parent / "java", tree)
        goals = ["package", "dependency:copy-dependencies", "-DoutputDirectory=target/libs"]
        call(["mvn", "-q", "-B", "-DskipTests", *goals], tree, log)
        return
    if suite.registry in ("go", "crate"):
        bring = _from_go if suite.registry == "go" else _from_crates
        bring(suite, home, log)
        return
    brought = {"pypi": _from_pypi, "npm": _from_npm, "debian": _from_debian}.get(suite.registry)
    if brought is None:
        tree.mkdir()
        return
    brought(suite, home, log)
    archives = [
        path for path in (home / "download").iterdir() if path.name.endswith((".tgz", ".gz", ".xz"))
    ]
    # A Debian source may have more parts than the one that is called so.
    archive = min(archives, key=lambda path: (".orig.tar" not in path.name, path.name))
    unpacked = home / "unpacked"
    with tarfile.open(archive) as tar:
        tar.extractall(unpacked, filter="data")
    next(unpacked.iterdir()).rename(tree)


def _from_pypi(suite: Suite, home: Path, log: Path) -> None:
    pin = f"{suite.artefact}=={suite.version}"
    options = ["--no-deps", "--no-binary", suite.artefact, "--dest", str(home / "download")]
    call([sys.executable, "-m", "pip", "download", "-q", *options, pin], home, log)


def _from_npm(suite: Suite, home: Path, log: Path) -> None:
    call(["npm", "pack", "--silent", f"{suite.artefact}@{suite.version}"], home / "download", log)


def _from_go(suite: Suite, home: Path, log: Path) -> None:
    """A module out of Go's cache, where it is read only."""
    pin = f"{suite.artefact}@v{suite.version}"
    call(["go", "mod", "download", pin], home / "download", log)
    cached = subprocess.run(
        ["go", "mod", "download", "-json", pin],
        cwd=home / "download",
        capture_output=True,
        text=True,
        check=True,
    )
    _copy_writable(Path(json.loads(cached.stdout)["Dir"]), home / "tree")


def _from_crates(suite: Suite, home: Path, log: Path) -> None:
    """A crate out of Cargo's cache; an empty package that depends on it brings it there."""
    package = home / "download"
    (package / "src").mkdir()
    (package / "src/lib.rs").touch()
    lines = ["[package]", 'name = "brings"', 'version = "0.0.0"', 'edition = "2021"']
    lines += ["[dependencies]", f'{suite.artefact} = "={suite.version}"', ""]
    (package / "Cargo.toml").write_text("\n".join(lines), encoding="utf-8")
    call(["cargo", "fetch", "--quiet"], package, log)
    cargo = Path(os.environ.get("CARGO_HOME") or Path.home() / ".cargo")
    name = f"{suite.artefact}-{suite.version}"
    _copy_writable(next(cargo.glob(f"registry/src/*/{name}")), home / "tree")


def _copy_writable(source: Path, tree: Path) -> None:
    shutil.copytree(source, tree)
    for path in (tree, *tree.rglob("*")):
        path.chmod(path.stat().st_mode | stat.S_IWUSR)


def _from_debian(suite: Suite, home: Path, log: Path) -> None:
    """A source package, through the machine's own Debian sources with `deb-src` added."""
    parts = home / "sources"
    parts.mkdir()
    for path in Path("/etc/apt/sources.list.d").glob("*.sources"):
        text = path.read_text(encoding="utf-8")
        (parts / path.name).write_text(text.replace("Types: deb\n", "Types: deb-src\n"))
    listed = Path("/etc/apt/sources.list")
    if listed.exists():
        lines = listed.read_text(encoding="utf-8").replace("deb ", "deb-src ")
        (parts / "machine.list").write_text(lines)
    lists = home / "lists"
    (lists / "partial").mkdir(parents=True)
    options = [
        f"--option={name}={value}"
        for name, value in {
            "Dir::Etc::sourcelist": "/dev/null",
            "Dir::Etc::sourceparts": parts,
            "Dir::State::lists": lists,
            "APT::Sandbox::User": "root",
        }.items()
    ]
    call(["apt-get", *options, "-qq", "update"], home, log)
    pin = f"{suite.artefact}={suite.version}"
    wanted = ["--download-only", "--tar-only", pin]
    call(["apt-get", *options, "-qq", "source", *wanted], home / "download", log)


def _debian_packages(suite: Suite, home: Path, log: Path) -> None:
    """Programs of the system that the suite runs; installed when missing and permitted."""
    missing = [
        name
        for name in suite.debian
        if subprocess.call(["dpkg", "-s", name], stdout=subprocess.DEVNULL, stderr=-3)
    ]
    if missing and os.geteuid():
        raise NotRunnable(f"please install {' '.join(missing)}")
    if missing:
        call(["apt-get", *PATIENT, "-qq", "update"], home, log)
        quiet = [*PATIENT, "-qq", "-y", "--no-install-recommends"]
        os.environ["DEBIAN_FRONTEND"] = "noninteractive"
        call(["apt-get", *quiet, "install", *missing], home, log)


def _virtual_environment(suite: Suite, source: Path | None, home: Path, log: Path) -> None:
    venv = home / "venv"
    call([sys.executable, "-m", "venv", venv], home, log)
    # From a source tree the client is the tree's own; from a registry it is the pinned one.
    pin = f"{suite.artefact}{suite.extras}=={suite.version}"
    package = f"{home / 'tree'}{suite.extras}" if source and not suite.tests else pin
    call([venv / "bin/python", "-m", "pip", "install", "-q", package, *suite.python], home, log)
