"""Restoring at the level of the model; tests/management/test_definitions.py has the documents."""

from __future__ import annotations

import pytest

from amqpd.broker.binding import Destination
from amqpd.broker.definitions import DeleteVhost, PutExchange, PutUser
from amqpd.broker.document import CLUSTER, FORMAT, SINGLE_VHOST, entries, head
from amqpd.broker.restoring import FORGOTTEN, Action, Restoring
from amqpd.errors import PreconditionFailed
from tests.broker.model import Model

QUEUE = {"name": "q", "vhost": "/", "durable": True, "arguments": {"x-max-priority": 3}}
FANOUT = {"name": "x", "vhost": "/", "type": "fanout", "durable": True}
BINDING = {"source": "x", "vhost": "/", "destination": "q"}


@pytest.fixture
def model() -> Model:
    return Model()


def planned(model: Model, vhost: str | None = None, /, **document: object) -> Restoring:
    """A document that was read to its end."""
    restoring = Restoring(model.broker, document, vhost)
    for _ in restoring.steps():
        pass
    return restoring


def test_queues_get_a_lane_for_each_priority_when_it_is_carried_out(model: Model) -> None:
    planned(model, queues=[QUEUE]).carry_out()

    lanes = model.vhost.queues["q"].lanes
    assert len({lane.id for lane in lanes if lane.id}) == 4


def test_all_of_it_is_one_entry_of_the_journal(model: Model) -> None:
    restoring = planned(model, exchanges=[FANOUT], queues=[QUEUE], bindings=[BINDING])

    number = restoring.carry_out()

    batch = model.broker.journal.take()
    assert batch is not None
    assert len(batch.defines) >= 3
    assert batch.number == number


def test_a_long_document_is_forgotten_in_steps(model: Model) -> None:
    count = 1000
    document = {"queues": [{**QUEUE, "name": f"q{place}"} for place in range(count)]}
    restoring = planned(model, **document)
    restoring.carry_out()

    steps = sum(1 for _ in restoring.forgetting())

    # The document, the plan, and what there was to do.
    assert steps >= 4 * count // FORGOTTEN
    assert (restoring.changes, document["queues"]) == ([], [])
    assert len(model.vhost.queues) == count


def test_what_is_transient_is_made_and_not_written_down(model: Model) -> None:
    model.commit()
    transient = {**QUEUE, "durable": False, "arguments": {}}
    binding = {**BINDING, "source": "x"}
    planned(
        model, exchanges=[{**FANOUT, "durable": False}], queues=[transient], bindings=[binding]
    ).carry_out()

    assert model.broker.journal.is_empty
    assert "q" in model.vhost.queues
    assert len(model.vhost.exchanges["x"].bindings) == 1


def test_what_others_made_since_it_was_planned_stays(model: Model) -> None:
    restoring = planned(model, exchanges=[FANOUT], queues=[QUEUE], bindings=[BINDING])
    model.queue("q")
    before = model.vhost.queues["q"]
    model.vhost.apply(PutExchange("/", "x", "direct", True, False, False))

    restoring.carry_out()

    assert model.vhost.queues["q"] is before
    assert model.vhost.exchanges["x"].kind == "direct"


def test_what_others_removed_since_it_was_planned_is_left_out(model: Model) -> None:
    planned(model, vhosts=[{"name": "a"}]).carry_out()
    document = {
        "exchanges": [{**FANOUT, "vhost": "a"}],
        "policies": [{"vhost": "a", "name": "p", "pattern": ".*", "definition": {"expires": 1}}],
    }
    restoring = planned(model, **document)
    model.broker.change(DeleteVhost("a"))

    restoring.carry_out()

    assert "a" not in model.broker.vhosts
    assert model.broker.parameters.listing(None, "a") == []


def test_a_binding_whose_end_has_gone_is_left_out(model: Model) -> None:
    planned(model, exchanges=[FANOUT], queues=[QUEUE]).carry_out()
    restoring = planned(model, bindings=[BINDING])
    model.vhost.remove_queue(model.vhost.queues["q"])

    restoring.carry_out()

    assert model.vhost.exchanges["x"].bindings == {}


def test_exchanges_that_keep_messages_hear_of_their_new_bindings(model: Model) -> None:
    kept = {"name": "h", "vhost": "/", "type": "x-recent-history", "durable": True}
    planned(model, exchanges=[kept], queues=[{**QUEUE, "arguments": {}}]).carry_out()
    model.publish(b"before", exchange="h", key="k")

    planned(model, bindings=[{**BINDING, "source": "h"}]).carry_out()

    assert model.vhost.queues["q"].ready == 1


