"""`eval`: the few Erlang expressions that client suites and operators' notes send.

There is no Erlang here. What is known is a table of patterns; the answer is printed as the
shell of Erlang would. Everything else is refused with what to use instead.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from amqpd.cli.answer import EX_USAGE
from amqpd.cli.ctl.control import act, set_setting
from amqpd.cli.ctl.refusals import end
from amqpd.cli.ctl.verb import argument, verb
from amqpd.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable

    from amqpd.cli.ctl.verb import Ctl

GROUP: Final = "run time"
#: Keys of the application `rabbit` and the settings they are.
KEYS: Final = {
    "channel_max": "amqp.channel_max",
    "frame_max": "amqp.frame_max_bytes",
    "heartbeat": "amqp.heartbeat_s",
    "loopback_users": "auth.loopback_users",
    "max_message_size": "amqp.max_message_size_bytes",
    "consumer_timeout": "queues.consumer_timeout_ms",
    "vm_memory_high_watermark": "resources.memory_watermark",
    "disk_free_limit": "resources.disk_free_bytes",
}
#: What 0 stands for in RabbitMQ: no limit.
UNLIMITED: Final = {"channel_max": 65_535}


def _alarm(ctl: Ctl, found: re.Match[str]) -> str:
    act(ctl, f"{found['what']}_alarm", resource=found["resource"])
    return "ok"


def _set_env(ctl: Ctl, found: re.Match[str]) -> str:
    key = found["key"]
    if key not in KEYS:
        end(f"eval: '{key}' is no setting here; known are {', '.join(KEYS)}", EX_USAGE)
    value = value_of(found["value"])
    set_setting(ctl, KEYS[key], UNLIMITED.get(key, 0) if value == 0 else value)
    return "ok"


def _get_env(ctl: Ctl, found: re.Match[str]) -> str:
    setting = KEYS.get(found["key"])
    if setting is None:
        return "undefined"
    return f"{{ok,{_term(ctl.remote.get('/config/effective')[setting])}}}"


def _node(ctl: Ctl, _found: re.Match[str]) -> str:
    return f"'{ctl.remote.get('/overview')['node']}'"


def _watermark(ctl: Ctl, _found: re.Match[str]) -> str:
    found = ctl.remote.get("/config/effective")
    absolute = found["resources.memory_watermark_bytes"]
    return f"{{absolute,{absolute}}}" if absolute else str(found["resources.memory_watermark"])


def _cluster_name(ctl: Ctl, _found: re.Match[str]) -> str:
    return f'<<"{ctl.remote.get("/overview")["cluster_name"]}">>'


def _version(ctl: Ctl, _found: re.Match[str]) -> str:
    return f'"{ctl.remote.get("/overview")["rabbitmq_version"]}"'


def _says(text: str) -> Callable[[Ctl, re.Match[str]], str]:
    def answer(ctl: Ctl, _found: re.Match[str]) -> str:
        ctl.remote.get("/overview")
        return text

    return answer


#: Without blanks and without the last full stop.
KNOWN: Final = tuple(
    (re.compile(pattern), answer)
    for pattern, answer in (
        (
            r"rabbit_alarm:(?P<what>set)_alarm\("
            r"\{\{resource_limit,(?P<resource>memory|disk),node\(\)\},\[\]\}\)",
            _alarm,
        ),
        (
            r"rabbit_alarm:(?P<what>clear)_alarm\("
            r"\{resource_limit,(?P<resource>memory|disk),node\(\)\}\)",
            _alarm,
        ),
        (r"application:set_env\(rabbit,(?P<key>\w+),(?P<value>.+)\)", _set_env),
        (r"application:get_env\(rabbit,(?P<key>\w+)\)", _get_env),
        (r"(?:erlang:)?node\(\)", _node),
        (r"(?:erlang:)?nodes\(\)", _says("[]")),
        (r"vm_memory_monitor:get_vm_memory_high_watermark\(\)", _watermark),
        (r"rabbit_nodes:cluster_name\(\)", _cluster_name),
        (r"rabbit_misc:version\(\)", _version),
        (r"rabbit:is_running\(\)", _says("true")),
        (r"rabbit_deprecated_features:is_permitted\(\w+\)", _says("true")),
        (r"rabbit_feature_flags:is_enabled\(\w+\)", _says("true")),
    )
)


@verb("eval", GROUP, argument("expression"))
def evaluate(ctl: Ctl, expression: str) -> None:
    """Answer the expressions that client suites send; there is no Erlang for others."""
    text = re.sub(r"\s+", "", expression).removesuffix(".")
    for pattern, answer in KNOWN:
        found = pattern.fullmatch(text)
        if found is not None:
            ctl.write(printable(answer(ctl, found)))
            return
    end(
        f"eval: amqpd runs no Erlang, and there is no equivalent of {expression!r}; "
        "'amqpd ctl --help' lists the verbs, 'amqpd ctl environment' the settings",
        EX_USAGE,
    )


def value_of(text: str) -> Any:
    """A number, text or list of texts, as Erlang writes it."""
    if text.startswith("["):
        return re.findall(r'"([^"]*)"', text) or re.findall(r"\w+", text)
    found = re.fullmatch(r'<<"(.*)">>|"(.*)"', text)
    if found is not None:
        return found[1] or found[2] or ""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return {"true": True, "false": False, "undefined": 0, "infinity": 0}.get(text, text)


def _term(value: Any) -> str:
    if isinstance(value, list | tuple):
        return f"[{','.join(_term(one) for one in value)}]"
    if isinstance(value, bool):
        return "true" if value else "false"
    return f'<<"{value}">>' if isinstance(value, str) else str(value)
