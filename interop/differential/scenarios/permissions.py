"""Who may do what. Users and rights are those of definitions.json: `reader` may read
everything and own `own-*`, `writer` may write everything and own `own-*`.
"""

from __future__ import annotations

from script import Script, scenario


def prepared(s: Script) -> None:
    """Things of the administrator's."""
    c = s.channel()
    c.queue("q", exclusive=False)
    c.exchange("x")
    c.exchange("y")


@scenario
def configure_refused(s: Script) -> None:
    prepared(s)
    c = s.connect("reader").channel()
    c.queue("new", exclusive=False)
    c.queue("q", exclusive=False)
    c.queue("q", exclusive=False, passive=True)
    c.queue("own-q", exclusive=False)
    c.queue("")
    c.call("queue.delete", queue="q")
    c.call("queue.delete", queue="missing")
    c.exchange("new")
    c.exchange("x", passive=True)
    c.exchange("own-x")
    c.call("exchange.delete", exchange="x")
    c.exchange("amq.direct", "direct", durable=True)


@scenario
def write_refused(s: Script) -> None:
    prepared(s)
    c = s.connect("reader").channel()
    c.publish("q")
    c.read()
    c.publish("k", exchange="x")
    c.read()
    c.publish("k", exchange="missing")
    c.read()
    c.bind("q", "x", "k")
    c.call("queue.unbind", queue="q", exchange="x", routing_key="k")
    c.call("exchange.bind", source="x", destination="y")
    c.exchange("own-x")
    c.call("exchange.bind", source="x", destination="own-x")
    c.publish("k", exchange="own-x", mandatory=True)
    c.read()


@scenario
def read_refused(s: Script) -> None:
    prepared(s)
    c = s.connect("writer").channel()
    c.get("q")
    c.consume("q")
    c.call("queue.purge", queue="q")
    c.queue("q", exclusive=False, passive=True)
    c.queue("own-q", exclusive=False)
    c.bind("own-q", "x", "k")
    c.call("exchange.bind", source="x", destination="y")
    c.publish("own-q")
    c.get("own-q")
    c.get("missing")


@scenario
def dead_letter_rights(s: Script) -> None:
    prepared(s)
    c = s.connect("reader").channel()
    c.queue("own-q", exclusive=False, arguments={"x-dead-letter-exchange": "x"})
    c.queue("own-q", exclusive=False, arguments={"x-dead-letter-exchange": "own-x"})
    c.exchange("own-x", arguments={"alternate-exchange": "x"})
    c.exchange("own-x", arguments={"alternate-exchange": "own-y"})
    c = s.connect("writer").channel()
    c.queue("own-r", exclusive=False, arguments={"x-dead-letter-exchange": "x"})


@scenario
def topic_rights(s: Script) -> None:
    c = s.connect("writer").channel()
    c.queue("own-q", exclusive=False)
    c.publish("a.b", exchange="amq.topic")
    c.publish("b.b", exchange="amq.topic")
    c.read()
    c.bind("own-q", "amq.topic", "a.#")
    c.bind("own-q", "amq.topic", "b.#")
    c.publish("a.b", exchange="amq.topic", headers={"CC": ["b.c"]})
    c.read()


@scenario
def impersonator(s: Script) -> None:
    c = s.connect("imp").channel()
    c.queue()
    c.publish(user_id="guest")
    c.read()
    c.get()


@scenario
def refusals_of_the_unknown(s: Script) -> None:
    c = s.connect("reader").channel()
    c.publish("k", exchange="amq.direct", mandatory=True)
    c.read()
    c.consume("missing")
    c.call("exchange.delete", exchange="missing")
    c.bind("missing", "amq.direct", "k")