@pytest.mark.parametrize(
    ("version", "algorithm"),
    [
        ("3.5.7", "rabbit_password_hashing_md5"),
        ("3.6.0", "rabbit_password_hashing_sha256"),
        ("4.2.0", "rabbit_password_hashing_sha256"),
        ("", "rabbit_password_hashing_sha256"),
        ("unknown", "rabbit_password_hashing_md5"),
    ],
)
def test_hashes_without_an_algorithm_are_of_the_time_of_the_document(
    model: Model, version: str, algorithm: str
) -> None:
    document = {"rabbit_version": version, "users": [{"name": "a", "password_hash": "eA=="}]}

    planned(model, **document).carry_out()

    user = model.broker.permissions.user("a")
    assert user is not None
    assert user.hashing_algorithm == algorithm


def test_changes_say_what_was_there_before(model: Model) -> None:
    model.broker.apply(PutUser("a", "", "", ("x",)))

    (change,) = planned(model, users=[{"name": "a", "tags": ["y"]}]).changes

    assert change.action is Action.UPDATE
    assert change.before is not None
    assert change.after is not None
    assert (change.before["tags"], change.after["tags"]) == (["x"], ["y"])


def test_a_document_of_one_vhost_ignores_the_sections_of_others(model: Model) -> None:
    restoring = planned(model, "/", users=[{"name": "a"}], queues=[{"name": "q", "durable": True}])

    restoring.carry_out()

    assert model.broker.permissions.user("a") is None
    assert "q" in model.vhost.queues


def test_the_default_queue_type_of_the_vhost_counts(model: Model) -> None:
    planned(model, vhosts=[{"name": "a", "metadata": {"default_queue_type": "quorum"}}]).carry_out()
    planned(model, queues=[{"name": "q", "vhost": "a", "durable": True}]).carry_out()
    planned(model, queues=[{"name": "c", "vhost": "a", "type": "classic"}]).carry_out()

    queues = model.broker.vhosts["a"].queues
    assert [str(one.own.queue_type) for one in queues.values()] == ["quorum", "classic"]


def test_the_head_and_the_entries_of_a_vhost_do_not_name_it(model: Model) -> None:
    planned(model, exchanges=[FANOUT], queues=[QUEUE], bindings=[BINDING]).carry_out()

    (queue,) = entries(model.broker, "queues", "/")
    (binding,) = entries(model.broker, "bindings", "/")

    assert "vhost" not in queue
    assert binding["destination"] == "q"
    assert head(model.broker, "/", "amqpd", "1")["limits"] == {}
    (of_all,) = entries(model.broker, "queues")
    assert of_all["vhost"] == "/"


def test_bindings_of_a_vhost_that_is_new_are_checked_against_the_document(model: Model) -> None:
    document = {
        "vhosts": [{"name": "a"}],
        "exchanges": [{**FANOUT, "vhost": "a"}],
        "bindings": [
            {
                "source": "x",
                "vhost": "a",
                "destination": "amq.topic",
                "destination_type": "exchange",
            },
            {"source": "", "vhost": "a", "destination": "q"},
        ],
    }

    restoring = planned(model, **document)

    actions = [one.action for one in restoring.changes]
    assert actions == [Action.CREATE, Action.CREATE, Action.CREATE, Action.SKIP]
    restoring.carry_out()
    to = Destination("exchange", "amq.topic")
    assert len(model.broker.vhosts["a"].incoming.of(to)) == 1


def test_the_text_says_which_entry_is_wrong(model: Model) -> None:
    with pytest.raises(PreconditionFailed, match=r"^queues\[1\] 'r': there is no vhost 'b'$"):
        planned(model, queues=[QUEUE, {**QUEUE, "name": "r", "vhost": "b"}])


def test_nothing_is_on_disk_before_all_of_it_is(model: Model) -> None:
    model.commit()
    steps = planned(model, exchanges=[FANOUT], queues=[QUEUE], bindings=[BINDING]).carrying_out()
    next(steps)
    next(steps)

    model.publish(b"between", key="q")
    assert model.broker.journal.is_empty

    assert list(steps) == [None]
    batch = model.broker.journal.take()
    assert batch is not None
    assert len(batch.defines) == 3
    assert len(batch.appends) == 1


def test_broken_off_it_does_the_rest_at_once(model: Model) -> None:
    steps = planned(model, exchanges=[FANOUT], queues=[QUEUE], bindings=[BINDING]).carrying_out()
    next(steps)

    steps.close()

    assert len(model.vhost.exchanges["x"].bindings) == 1
    assert model.broker.journal.open is None


def test_a_queue_comes_in_paused_if_it_is_durable(model: Model) -> None:
    paused = {"paused": {"user": "ann", "since_ms": 7}}
    transient = {**QUEUE, "name": "t", "durable": False, "arguments": {}}

    planned(model, queues=[{**QUEUE, **paused}, {**transient, **paused}]).carry_out()

    assert model.vhost.queues["q"].paused is not None
    assert model.vhost.queues["t"].paused is None


