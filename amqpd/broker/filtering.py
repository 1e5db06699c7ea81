"""Filters: which messages of a stream a consumer wants.

    parse_filter(arguments) -> Filter | None       from the arguments of basic.consume
        .next_run(contents, low, high, most)       the next messages that are wanted
        .effort                                    what that took
    wrong_filter(value) -> what is wrong with it, or None

Unlike RabbitMQ's, which work on whole chunks so that the client has to look again, these are
exact for each message. `x-stream-filter` is a text or several of them, of which the header
`x-stream-filter-value` must be one (or name one, between commas); with a table, as in
LavinMQ, other headers must have these values. `x-filter-match-type` decides whether `all` of
these conditions must hold or `any`; unless it is set, one of several texts is enough.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from amqpd.broker.chunk import UNKNOWN, header_text
from amqpd.broker.content import header_payload
from amqpd.broker.text import term
from amqpd.fields import type_name
from amqpd.properties import decode_header

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from amqpd.fields import Field, Table

FILTER: Final = "x-stream-filter"
UNFILTERED: Final = "x-stream-match-unfiltered"
MATCH_TYPE: Final = "x-filter-match-type"
VALUE: Final = "x-stream-filter-value"
_VALUE_KEY: Final = bytes([len(VALUE)]) + VALUE.encode()
#: LavinMQ's conditions on places; what we do not know must not look as if it worked.
_UNSUPPORTED: Final = frozenset({"geo-within-radius", "geo-bbox", "geo-polygon"})
#: What a look into the headers costs, in microseconds; how many conditions and how many octets
#: of the headers cost one; and what one call of `next_run` may take.
LOOK_COST: Final = 20
CONDITIONS: Final = 4
OCTETS: Final = 40
EFFORT: Final = 2_000


class Filter:
    """What a consumer wants.

    `texts` are asked of the filter value and `headers` of the other headers. All must hold if
    `every`, one if it is False; if it is None, one of the texts and all of the headers.
    `unfiltered`: messages without a filter value are wanted, too.
    """

    def __init__(
        self,
        texts: Sequence[str],
        headers: Sequence[tuple[str, str]],
        every: bool | None = None,
        unfiltered: bool = False,
    ) -> None:
        self.texts = [_parts(text) for text in texts]
        self.headers = headers
        self.every = every
        self.unfiltered = unfiltered
        #: Of the last call of `next_run`, beside the look at each message.
        self.effort = 0
        self._cost = LOOK_COST + (len(texts) + len(headers)) // CONDITIONS
        #: With these alone nothing but the octets of the filter value has to be looked at.
        self._octets = {text.encode() for text in texts if "," not in text}
        self._is_simple = len(self._octets) == len(texts) and not (headers or every)

    def wants(self, content: bytes) -> bool:  # hot: tests/bench/streams.py
        """Whether the consumer wants this message."""
        found = header_text(content, _VALUE_KEY)
        if found is None and self.unfiltered:
            return True
        if self._is_simple:
            if found is None or found in self._octets:
                return found is not None
            if found is not UNKNOWN and b"," not in found:
                return False
        payload = header_payload(content)
        self.effort += self._cost + len(payload) // OCTETS
        return self._wants(decode_header(payload)[2].headers or {})

    def _wants(self, headers: Mapping[str, Field]) -> bool:
        value = headers.get(VALUE)
        if value is None and self.unfiltered:
            return True
        named = set[str]() if value is None else _parts(term(value.value))
        texts = [named >= wanted for wanted in self.texts]
        others = [
            (found := headers.get(name)) is not None and term(found.value) == wanted
            for name, wanted in self.headers
        ]
        if self.every is False:
            return any(texts) or any(others)
        return (all(texts) if self.every or not texts else any(texts)) and all(others)

    def next_run(self, contents: list[bytes], low: int, high: int, most: int) -> tuple[int, int]:
        """The first messages of `contents[low:high]` that follow each other and are wanted.

        At most so many; `(at, at)` if none is below `at`, which is `high` unless that would
        take too long.
        """
        self.effort = 0
        while low < high and not self.wants(contents[low]):
            low += 1
            if self.effort > EFFORT:
                return low, low
        end = min(low + 1, high)
        high = min(high, low + most)
        while end < high and self.effort <= EFFORT and self.wants(contents[end]):
            end += 1
        return low, end


def _parts(text: str) -> set[str]:
    """What is named by a filter value: several, with commas between them, or itself."""
    return {part.strip() for part in text.split(",")} if "," in text else {text}


def parse_filter(arguments: Table) -> Filter | None:
    """What a consumer's arguments, which were checked, ask for; None: everything."""
    value = arguments.get(FILTER)
    if value is None:
        return None
    texts: list[str] = []
    headers: list[tuple[str, str]] = []
    for each in _each(value):
        if isinstance(each.value, dict):
            for name, wanted in each.value.items():
                if name == FILTER:
                    texts.append(term(wanted.value))
                else:
                    headers.append((name, term(wanted.value)))
        else:
            texts.append(term(each.value))
    kind = arguments.get(MATCH_TYPE)
    unfiltered = arguments.get(UNFILTERED)
    return Filter(
        texts,
        headers,
        None if kind is None else str(kind.value).lower() == "all",
        unfiltered is not None and unfiltered.value is True,
    )


def _each(value: Field) -> list[Field]:
    return value.value if isinstance(value.value, list) else [value]


def wrong_filter(value: Field, arguments: Table) -> str | None:
    """What is wrong with `x-stream-filter`: a text, a table, or an array of them is right."""
    for each in _each(value):
        if isinstance(each.value, dict):
            unknown = sorted(_UNSUPPORTED & each.value.keys())
            if unknown:
                return f"\"unsupported stream filter '{unknown[0]}'\""
        elif each.kind != "S":
            return f"{{unacceptable_type,{type_name(each)}}}"
    return None


def wrong_match_type(value: Field, arguments: Table) -> str | None:
    """What is wrong with `x-filter-match-type`."""
    known = value.kind == "S" and str(value.value).lower() in ("all", "any")
    return None if known else "invalid_filter_match_type"
