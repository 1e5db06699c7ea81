"""Sessions: what the settings mean to the broker."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from amqpd import config
from amqpd.broker.interceptors import Interceptors, Stamp
from amqpd.broker.limits import Limits
from amqpd.server.sessions import limits

if TYPE_CHECKING:
    from pathlib import Path


def of(tmp_path: Path, text: str) -> Limits:
    """The limits that a file sets."""
    file = tmp_path / "amqpd.toml"
    file.write_text(text)
    return limits(config.load(file, {}, {}).settings)


def test_without_settings_the_limits_are_the_brokers_own(tmp_path: Path) -> None:
    found = of(tmp_path, "")

    assert found.interceptors.name.startswith("rabbit@")
    assert replace(found, interceptors=Interceptors()) == Limits()


def test_each_setting_of_queues_and_dead_letters_reaches_the_broker(tmp_path: Path) -> None:
    found = of(
        tmp_path,
        """
        [amqp]
        stamp_time = "keep"
        stamp_node = "overwrite"
        [node]
        name = "n@h"
        [queues]
        relaxed_redeclaration = true
        delivery_count_header = "always"
        consumer_timeout_ms = 0
        consumer_timeout_mode = "close_channel"
        default_type = "quorum"
        transient_nonexclusive = false
        max_queues = 7
        max_exchanges = 8
        max_topic_wildcards = 0
        [dead_letter]
        trust_client_x_death = false
        """,
    )

    assert found == Limits(
        always_counted=True,
        consumer_timeout_ms=0,
        timeout_closes=True,
        default_queue_type="quorum",
        transient_nonexclusive=False,
        max_queues=7,
        max_exchanges=8,
        max_topic_hash_wildcards=0,
        trusts_deaths=False,
        relaxed_redeclaration=True,
        interceptors=Interceptors(Stamp.KEEP, Stamp.OVERWRITE, "n@h"),
    )