@pytest.mark.parametrize(
    ("vhost", "document", "text"),
    [
        (None, {FORMAT: SINGLE_VHOST}, "these are the definitions of a single vhost"),
        ("/", {FORMAT: CLUSTER}, "these are the definitions of a whole broker"),
        (None, {"queues": {}}, "definitions: 'queues' is not a list"),
    ],
)
def test_a_document_of_another_form_is_refused_before_it_is_read(
    model: Model, vhost: str | None, document: dict[str, object], text: str
) -> None:
    with pytest.raises(PreconditionFailed, match=f"^{text}"):
        Restoring(model.broker, document, vhost)


@pytest.mark.parametrize(
    ("document", "text"),
    [
        (
            {"vhosts": [{"name": "a", "metadata": {"default_queue_type": "fast"}}]},
            "vhosts[0] 'a': fast is not a valid queue type",
        ),
        (
            {"permissions": [{"user": "bob", "vhost": "/"}]},
            "permissions[0] 'bob': there is no user 'bob'",
        ),
        (
            {"bindings": [BINDING]},
            "bindings[0] 'x -> q ()': no exchange 'x' in vhost '/'",
        ),
        (
            {"exchanges": [FANOUT], "bindings": [BINDING]},
            "bindings[0] 'x -> q ()': no queue 'q' in vhost '/'",
        ),
        (
            {"exchanges": [FANOUT], "bindings": [{**BINDING, "destination_type": "topic"}]},
            "bindings[0] 'x -> q ()': 'destination_type' is 'topic', not queue or exchange",
        ),
    ],
)
def test_what_leads_nowhere_is_refused_with_its_place(
    model: Model, document: dict[str, object], text: str
) -> None:
    with pytest.raises(PreconditionFailed) as refused:
        planned(model, **document)

    assert refused.value.explanation == text


def test_rights_that_change_are_updates_and_the_same_again_is_the_same(model: Model) -> None:
    right = {"user": "u", "vhost": "/", "configure": "^c", "write": "^w", "read": "^r"}
    topic = {"user": "u", "vhost": "/", "exchange": "x", "write": "^t", "read": "^s"}
    first = planned(model, permissions=[right], topic_permissions=[topic])
    first.carry_out()

    again = planned(model, permissions=[right], topic_permissions=[topic])
    changed = planned(model, topic_permissions=[{**topic, "read": ""}])

    assert [one.action for one in first.changes] == [Action.UPDATE, Action.CREATE]
    assert [one.action for one in again.changes] == [Action.SAME, Action.SAME]
    assert [(one.action, one.before) for one in changed.changes] == [(Action.UPDATE, topic)]


def test_what_there_is_already_stays_as_it_is(model: Model) -> None:
    document = {"exchanges": [FANOUT], "queues": [QUEUE], "bindings": [BINDING]}
    planned(model, **document).carry_out()

    again = planned(model, **document)
    other = planned(
        model,
        exchanges=[{**FANOUT, "type": "topic"}, {**FANOUT, "name": "amq.mine"}],
        queues=[{**QUEUE, "arguments": {}}],
        bindings=[{**BINDING, "source": ""}],
    )

    assert {one.action for one in again.changes} == {Action.SAME}
    assert [one.action for one in other.changes] == [
        Action.KEEP, Action.SKIP, Action.KEEP, Action.SKIP,
    ]  # fmt: skip


def test_the_type_of_a_queue_may_stand_beside_its_arguments(model: Model) -> None:
    planned(model, queues=[{**QUEUE, "arguments": {}, "type": "quorum"}]).carry_out()

    assert model.vhost.queues["q"].arguments.queue_type == "quorum"


def test_a_vhost_gets_no_more_queues_than_its_limit_says(model: Model) -> None:
    limit = {
        "component": "vhost-limits",
        "vhost": "/",
        "name": "limits",
        "value": {"max-queues": 1},
    }
    planned(model, parameters=[limit]).carry_out()
    model.queue("there")

    with pytest.raises(PreconditionFailed, match="would exceed the limit of 1 queue"):
        planned(model, queues=[QUEUE])

    planned(model, queues=[{**QUEUE, "name": "there", "arguments": {}}])


def test_policies_and_parameters_come_with_their_own_checks(model: Model) -> None:
    policy = {"vhost": "/", "name": "p", "pattern": "^q", "definition": {"expires": 1000}}
    planned(model, policies=[policy], global_parameters=[{"name": "g", "value": 1}]).carry_out()

    with pytest.raises(PreconditionFailed, match=r"^policies\[0\] 'p': Validation failed"):
        planned(model, policies=[{**policy, "definition": {"expires": -1}}])

    assert [one.name for one in model.broker.parameters.listing()] == ["g", "p"]


def test_queues_that_another_broker_has_named_are_left_out(model: Model) -> None:
    generated = {**QUEUE, "name": "amq.gen-1", "vhost": "/"}
    bound = {"source": "amq.topic", "vhost": "/", "destination": "amq.gen-1", "routing_key": "a"}

    restoring = planned(model, queues=[generated], bindings=[bound])

    assert [one.action for one in restoring.changes] == [Action.SKIP, Action.SKIP]
