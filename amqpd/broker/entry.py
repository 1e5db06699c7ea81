"""One entry of a document of definitions, read with care: it comes from anywhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from amqpd.errors import PreconditionFailed
from amqpd.fields import from_json, plain_table

if TYPE_CHECKING:
    from amqpd.fields import Table

NAME_BYTES: Final = 255
_MISSING: Final = object()


class Entry:
    """A dictionary out of a list of a document; every method says what is wrong with it.

    Raises:
        PreconditionFailed: something is missing or of another type.
    """

    def __init__(self, section: str, place: int, values: object, vhost: str | None) -> None:
        self.section = section
        self._place = place
        self._only_vhost = vhost
        if not isinstance(values, Mapping):
            raise PreconditionFailed(f"{section}[{place}]: not an object")
        self._values = values

    @property
    def label(self) -> str:
        """What it is called, for people."""
        values = self._values
        if self.section == "bindings":
            key = values.get("routing_key", "")
            return f"{values.get('source')} -> {values.get('destination')} ({key})"
        if self.section == "topic_permissions":
            return f"{values.get('user')} on {values.get('exchange')}"
        return str(values.get("name", values.get("user", "")))

    def __str__(self) -> str:
        label = self.label
        return f"{self.section}[{self._place}]" + (f" '{label}'" if label else "")

    @property
    def vhost(self) -> str:
        """The vhost it is in."""
        if self._only_vhost is not None:
            return self._only_vhost
        return self.text("vhost")

    def value(self, key: str, default: object = _MISSING) -> object:
        """Whatever is there."""
        found = self._values.get(key, default)
        if found is _MISSING:
            raise PreconditionFailed(f"'{key}' is missing")
        return found

    def text(self, key: str, default: object = _MISSING) -> str:
        """A text."""
        found = self.value(key, default)
        if not isinstance(found, str):
            raise PreconditionFailed(f"'{key}' is not a text")
        return found

    def name(self, key: str) -> str:
        """A text that can be a name."""
        found = self.text(key)
        if not 0 < len(found.encode(errors="surrogatepass")) <= NAME_BYTES:
            raise PreconditionFailed(f"'{key}' is not between 1 and {NAME_BYTES} bytes")
        return found

    def flag(self, key: str, default: bool) -> bool:
        """True or false."""
        found = self.value(key, default)
        if not isinstance(found, bool):
            raise PreconditionFailed(f"'{key}' is not true or false")
        return found

    def mapping(self, key: str, default: Mapping[str, object]) -> Mapping[str, object]:
        """An object; an empty list counts as one, as Erlang writes it."""
        found = self.value(key, default)
        if found in ([], None):
            return default
        if not isinstance(found, Mapping):
            raise PreconditionFailed(f"'{key}' is not an object")
        return found

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of texts, or one text with commas in it."""
        found = self.value(key, [])
        parts = found.split(",") if isinstance(found, str) else found
        if not isinstance(parts, list) or not all(isinstance(one, str) for one in parts):
            raise PreconditionFailed(f"'{key}' is not a list of texts")
        return tuple(dict.fromkeys(one.strip() for one in parts if one.strip()))

    def table(self, key: str) -> Table:
        """An object as a field table."""
        return self.of_json(self.mapping(key, {}))

    def of_json(self, values: Mapping[str, object]) -> Table:
        """A field table of JSON values."""
        try:
            return from_json(values)
        except ValueError as error:
            raise PreconditionFailed(str(error)) from error

    def plain(self, table: Table) -> dict[str, object]:
        """A field table as JSON has it."""
        return dict(plain_table(table))
