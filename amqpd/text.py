"""Texts from elsewhere: what a terminal or a log may be shown of them, and what nobody is told.

    printable(text)     nothing in it steers a terminal; tabs and line breaks stay
    one_line(text)      nor does it begin a line
    as_cell(text)       nor is it a formula of a spreadsheet
    in_json(text)       the same for JSON, which stays what it is
    masked(value)       without the passwords of URIs, however deep

What is made visible are the control characters of ASCII and of Latin-1 (terminals obey U+009B as
they obey ESC [), what ends a line in Unicode, and what turns the order of the letters around.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, TypeVar, cast

TAB: Final = 9
LINE_FEED: Final = 10
_CONTROLS: Final = (*range(32), *range(0x7F, 0xA0))
#: Line and paragraph separator, marks of direction, embeddings and isolates.
_STEERING: Final = (
    0x061C, 0x200E, 0x200F, 0x2028, 0x2029, *range(0x202A, 0x202F), *range(0x2066, 0x206A),
)  # fmt: skip
_SHOWN: Final = {code: f"\\x{code:02x}" for code in _CONTROLS if code != TAB} | {
    code: f"\\u{code:04x}" for code in _STEERING
}
_LINES: Final = {code: shown for code, shown in _SHOWN.items() if code != LINE_FEED}
_ONE_LINE: Final = _SHOWN | {LINE_FEED: "\\n"}
_IN_JSON: Final = {code: f"\\u{code:04x}" for code in (*_CONTROLS, *_STEERING)}
#: Also in full width, and behind what a spreadsheet passes over.
_FORMULA: Final = re.compile(r"\s*[=+\-@\uff0b\uff0d\uff1d\uff20]|[\t\r]")
_NUMBER: Final = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?")
_WORD: Final = re.compile(r"(?<![^\s\"'])[^\s\"']*@")
#: From the user's name to the last @: what is in a password need not be quoted rightly.
_PASSWORD: Final = re.compile(r"(://[^:/?#@]*:).*@", re.DOTALL)

T = TypeVar("T")


def printable(text: str) -> str:
    """A text that may be printed on a terminal."""
    return text.translate(_LINES)


def one_line(text: str) -> str:
    """A text that may be written into a line of a log."""
    return text.translate(_ONE_LINE)


def as_cell(text: str) -> str:
    """A text as a cell of a spreadsheet, which takes none for a formula; numbers stay numbers."""
    if _FORMULA.match(text) and not _NUMBER.fullmatch(text):
        return f"'{text}"
    return text


def in_json(text: str) -> str:
    """JSON without spaces or line breaks between its tokens, as it may be printed."""
    return text.translate(_IN_JSON)


def masked(value: T) -> T:
    """A text, or whatever has texts in it, with *** for each password in a URI."""
    return cast("T", _masked(value))  # the same with other texts in it


def _masked(value: object) -> object:
    match value:
        case str():
            # A word up to its last @, so that nobody looks for one again and again.
            return _WORD.sub(lambda word: _PASSWORD.sub(r"\1***@", word[0], count=1), value)
        case Mapping():
            return {name: _masked(one) for name, one in value.items()}
        case list() | tuple():
            return [_masked(one) for one in value]
        case _:
            return value
