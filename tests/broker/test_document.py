"""What is in a document of definitions; tests/management/test_definitions.py has whole ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from amqpd.broker.definitions import PutParameter
from amqpd.broker.document import SECTIONS, VHOST_SECTIONS, entries, head
from amqpd.broker.parameters import GLOBAL
from amqpd.broker.restoring import Restoring
from tests.broker.model import Model

if TYPE_CHECKING:
    from collections.abc import Mapping

    from amqpd.broker.document import Entry


def test_what_the_broker_keeps_for_itself_is_not_exported() -> None:
    broker = Model().broker
    broker.change(PutParameter(GLOBAL, "", "internal_cluster_id", '"secret"'))
    broker.change(PutParameter(GLOBAL, "", "mqtt_default_vhosts", '{"a": "/"}'))

    found = list(entries(broker, "global_parameters", None))

    assert found == [{"name": "mqtt_default_vhosts", "value": {"a": "/"}}]


#: One of everything, as a document has it.
WHOLE: dict[str, list[dict[str, object]]] = {
    "vhosts": [{"name": "/"}, {"name": "a", "description": "second", "tags": ["b"]}],
    "users": [{"name": "ann", "password_hash": "aGFzaA==", "limits": {"max-channels": 3}}],
    "permissions": [{"user": "ann", "vhost": "a", "configure": "^c", "write": "^w", "read": "^r"}],
    "topic_permissions": [
        {"user": "ann", "vhost": "a", "exchange": "x", "write": "^t", "read": "^s"}
    ],
    "parameters": [{"component": "vhost-limits", "vhost": "a", "name": "limits", "value": {}}],
    "global_parameters": [{"name": "cluster_name", "value": "shop"}],
    "policies": [{"vhost": "a", "name": "p", "pattern": "^q", "definition": {"expires": 9}}],
    "queues": [{"name": "q", "vhost": "a", "arguments": {"x-max-length": 5}}],
    "exchanges": [{"name": "x", "vhost": "a", "type": "topic"}],
    "bindings": [{"source": "x", "vhost": "a", "destination": "q", "routing_key": "k.#"}],
}


def brought_in(model: Model, document: Mapping[str, object]) -> None:
    """Carry a document out."""
    restoring = Restoring(model.broker, document)
    for _ in restoring.steps():
        pass
    restoring.carry_out()


def sections(model: Model) -> dict[str, list[Entry]]:
    """All entries of a document of the broker."""
    return {name: list(entries(model.broker, name, None)) for name in SECTIONS}


def test_what_is_brought_in_is_in_the_document_and_the_same_again_changes_nothing() -> None:
    first, second = Model(), Model()
    brought_in(first, WHOLE)
    document = sections(first)

    for model in (second, first):
        brought_in(model, document)

    assert sections(second) == document
    assert sections(first) == document
    assert {name: len(found) for name, found in document.items()} == {
        name: len(WHOLE[name]) + (name in ("users", "permissions")) for name in SECTIONS
    }
    assert {"name": "cluster_name", "value": "shop"} in document["global_parameters"]
    assert document["policies"] == [
        {
            "vhost": "a", "name": "p", "pattern": "^q", "apply-to": "all",
            "definition": {"expires": 9}, "priority": 0,
        },
    ]  # fmt: skip


def test_a_document_of_one_vhost_has_nothing_of_another() -> None:
    model = Model()
    brought_in(model, WHOLE)

    found = {name: list(entries(model.broker, name, "/")) for name in VHOST_SECTIONS}

    assert not any(found.values())


def test_queues_of_one_connection_and_what_is_bound_to_them_stay_out() -> None:
    model = Model()
    model.vhost.declare_queue(
        model.access, "mine", passive=False, durable=False, exclusive=True, auto_delete=False,
        arguments={}, owner=model,
    )  # fmt: skip
    model.vhost.bind(model.access, "amq.topic", "mine", "queue", "k", {}, model)

    found = sections(model)

    assert found["queues"] == []
    assert found["bindings"] == []


def test_a_document_of_all_says_of_which_cluster_it_is() -> None:
    model = Model()
    brought_in(model, WHOLE)

    found = head(model.broker, None, "amqpd", "1.0")

    assert found == {
        "rabbit_version": "1.0",
        "rabbitmq_version": "1.0",
        "product_name": "amqpd",
        "product_version": "1.0",
        "rabbitmq_definition_format": "cluster",
        "original_cluster_name": "shop",
        "explanation": "Definitions of cluster 'shop'",
    }


def test_a_document_of_one_vhost_says_of_which() -> None:
    model = Model()
    brought_in(model, WHOLE)

    found = head(model.broker, "a", "amqpd", "1.0")

    assert found["rabbitmq_definition_format"] == "single_virtual_host"
    assert found["original_vhost_name"] == "a"
    assert found["description"] == "second"
    assert found["limits"] == {}
