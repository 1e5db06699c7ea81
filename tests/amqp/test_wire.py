"""Wire: which codec is used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from amqpd.amqp import codec as native
from amqpd.amqp import codec_pure, wire

if TYPE_CHECKING:
    import pytest


def test_the_environment_decides_which_codec_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMQPD_CODEC", "native")
    assert wire.select() is native
    monkeypatch.setenv("AMQPD_CODEC", "pure")
    assert wire.select() is codec_pure
    monkeypatch.delenv("AMQPD_CODEC")
    assert wire.select() is (native if wire.is_compiled(native.__file__) else codec_pure)


def test_only_extensions_are_compiled() -> None:
    assert wire.is_compiled("/x/codec.cpython-311-x86_64-linux-gnu.so")
    assert not wire.is_compiled("/x/codec.py")
    assert not wire.is_compiled(None)
