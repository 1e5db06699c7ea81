"""The bill of materials (CycloneDX 1.6) of what `requirements.txt` locks: prints it.

    python conf/sbom.py conf/requirements.txt pyproject.toml

The same input gives the same output, so that a change of it is a change of the packages.
"""

from __future__ import annotations

import json
import re
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

#: `name==version \`, then its hashes, each on a line.
_PACKAGE = re.compile(r"^([A-Za-z0-9._-]+)==(\S+) \\$")


def components(requirements: str) -> Iterator[dict[str, object]]:
    """A component for each locked package."""
    for line in requirements.splitlines():
        package = _PACKAGE.match(line)
        if package:
            name, version = package[1].lower(), package[2]
            purl = f"pkg:pypi/{name}@{version}"
            yield {
                "type": "library",
                "bom-ref": purl,
                "name": name,
                "version": version,
                "purl": purl,
            }


def bill(requirements: str, project: str) -> dict[str, object]:
    """The whole bill."""
    facts = tomllib.loads(project)["project"]
    found = sorted(components(requirements), key=lambda one: str(one["purl"]))
    main = {
        "type": "application",
        "bom-ref": facts["name"],
        "name": facts["name"],
        "description": facts["description"],
        "licenses": [{"license": {"id": facts["license"]}}],
    }
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": main},
        "components": found,
        "dependencies": [{"ref": facts["name"], "dependsOn": [one["bom-ref"] for one in found]}],
    }


def main() -> None:
    """Print the bill."""
    requirements, project = (Path(name).read_text() for name in sys.argv[1:3])
    sys.stdout.write(json.dumps(bill(requirements, project), indent=2) + "\n")


if __name__ == "__main__":
    main()
