"""On which line of a file a setting stands."""

from __future__ import annotations

import pytest

from amqpd.config_lines import line_of

TEXT = """\
# port = 1
http.port = 2

[amqp]  # everything about it
port = 1
 "backlog" = 3
frame_max_bytes=4

[ tls ]
certificate = \"\"\"
key = x
[auth]
\"\"\"
key = 'b'
ca = [
"ca = 1",
]
"""


@pytest.mark.parametrize(
    ("section", "key", "line"),
    [
        ("http", "port", 2),
        ("amqp", "port", 5),
        ("amqp", "backlog", 6),
        ("amqp", "frame_max_bytes", 7),
        ("tls", "certificate", 10),
        ("tls", "key", 14),
        ("amqp", "", 4),
        ("tls", "", 9),
        ("http", "", 2),
    ],
)
def test_a_setting_is_found(section: str, key: str, line: int) -> None:
    assert line_of(TEXT, section, key) == line


@pytest.mark.parametrize(("section", "key"), [("tls", "ca"), ("amqp", "prot"), ("store", "")])
def test_one_that_is_not_there_or_not_for_sure_is_on_none(section: str, key: str) -> None:
    assert line_of(TEXT, section, key) == 0


def test_a_section_on_one_line_has_its_settings_there() -> None:
    assert line_of("amqp = { port = 1 }\n", "amqp", "port") == 1
