"""What is in a document of definitions; tests/management/test_definitions.py has whole ones."""

from __future__ import annotations

from amqpd.broker.definitions import PutParameter
from amqpd.broker.document import entries
from amqpd.broker.parameters import GLOBAL
from tests.broker.model import Model


def test_what_the_broker_keeps_for_itself_is_not_exported() -> None:
    broker = Model().broker
    broker.change(PutParameter(GLOBAL, "", "internal_cluster_id", '"secret"'))
    broker.change(PutParameter(GLOBAL, "", "mqtt_default_vhosts", '{"a": "/"}'))

    found = list(entries(broker, "global_parameters", None))

    assert found == [{"name": "mqtt_default_vhosts", "value": {"a": "/"}}]
