"""The journal in bytes: one record per batch, to keep in a file or to send to another node.

    encode(batch) -> bytes          decode(octets) -> Batch

A record is a version, the batch's number and its operations in the order in which they are
applied. Whoever applies the records of a broker one after the other has an equal model:
the same definitions, and the same messages at the same positions. Numbers are big-endian,
texts and tables are those of AMQP; a record of an unknown version is refused whole.

Messages that were settled before the batch was taken are not in it.
"""

from __future__ import annotations

import struct
from dataclasses import fields
from typing import TYPE_CHECKING, Final, TypeVar

from amqpd.broker import definitions
from amqpd.broker.chunk import Extension, StreamLane, stamp
from amqpd.broker.content import body, build, header_payload, is_sealed, unseal
from amqpd.broker.journal import Batch, Drop, Mark, Purge, PurgeDelayed, Track
from amqpd.broker.lane import Lane
from amqpd.broker.run import Append, Requeue, Run, Settle, SettleLog, Target
from amqpd.fields import Field, decode_table, encode_table, wrap

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from amqpd.broker.definitions import Command
    from amqpd.broker.delivery import Taken

T = TypeVar("T")

VERSION: Final = 3

_HEAD: Final = struct.Struct(">BQ")
_COUNT: Final = struct.Struct(">I")
_LANE: Final = struct.Struct(">Qqqq??")  # lane, base, deadline, priority, transient, early
#: First id, messages, persistent, shared, lanes, streams; whether each has its own deadline.
_APPEND: Final = struct.Struct(">QI??II?")
_DEADLINE: Final = struct.Struct(">q")
#: Lane, base, time, segment, size before; whether the contents have their offsets in them.
_STREAM: Final = struct.Struct(">QQQQQ?")
_TRACK: Final = struct.Struct(">Qq")  # lane, offset; the name follows
_REQUEUE: Final = struct.Struct(">QQQQQQ")  # lane, from, to, acquired, failed, due
#: Lane, from, to, first id, bytes, shared, transient, counted.
_SETTLE: Final = struct.Struct(">QQQqQ???")
_PURGE: Final = struct.Struct(">QQQQQ")
_PURGE_DELAYED: Final = struct.Struct(">QQqq")  # lane, upto, after: due, position
_PAIR: Final = struct.Struct(">QQ")

#: Commands by name; a record names them, so that their order here means nothing.
_COMMANDS: Final[Mapping[str, Callable[..., Command]]] = {
    kind.__name__: kind for kind in definitions.Command.__args__
}


class RecordError(ValueError):
    """The octets are no record of a version that this broker knows."""


class _Nobody:
    """The owner of lanes that stand for those of another broker."""

    def wake(self) -> None:
        """Nothing waits here."""

    def settled(self, taken: Taken) -> None:
        """Nothing is handed out here."""

    def given_back(self, taken: Taken) -> None:
        """Nothing is handed out here."""


# -- out ---------------------------------------------------------------------------------


def encode(batch: Batch) -> bytes:
    """One batch as a record."""
    out = [_HEAD.pack(VERSION, batch.number)]
    _put(out, [_command(command) for command in batch.defines])
    _put(out, [_append(append) for append in batch.appends])
    _put(
        out,
        [_PURGE_DELAYED.pack(one.lane, one.upto, *one.after) for one in batch.delayed_purges],
    )
    _put(
        out,
        [
            _REQUEUE.pack(one.lane, one.lo, one.hi, one.acquired, one.failed, one.due_ms)
            for one in batch.requeues
        ],
    )
    _put(out, [_settle(settle) for settle in batch.settles])
    _put(
        out,
        [
            _PURGE.pack(one.lane, one.low, one.high, one.messages, one.body_bytes)
            for one in batch.purges
        ],
    )
    _put(out, [struct.pack(f">{len(one.lanes)}Q", *one.lanes) for one in batch.drops])
    _put(out, [_PAIR.pack(one.lane, one.upto) for one in batch.marks])
    _put(out, [_TRACK.pack(one.lane, one.offset) + one.name.encode() for one in batch.tracks])
    return b"".join(out)


def _put(out: list[bytes], pieces: list[bytes]) -> None:
    out.append(_COUNT.pack(len(pieces)))
    for piece in pieces:
        out += _COUNT.pack(len(piece)), piece


def _command(command: Command) -> bytes:
    table = {"": wrap(type(command).__name__)}
    for one in fields(command):
        value = getattr(command, one.name)
        is_table = isinstance(value, dict)
        table[one.name] = Field("F", value) if is_table else wrap(_plain(value))
    return encode_table(table)


def _plain(value: object) -> str | bool | list[str | int] | None:
    if isinstance(value, tuple):
        return list(value)
    assert value is None or isinstance(value, str | bool)
    return value


def _append(append: Append) -> bytes:
    run = append.run
    out = [
        _APPEND.pack(
            run.first_id,
            len(run.contents),
            run.persistent,
            run.shared,
            len(append.targets),
            len(append.extensions),
            run.deadlines is not None,
        )
    ]
    for target in append.targets:
        out.append(
            _LANE.pack(
                target.lane,
                target.base,
                target.deadline_ms,
                target.priority,
                target.transient,
                target.early,
            )
        )
        out.append(bytes(_is_left_out(target, index) for index in range(len(run.contents))))
    out += [
        _STREAM.pack(
            one.lane, one.base, one.stored_ms, one.segment, one.size_before, one.run is run
        )
        for one in append.extensions
    ]
    out += [_DEADLINE.pack(deadline_ms) for deadline_ms in run.deadlines or ()]
    for index, content in enumerate(run.kept(0, len(run.contents))):
        names = run.names_of(index)
        out += _COUNT.pack(len(names)), names, _COUNT.pack(len(content)), content
    return b"".join(out)


