"""`python -m tests.fuzz`: fuzzes the decoders, guided by what of the code is reached.

Uses atheris if it is installed (`pip install atheris`), on the sources as plain Python, because
compiled modules tell nothing of what is reached. Inputs that reach something new are added to
the corpus that `--corpus` names; those that find a fault are written to the current directory.
"""

from __future__ import annotations

import argparse
import logging
import shutil
import sys
import tempfile
from pathlib import Path

from tests.faults.mutants import plain_python

CORPUS = Path(__file__).with_name("corpus")


def main() -> None:
    """Run so many inputs."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--corpus", type=Path, help="a folder that new inputs are added to")
    options = parser.parse_args()
    try:
        import atheris  # type: ignore[import-untyped,import-not-found,unused-ignore]  # optional
    except ImportError:
        sys.exit("atheris is not installed; tests/fuzz/test_decoders.py needs nothing")
    plain_python()
    with atheris.instrument_imports(include=["amqpd"]):
        from tests.fuzz.decoders import one_input

    logging.disable(logging.CRITICAL)
    with tempfile.TemporaryDirectory() as scratch:
        found = options.corpus or Path(scratch)
        for path in CORPUS.iterdir():
            shutil.copy(path, scratch)
        arguments = [str(found), scratch, f"-runs={options.inputs}", "-max_len=2048", "-timeout=10"]
        atheris.Setup([sys.argv[0], *arguments], one_input)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
