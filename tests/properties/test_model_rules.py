"""The model with everything that rules it: policies, limits, leases, exchanges and bindings.

The machine of `test_model` goes on as it is; here policies of users and operators come and go
meanwhile, queues are deleted when nobody uses them, exchanges are bound to each other and
have alternates. What must hold then is worked out by `governance`, which knows nothing of the
broker. And every batch is recorded, replayed into a second store, and compared.
"""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, ClassVar

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule

from amqpd.broker.broker import Broker
from amqpd.broker.deadletter import REJECTED
from amqpd.broker.definitions import DeleteParameter, PutParameter
from amqpd.broker.limits import Limits
from amqpd.broker.names import join
from amqpd.broker.parameters import OPERATOR_POLICY, POLICY, USER_LIMITS, VHOST_LIMITS
from amqpd.broker.record import decode, encode
from amqpd.errors import NotAllowed, PreconditionFailed
from amqpd.properties import Properties
from amqpd.store.memory import MemoryStore
from tests.broker.model import a_table
from tests.broker.visitor import Visitor
from tests.properties.governance import (
    DEFINITIONS,
    EXCHANGES,
    OPERATOR_DEFINITIONS,
    PATTERNS,
    Binding,
    Definition,
    Policy,
    Rules,
)
from tests.properties.test_model import KINDS, Message, Mirror, StrictStore, World, names, rarely

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from amqpd.broker.journal import Batch
    from amqpd.broker.lane import Lane
    from amqpd.broker.queue import Queue
    from amqpd.broker.run import Run
    from amqpd.broker.stretch import Stretch
    from amqpd.store import Post, Snapshot, WriteDone

exchanges = st.sampled_from(sorted(EXCHANGES))
LEASES: dict[str, dict[str, object]] = {
    "lease": {"x-expires": 100},
    "lease dead": {"x-expires": 100, "x-message-ttl": 60, "x-dead-letter-exchange": "chain"},
}


class RecordingStore(StrictStore):
    """Writes down every batch that reaches the disk, in bytes, and replays it."""

    def __init__(self, post: Post) -> None:
        super().__init__(post)
        self.replica = MemoryStore(lambda call: call())

    def open(self) -> Snapshot:
        self.replica.open()
        return super().open()

    def write(self, batch: Batch, done: WriteDone) -> None:
        octets = encode(batch)

        def written(outcome: object) -> None:
            self.replica.write(decode(octets), lambda _: None)
            assert outcome == batch.number
            done(batch.number)

        super().write(batch, written)

    def check_replica(self) -> None:
        mine, theirs = self.replica, self
        assert {lane: rows for lane, rows in mine._rows.items() if rows} == {
            lane: rows for lane, rows in theirs._rows.items() if rows
        }
        assert mine._lanes == theirs._lanes
        assert mine._definitions == theirs._definitions


