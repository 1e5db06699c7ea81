"""The store's commands as a person uses them, beside a running broker and without one."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING

from click.testing import CliRunner

from amqpd.cli.main import group
from tests.client import Client
from tests.server.running import Program
from tests.store.test_check import a_store, flip

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result


def amqpd(*arguments: object) -> Result:
    return CliRunner().invoke(group, [str(one) for one in arguments])


def test_a_backup_under_load_has_all_that_was_confirmed_before_and_all_definitions(
    tmp_path: Path,
) -> None:
    copy, stop = tmp_path / "copy.db", threading.Event()

    def go_on() -> None:
        while not stop.is_set():
            channel.publish("", "q", b"later", persistent=True)
            channel.wait_confirms()

    with Program(tmp_path / "data") as program, Client(program.wait_ready().port) as client:
        channel = client.channel()
        channel.declare_queue("q", durable=True)
        channel.declare_exchange("e", "topic", durable=True)
        channel.bind("q", "e", "a.#")
        channel.select_confirms()
        for number in range(200):
            channel.publish("e", "a.b", b"%d" % number, persistent=True)
        channel.wait_confirms()
        load = threading.Thread(target=go_on)
        load.start()
        made = amqpd("backup", copy, "--data-dir", tmp_path / "data")
        looked = amqpd("check", "--data-dir", tmp_path / "data")
        stop.set()
        load.join()
        assert program.stop() == 0
    assert made.exit_code == 0, made.output
    assert looked.exit_code == 0, looked.output

    put_back = amqpd("restore", copy, "--data-dir", tmp_path / "new")

    assert put_back.exit_code == 0, put_back.output
    with Program(tmp_path / "new") as program, Client(program.wait_ready().port) as client:
        channel = client.channel()
        first = [channel.get("q", no_ack=True) for _ in range(200)]
        assert [one.body for one in first if one] == [b"%d" % number for number in range(200)]
        channel.publish("e", "a.c", b"routed")
        last = None
        while delivery := channel.get("q", no_ack=True):
            last = delivery.body
        assert last == b"routed"


def test_what_is_damaged_is_named_and_can_be_saved(tmp_path: Path) -> None:
    path = a_store(tmp_path / "data")
    flip(path, b"00000123xxx")

    found = amqpd("check", "--data-dir", tmp_path / "data")
    saved = amqpd("salvage", tmp_path / "saved.db", "--data-dir", tmp_path / "data")

    assert found.exit_code == 65
    assert "queue 'orders' in vhost '/': position 123" in found.output
    assert "1 findings; 'amqpd salvage'" in found.output
    assert saved.exit_code == 0, saved.output
    assert "300 message" in saved.output
    looked = amqpd("check", "--file", tmp_path / "saved.db")
    assert looked.exit_code == 65
    backed_up = amqpd("backup", tmp_path / "copy.db", "--data-dir", tmp_path / "data")
    assert backed_up.exit_code == 65
    assert "the copy is as the store is" in backed_up.output


def test_nothing_is_replaced_that_nobody_has_asked_to_replace(tmp_path: Path) -> None:
    a_store(tmp_path / "data")
    copy = tmp_path / "copy.db"
    assert amqpd("backup", copy, "--data-dir", tmp_path / "data").exit_code == 0

    again = amqpd("backup", copy, "--data-dir", tmp_path / "data")
    restored = amqpd("restore", copy, "--data-dir", tmp_path / "data")
    saved = amqpd("salvage", copy, "--data-dir", tmp_path / "data")

    assert {again.exit_code, restored.exit_code, saved.exit_code} == {65}
    assert amqpd("backup", copy, "--overwrite", "--data-dir", tmp_path / "data").exit_code == 0
    replaced = amqpd("restore", copy, "--replace", "--data-dir", tmp_path / "data")
    assert replaced.exit_code == 0


def test_a_data_directory_in_use_is_not_restored_into(tmp_path: Path) -> None:
    a_store(tmp_path / "other")
    copy = tmp_path / "copy.db"
    assert amqpd("backup", copy, "--data-dir", tmp_path / "other").exit_code == 0
    with Program(tmp_path / "data") as program:
        program.wait_ready()

        restored = amqpd("restore", copy, "--replace", "--data-dir", tmp_path / "data")

        assert restored.exit_code == 75
        assert "in use" in restored.output
        assert amqpd("check", "--data-dir", tmp_path / "none").exit_code == 66


def test_programs_get_json(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    with Program(folder).wait_ready() as broker:
        broker.stop()
    runner = CliRunner()

    def ask(*arguments: str) -> dict[str, object]:
        result = runner.invoke(group, [*arguments, "--json", "--data-dir", str(folder)])
        assert result.exit_code == 0, (result.output, result.exception)
        found: dict[str, object] = json.loads(result.stdout)
        return found

    assert ask("check")["findings"] == []
    made = ask("backup", str(tmp_path / "copy"))
    assert made == {"file": str(tmp_path / "copy"), "bytes": made["bytes"], "checked": True}
    assert ask("audit", "verify")["error"] is None
    assert ask("config", "check")["not_defaults"] == {"store.path": "command line"}
