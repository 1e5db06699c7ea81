"""The web page: files that ship with the package, served as they are.

It is a program in the browser that uses the same API as everybody; nothing here knows what it
shows. Scripts and styles come from here only (`Content-Security-Policy`), so a name that looks
like a script, from whatever client, is never one.
"""

from __future__ import annotations

import hashlib
from importlib.resources import files
from typing import TYPE_CHECKING, Final

from amqpd.management.request import Answer

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

FOLDER: Final = "ui"
INDEX: Final = "index.html"
TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".LICENSE": "text/plain; charset=utf-8",
}
POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    # Asked for again after an upgrade; unchanged files are answered with 304.
    "Cache-Control": "no-cache",
}


class Page:
    """The files, read when they are first asked for."""

    def __init__(self) -> None:
        self._answers: dict[str, tuple[bytes, str, str]] = {}
        self._root = files(__package__) / FOLDER

    def answer(self, path: str, known: str) -> Answer | None:
        """A file by its path below the page; `known` is the version that the browser has.

        None: there is no such file.
        """
        name = path.strip("/") or INDEX
        found = self._answers.get(name)
        if found is None:
            found = self._read(name)
            if found is None:
                return None
            self._answers[name] = found
        octets, kind, tag = found
        headers = {**HEADERS, "ETag": tag}
        if known == tag:
            return Answer(304, headers=headers)
        return Answer(200, octets, kind, headers)

    def _read(self, name: str) -> tuple[bytes, str, str] | None:
        file: Traversable = self._root
        for word in name.split("/"):
            # Names are looked up one by one; no way leads out of the folder.
            file = next((one for one in _children(file) if one.name == word), self._root)
        kind = TYPES.get("." + name.rpartition(".")[2])
        if kind is None or not file.is_file():
            return None
        octets = file.read_bytes()
        return octets, kind, f'"{hashlib.sha256(octets).hexdigest()[:20]}"'


def _children(folder: Traversable) -> list[Traversable]:
    return list(folder.iterdir()) if folder.is_dir() else []