def _is_left_out(target: Target, index: int) -> bool:
    if not target.lo <= index < target.hi:
        return True
    return target.dead is not None and bool(target.dead[index])


def _settle(settle: Settle) -> bytes:
    return _SETTLE.pack(
        settle.lane,
        settle.lo,
        settle.hi,
        settle.first_id,
        settle.body_bytes,
        settle.shared,
        settle.transient,
        settle.counted,
    )


# -- in ----------------------------------------------------------------------------------


def decode(octets: bytes) -> Batch:
    """A batch that does what the recorded one did.

    Raises:
        RecordError: another version, or cut short.
    """
    try:
        version, number = _HEAD.unpack_from(octets)
        if version != VERSION:
            raise RecordError(f"record of version {version}: this broker knows {VERSION}")
        reader = _Reader(octets, _HEAD.size)
        log = SettleLog()
        return Batch(
            number,
            defines=reader.pieces(_read_command),
            appends=reader.pieces(lambda piece: _read_append(piece, log, number)),
            delayed_purges=reader.pieces(_read_purge_delayed),
            requeues=reader.pieces(lambda piece: Requeue(*_REQUEUE.unpack(piece))),
            settles=reader.pieces(_read_settle),
            purges=reader.pieces(lambda piece: Purge(*_PURGE.unpack(piece))),
            drops=reader.pieces(_read_drop),
            marks=reader.pieces(lambda piece: _read_mark(piece, log)),
            tracks=reader.pieces(_read_track),
        )
    except (struct.error, IndexError, KeyError) as error:
        raise RecordError(f"record cut short or damaged: {error}") from error


class _Reader:
    """Pieces with their sizes before them, one after the other."""

    def __init__(self, octets: bytes, at: int) -> None:
        self._octets = octets
        self._at = at

    def piece(self) -> bytes:
        (size,) = _COUNT.unpack_from(self._octets, self._at)
        start = self._at + _COUNT.size
        self._at = start + size
        if self._at > len(self._octets):
            raise RecordError(f"record cut short: {size} bytes announced at {start}")
        return self._octets[start : self._at]

    def pieces(self, read: Callable[[bytes], T]) -> list[T]:
        (count,) = _COUNT.unpack_from(self._octets, self._at)
        self._at += _COUNT.size
        return [read(self.piece()) for _ in range(count)]


def _read_command(piece: bytes) -> Command:
    table, _ = decode_table(piece)
    kind = _COMMANDS[str(table.pop("").value)]
    return kind(**{name: _value(field) for name, field in table.items()})


def _value(field: Field) -> object:
    if isinstance(field.value, list):
        return tuple(one.value for one in field.value)
    return field.value


def _read_append(piece: bytes, log: SettleLog, number: int) -> Append:
    first_id, count, persistent, shared, lanes, streams, dated = _APPEND.unpack_from(piece)
    at = _APPEND.size
    heads: list[tuple[tuple[int, int, int, int, bool, bool], bytes]] = []
    for _ in range(lanes):
        head = _LANE.unpack_from(piece, at)
        at += _LANE.size
        heads.append((head, piece[at : at + count]))
        at += count
    extensions = [_STREAM.unpack_from(piece, at + n * _STREAM.size) for n in range(streams)]
    at += streams * _STREAM.size
    deadlines = [
        _DEADLINE.unpack_from(piece, at + n * _DEADLINE.size)[0] for n in range(count * dated)
    ]
    reader = _Reader(piece, at + len(deadlines) * _DEADLINE.size)
    names, contents = [], []
    for _ in range(count):
        names.append(reader.piece())
        contents.append(reader.piece())
    channel = int.from_bytes(contents[0][1:3])
    blind = b""
    if is_sealed(header_payload(contents[0])):
        header, blind = unseal(header_payload(contents[0]))
        contents = [build(channel, header, body(contents[0]))]
    size = sum(map(len, contents))
    run = Run(contents, names[0], names, persistent, channel, size)
    run.first_id, run.shared, run.blind = first_id, shared, blind
    run.deadlines = deadlines if dated else None
    append = Append(run, number)
    for (lane, base, deadline_ms, priority, transient, early), gone in heads:
        home = Lane(_Nobody(), log, lane, priority, not transient)
        target = Target(home, run, base, deadline_ms)
        target.transient, target.early = transient, early
        if any(gone):
            target.dead = bytearray(gone)
        append.targets.append(target)
    for lane, base, stored_ms, segment, size_before, is_stamped in extensions:
        stream = StreamLane(_Nobody(), log, lane)
        stamped = run if is_stamped else stamp(run, base)
        append.extensions.append(Extension(stream, stamped, base, stored_ms, segment, size_before))
    return append


def _read_settle(piece: bytes) -> Settle:
    lane, low, high, first_id, size, shared, transient, counted = _SETTLE.unpack(piece)
    return Settle(lane, low, high, first_id, shared, size, transient, counted)


def _read_purge_delayed(piece: bytes) -> PurgeDelayed:
    lane, upto, due_ms, position = _PURGE_DELAYED.unpack(piece)
    return PurgeDelayed(lane, upto, (due_ms, position))


def _read_drop(piece: bytes) -> Drop:
    return Drop(struct.unpack(f">{len(piece) // 8}Q", piece))


def _read_track(piece: bytes) -> Track:
    lane, offset = _TRACK.unpack_from(piece)
    return Track(lane, piece[_TRACK.size :].decode(), offset)


def _read_mark(piece: bytes, log: SettleLog) -> Mark:
    lane, upto = _PAIR.unpack(piece)
    return Mark(lane, upto, Lane(_Nobody(), log, lane, 0, True))