class GovernedWorld(World):
    """The broker and its mirror, under rules that change."""

    kinds: ClassVar = {**KINDS, **LEASES}
    store: RecordingStore

    def __init__(self) -> None:
        super().__init__()
        self.store = RecordingStore(self.posts.append)
        self.ruling = Rules()
        #: All states of the definitions since the last start, with the journal's number.
        self.noted: list[tuple[int, Rules]] = []
        self.visitors: list[Visitor] = []
        #: When each queue was last used, or its lease begun anew.
        self.used_ms: dict[str, int] = {}
        self.expiration = -1
        self.puts: list[list[str]] = [[]]

    # -- the same as ever, under watch ---------------------------------------------------

    def set_up(self) -> None:
        """Exchanges exist from the first moment on."""
        if "pick" in self.vhost.exchanges:
            return
        for name, (kind, alternate) in EXCHANGES.items():
            self.vhost.declare_exchange(
                self.access,
                name,
                kind,
                passive=False,
                durable=True,
                auto_delete=False,
                internal=False,
                arguments=a_table({"alternate-exchange": alternate} if alternate else {}),
            )

    def enter(self) -> None:
        super().enter()
        self.set_up()

    def note(self) -> None:
        """Definitions have changed."""
        self.noted.append((self.journal.last, self.ruling.copy()))

    def open(self) -> None:
        super().open()
        self.visitors = []

    def mirror(self, queue: Queue, number: int = 0) -> Mirror:
        mirror = super().mirror(queue, number)
        mirror.limit = queue.own.max_length
        return mirror

    @rule(name=names, durable=st.booleans(), kind=st.sampled_from(sorted({**KINDS, **LEASES})))
    def declare_again(self, name: str, durable: bool, kind: str) -> None:
        self.declare(name, durable, kind)

    def declare(self, name: str, durable: bool, kind: str) -> None:
        arguments = self.kinds[kind]
        most = self.ruling.limit(VHOST_LIMITS, "max-queues")
        if name not in self.vhost.queues and most is not None and len(self.mirrors) >= most:
            with pytest.raises(PreconditionFailed, match="queue limit"):
                super().declare(name, durable, kind)
            return
        if name in self.vhost.queues:
            return
        self.ruling.declared[name] = arguments
        super().declare(name, durable, kind)
        self.ruling.bindings.add(("amq.fanout", "queue", name, ""))
        if self.vhost.queues[name].durable:
            self.ruling.durable.add(name)
        self.used_ms[name] = self.now_ms
        self.note()

    @rule(name=names, luck=rarely)
    def delete(self, name: str, luck: int) -> None:
        World.delete(self, name, luck)
        if name in self.ruling.declared and name not in self.vhost.queues:
            self.ruling.drop_queue(name)
            self.note()

    def put(
        self,
        mirror: Mirror,
        put: Callable[[Run, Lane, int, int, int], int],
        run: Run,
        lane: Lane,
        deadline_ms: int,
        low: int = 0,
        high: int = -1,
    ) -> int:
        upto = len(run.contents) if high < 0 else high
        name = mirror.queue.name
        published = run.contents is self.publishing
        times = [self.expiration] if published and self.expiration >= 0 else []
        ttl = self.ruling.effective(name).get("message-ttl")
        times += [] if ttl is None else [int(str(ttl))]
        if published and run.deadlines is not None:
            assert not times
            assert deadline_ms == run.earliest(low, upto)
        else:
            assert deadline_ms == (max(1, self.now_ms + min(times)) if times else 0)
        self.puts[-1] += [name] * (upto - low)
        return super().put(mirror, put, run, lane, deadline_ms, low, high)

    def publish_one(
        self, exchange: str, key: str, count: int, mode: int, priority: int, ttl: int
    ) -> list[Message]:
        self.expiration = ttl
        published = super().publish_one(exchange, key, count, mode, priority, ttl)
        self.expiration = -1
        return published

    def bury(self, queue: Queue, pieces: Sequence[tuple[Lane, Stretch]], reason: str) -> None:
        effective = self.ruling.effective(queue.name)
        self.puts.append([])
        before = self.expiration
        self.expiration = -1
        refusing = {name for name in self.mirrors if self.refuses(name)}
        super().bury(queue, pieces, reason)
        self.expiration = before
        names_ = self.puts.pop()
        exchange = effective.get("dead-letter-exchange")
        if exchange is None:
            assert not names_
            return
        key = effective.get("dead-letter-routing-key")
        if key is None:
            return  # Its own key, which nobody has noted.
        targets = self.ruling.route(str(exchange), str(key)) & self.mirrors.keys()
        assert set(names_) <= self.may_reach(targets)
        if reason == REJECTED and not (targets & refusing) and not self.may_refuse(targets):
            died = sum(piece.hi - piece.lo for _, piece in pieces)
            assert sorted(names_) == sorted(list(targets) * died)

    def may_reach(self, targets: set[str]) -> set[str]:
        """Where a message for these queues may end: some dead letter what they refuse."""
        reached: set[str] = set()
        going = list(targets)
        while going:
            name = going.pop()
            if name in reached:
                continue
            reached.add(name)
            effective = self.ruling.effective(name)
            exchange = effective.get("dead-letter-exchange")
            if exchange is not None and effective.get("overflow") == "reject-publish-dlx":
                key = effective.get("dead-letter-routing-key")
                if key is None:
                    return set(self.mirrors)
                going += self.ruling.route(str(exchange), str(key)) & self.mirrors.keys()
        return reached

    def may_refuse(self, targets: set[str]) -> bool:
        """Whether one of them might, were more messages in it."""
        return any(
            str(self.ruling.effective(name).get("overflow", "")).startswith("reject")
            for name in targets
        )

    def refuses(self, name: str, size: int = 1) -> bool:
        """Whether a queue has no room for one more message."""
        effective = self.ruling.effective(name)
        if not str(effective.get("overflow", "")).startswith("reject"):
            return False
        waiting = self.mirrors[name].waiting()
        most, bytes_ = effective.get("max-length"), effective.get("max-length-bytes")
        used = sum(len(message.body) for message in waiting)
        return (most is not None and len(waiting) + 1 > int(str(most))) or (
            bytes_ is not None and used + size > int(str(bytes_))
        )

    def check_is_long(self, mirror: Mirror) -> None:
        effective = self.ruling.effective(mirror.queue.name)
        most, bytes_ = effective.get("max-length"), effective.get("max-length-bytes")
        waiting = mirror.waiting()
        size = sum(len(message.body) for message in waiting)
        assert (most is not None and len(waiting) > int(str(most))) or (
            bytes_ is not None and size > int(str(bytes_))
        )

    @rule()
    def come_to_rest(self) -> None:
        World.come_to_rest(self)
        self.store.check_replica()
        self.check_second_broker()
        for name, mirror in self.mirrors.items():
            effective = self.ruling.effective(name)
            most = effective.get("max-length")
            if most is not None and not mirror.queue.length.refuses:
                # What waits for its time is not pushed out, though it counts.
                assert len(mirror.waiting()) <= int(str(most)) or not mirror.ready

    # -- rules that change ---------------------------------------------------------------

    def set_parameter(self, component: str, vhost: str, name: str, value: object) -> None:
        self.broker.change(PutParameter(component, vhost, name, json.dumps(value)))

    def watch_leases(self, before: dict[str, dict[str, object]]) -> None:
        """A lease begins anew when what is in force changes."""
        for name, effective in before.items():
            if self.ruling.effective(name) != effective:
                self.used_ms[name] = self.now_ms
        self.note()

    def in_force(self) -> dict[str, dict[str, object]]:
        return {name: self.ruling.effective(name) for name in self.mirrors}

    @rule(
        operator=st.booleans(),
        name=st.sampled_from(["p1", "p2"]),
        pattern=st.sampled_from(PATTERNS),
        which=st.integers(0, len(DEFINITIONS) - 1),
        priority=st.integers(0, 1),
    )
    def put_policy(
        self, operator: bool, name: str, pattern: str, which: int, priority: int
    ) -> None:
        choices = OPERATOR_DEFINITIONS if operator else DEFINITIONS
        definition = choices[which % len(choices)]
        component = OPERATOR_POLICY if operator else POLICY
        value = {
            "pattern": pattern,
            "definition": definition,
            "priority": priority,
            "apply-to": "queues",
        }
        before = self.in_force()
        self.set_parameter(component, "/", name, value)
        self.ruling.policies[component, name] = Policy(pattern, priority, definition)
        self.watch_leases(before)

    @rule(operator=st.booleans(), name=st.sampled_from(["p1", "p2"]))
    def delete_policy(self, operator: bool, name: str) -> None:
        component = OPERATOR_POLICY if operator else POLICY
        if (component, name) in self.ruling.policies:
            before = self.in_force()
            self.broker.change(DeleteParameter(component, "/", name))
            del self.ruling.policies[component, name]
            self.watch_leases(before)

    @rule(user=st.booleans(), most=st.integers(-1, 3), queues=st.booleans())
    def set_limit(self, user: bool, most: int, queues: bool) -> None:
        limit = "max-queues" if queues and not user else "max-connections"
        component, name = (USER_LIMITS, "u") if user else (VHOST_LIMITS, "limits")
        value: Definition = {} if most < 0 else {limit: most}
        self.set_parameter(component, "" if user else "/", name, value)
        self.ruling.limits[component, name] = value
        self.note()

    @rule()
    def declare_one_more(self) -> None:
        """A queue that nobody knows; it goes at once, if it may be there at all."""
        most = self.ruling.limit(VHOST_LIMITS, "max-queues")
        if most is not None and len(self.mirrors) >= most:
            with pytest.raises(PreconditionFailed, match="queue limit"):
                self.declare_in_vhost("d")
        else:
            self.declare_in_vhost("d")
            self.vhost.delete_queue(self.access, "d", if_unused=False, if_empty=False, owner=self)

    def declare_in_vhost(self, name: str) -> None:
        self.vhost.declare_queue(
            self.access,
            name,
            passive=False,
            durable=True,
            exclusive=False,
            auto_delete=False,
            arguments={},
            owner=self,
        )

    @rule()
    def visit(self) -> None:
        limits = [self.ruling.limit(one, "max-connections") for one in (VHOST_LIMITS, USER_LIMITS)]
        most = min((limit for limit in limits if limit is not None), default=None)
        visitor = Visitor()
        if most is not None and len(self.visitors) >= most:
            with pytest.raises(NotAllowed, match="connection limit"):
                self.broker.open_vhost("/", "u", visitor)
        else:
            self.broker.open_vhost("/", "u", visitor)
            self.visitors.append(visitor)

    @rule()
    def leave(self) -> None:
        if self.visitors:
            self.broker.presence.leave(self.visitors.pop())

    # -- routes --------------------------------------------------------------------------

    @rule(source=exchanges, to=st.one_of(names, exchanges), key=names)
    def bind_more(self, source: str, to: str, key: str) -> None:
        self.bind(source, "exchange" if to in EXCHANGES else "queue", to, key)

    def bind(self, source: str, kind: str, to: str, key: str) -> None:
        if kind == "queue" and to not in self.vhost.queues:
            return
        to_kind = "exchange" if kind == "exchange" else "queue"
        self.vhost.bind(self.access, source, to, to_kind, key, {}, self)  # type: ignore[arg-type]
        self.ruling.bindings.add((source, kind, to, key))
        self.note()

    @rule(which=st.integers(0, 20))
    def unbind(self, which: int) -> None:
        ours = sorted(one for one in self.ruling.bindings if one[0] in EXCHANGES)
        if ours:
            source, kind, to, key = ours[which % len(ours)]
            self.vhost.unbind(self.access, source, to, kind, key, {}, self)  # type: ignore[arg-type]
            self.ruling.bindings.discard((source, kind, to, key))
            self.note()

    @rule(
        exchange=st.one_of(st.sampled_from(["", "amq.fanout"]), exchanges),
        key=names,
        mode=st.sampled_from([2, 2, 1]),
        ttl=st.sampled_from([-1, -1, 0, 35]),
    )
    def publish_routed(self, exchange: str, key: str, mode: int, ttl: int) -> None:
        expected = self.ruling.route(exchange, key)
        assert expected <= self.mirrors.keys()
        path = self.vhost.resolve(self.access, exchange, key)
        run = self.new_run(join(exchange, key), 1, Properties(delivery_mode=mode))
        refusing = {name for name in expected if self.refuses(name, run.body_bytes)}
        self.put_by, self.publishing, self.expiration = [], run.contents, ttl
        self.puts = [[]]

        published = self.vhost.publish(path, run, expiration_ms=ttl)

        self.expiration = -1
        assert published.routed == bool(expected)
        assert published.refused == bool(refusing)
        assert {message.body for message in self.put_by} <= {b"%d" % self.bodies}
        assert len(self.put_by) == len(expected - refusing)
        for message in self.put_by:
            if message.stays:
                assert published.entry is not None
                message.number = published.number

    # -- leases --------------------------------------------------------------------------

    @rule(name=names, no_ack=st.booleans())
    def get(self, name: str, no_ack: bool) -> None:
        self.used_ms[name] = self.now_ms
        World.get(self, name, no_ack)

    @rule(which=st.integers(0, 3), luck=rarely)
    def cancel(self, which: int, luck: int) -> None:
        self.see_consumers()
        World.cancel(self, which, luck)

    def see_consumers(self) -> None:
        """A queue with consumers is in use."""
        for name, mirror in self.mirrors.items():
            if mirror.queue.ring:
                self.used_ms[name] = self.now_ms

    @rule(passed_ms=st.sampled_from([1, 20, 60]))
    def tick(self, passed_ms: int) -> None:
        self.now_ms += passed_ms
        self.see_consumers()
        due = {name for name in self.mirrors if self.lease_is_over(name)}
        self.broker.tick(self.now_ms)
        assert due == self.mirrors.keys() - self.vhost.queues.keys()
        for name in due:
            mirror = self.mirrors.pop(name)
            self.settled |= set(mirror.waiting()) | set(mirror.unacked.values())
            self.deleted.add(name)
            self.ruling.drop_queue(name)
            self.note()
        self.broker.dispatch()

    def lease_is_over(self, name: str) -> bool:
        expires = self.ruling.effective(name).get("expires")
        return expires is not None and self.now_ms - self.used_ms[name] >= int(str(expires))

    # -- restarts and replay -------------------------------------------------------------

    def restart(self, **how: bool) -> None:
        safe = self.journal.safe
        possible = [rules.surviving() for number, rules in self.noted if number > safe]
        sure = [rules for number, rules in self.noted if number <= safe]
        possible.append(sure[-1].surviving() if sure else Rules())
        super().restart(**how)
        found = self.observed()
        matching = [rules for rules in possible if self.comparable(rules) == found]
        assert matching, (found, [self.comparable(rules) for rules in possible])
        self.ruling = matching[-1]
        self.noted = [(0, self.ruling.copy())]
        self.used_ms = dict.fromkeys(self.mirrors, self.now_ms)
        for mirror in self.mirrors.values():
            mirror.limit = mirror.queue.own.max_length
        self.store.check_replica()

    @staticmethod
    def comparable(rules: Rules) -> tuple[set[Binding], dict[object, object]]:
        parameters: dict[object, object] = dict(rules.limits.items())
        for key, policy in rules.policies.items():
            parameters[key] = (policy.pattern, policy.priority, policy.definition)
        return rules.bindings, parameters

    def observed(self) -> tuple[set[Binding], dict[object, object]]:
        """The same from the broker."""
        bindings: set[Binding] = {
            (one.source, one.destination.kind, one.destination.name, one.routing_key)
            for one in self.vhost.incoming
        }
        parameters: dict[object, object] = {}
        for one in self.broker.parameters.listing():
            value = json.loads(one.value)
            if one.component in (POLICY, OPERATOR_POLICY):
                value = (value["pattern"], value["priority"], value["definition"])
            parameters[one.component, one.name] = value
        return bindings, parameters

    def check_second_broker(self) -> None:
        """A broker made from what was recorded has the same definitions and counts."""
        snapshot = copy.deepcopy(self.store.replica).open()
        second = Broker(
            limits=Limits(),
            refill=lambda *_: None,
            new_token=self.token,
            now_ms=self.now_ms,
        )
        second.recover(snapshot.commands, snapshot.lanes)
        theirs = second.vhosts["/"]
        durable = {name: one for name, one in self.vhost.queues.items() if one.durable}
        assert theirs.queues.keys() == durable.keys()
        for name, queue in durable.items():
            other = theirs.queues[name]
            assert other.arguments == queue.arguments
            assert [lane.id for lane in other.lanes] == [lane.id for lane in queue.lanes]
            mirror = self.mirrors[name]
            stays = [
                message
                for held in (mirror.ready, mirror.unacked, mirror.delayed)
                for message in held.values()
                if message.stays
            ]
            # What is due by now is still on disk as delayed.
            assert other.ready + other.delayed == len(stays)
        ours = {one for one in self.vhost.incoming if one.destination.name not in self.loose()}
        assert set(theirs.incoming) == ours
        assert second.parameters.listing() == self.broker.parameters.listing()

    def loose(self) -> set[str]:
        """Queues that are not durable."""
        return {name for name, one in self.vhost.queues.items() if not one.durable}

    @invariant()
    def rules_are_in_force(self) -> None:
        for name, mirror in getattr(self, "mirrors", {}).items():
            effective = self.ruling.effective(name)
            arguments = mirror.queue.arguments
            assert arguments.message_ttl_ms == effective.get("message-ttl")
            assert arguments.max_length == effective.get("max-length")
            assert arguments.max_length_bytes == effective.get("max-length-bytes")
            assert arguments.expires_ms == effective.get("expires")
            assert arguments.dead_letter_exchange == effective.get("dead-letter-exchange")
            assert arguments.overflow == effective.get("overflow", "drop-head")


TestGovernedModel = GovernedWorld.TestCase
TestGovernedModel.settings = settings(
    max_examples=300,
    stateful_step_count=40,
    deadline=None,
    report_multiple_bugs=False,
    phases=[p for p in Phase if p is not Phase.explain],
)
