"""A hash that is the same in every process: Python's own differs from start to start."""

from __future__ import annotations

from hashlib import blake2b


def hash_of(*texts: str) -> int:
    """64 bits, well mixed; which text ends where makes a difference."""
    mixed = blake2b(digest_size=8)
    for text in texts:
        octets = text.encode(errors="surrogateescape")
        mixed.update(len(octets).to_bytes(4, "big"))
        mixed.update(octets)
    return int.from_bytes(mixed.digest(), "big")
