"""`amqpd examples`: command lines to copy, by what they are about."""

from __future__ import annotations

from typing import Final, NamedTuple

import click

from amqpd.cli.answer import EX_DATA, answers, fail, wants_json
from amqpd.cli.answer import answer as give
from amqpd.cli.reach import near
from amqpd.text import printable


class Example(NamedTuple):
    """A command line, and what it is for."""

    what: str
    line: str


#: What they are about, and the examples; a test reads every line with the commands it calls.
EXAMPLES: Final[dict[str, tuple[Example, ...]]] = {
    "publish": (
        Example("one message", "amqpd publish --queue orders '{\"id\": 1}'"),
        Example(
            "numbered ones, ten a second",
            "amqpd publish -q orders 'order {count}' --template -n 100 --rate 10",
        ),
        Example("to an exchange", "amqpd publish -x events -k order.paid hello -H shop=12"),
        Example("each line of a file", "amqpd publish -q orders --lines < orders.txt"),
        Example(
            "what `consume --json` wrote, as it was", "amqpd publish -q orders --jsonl saved.jsonl"
        ),
    ),
    "consume": (
        Example("look, and give everything back", "amqpd consume orders"),
        Example("take five and end", "amqpd consume orders --ack -n 5"),
        Example("through another program", "amqpd consume orders --ack --pipe 'jq .id'"),
        Example("into a file", "amqpd consume orders --ack --wait 1 --json > saved.jsonl"),
    ),
    "peek": (
        Example("the first ten", "amqpd peek orders"),
        Example("the last one", "amqpd peek orders --last 1"),
        Example("those with a word in them", "amqpd peek orders --search 4711"),
    ),
    "queues": (
        Example("the longest first", "amqpd queues --sort ready"),
        Example("the largest first", "amqpd queues --sort bytes --columns queue,ready,bytes"),
        Example("for a spreadsheet", "amqpd queues --csv > queues.csv"),
        Example("why one does not move", "amqpd queue show orders"),
        Example("hold its consumers back", "amqpd queue pause orders"),
        Example("make one", "amqpd queue declare orders --type quorum"),
        Example("empty one in a script", "amqpd queue purge orders --yes"),
    ),
    "routing": (
        Example("make an exchange", "amqpd exchange declare events --type topic"),
        Example("lead it to a queue", "amqpd binding add events orders --key 'order.#'"),
        Example("what leaves it", "amqpd exchange show events"),
        Example("take a binding away", "amqpd binding delete events orders --key 'order.#'"),
    ),
    "users": (
        Example(
            "one with rights", "amqpd user add shop --generate-password --permissions 'orders.*'"
        ),
        Example("may only read", "amqpd user permissions shop '' '' 'orders.*'"),
        Example("an administrator", "amqpd user tags shop administrator"),
        Example("another password", "amqpd user password shop --generate-password"),
    ),
    "policies": (
        Example(
            "limit what is temporary",
            "amqpd policy set limits '^tmp\\.' '{\"max-length\": 1000}' --apply-to queues",
        ),
        Example("take it away", "amqpd policy delete limits --yes"),
    ),
    "definitions": (
        Example("save them", "amqpd export definitions.json"),
        Example("what would change", "amqpd import definitions.json --dry-run"),
        Example("bring them in", "amqpd import definitions.json"),
    ),
    "watch": (
        Example("what moves", "amqpd top"),
        Example("one line a second", "amqpd stat"),
        Example("how fast it answers", "amqpd ping --watch"),
        Example("what is wrong here", "amqpd doctor"),
        Example("for Nagios and the like", "amqpd check queue orders -w 1000 -c 10000"),
    ),
    "contexts": (
        Example(
            "remember a broker",
            "amqpd context add live https://broker.example:15671 --username ops --use",
        ),
        Example("back to the one before", "amqpd context previous"),
        Example("ask another one once", "amqpd queues --context live"),
    ),
    "data": (
        Example("a copy while it runs", "amqpd backup copy.db"),
        Example("look through it", "amqpd check store --file copy.db"),
        Example("who changed the audit log", "amqpd audit verify"),
    ),
    "bench": (
        Example("ten seconds, confirmed", "amqpd bench -x 1 -y 1 -s 1000 -z 10 -c 100"),
        Example("coming and going", "amqpd bench churn connections -z 5"),
        Example("many queues", "amqpd bench many --queues 1000"),
    ),
}


@click.command()
@click.argument("about", metavar="[ABOUT]", required=False)
@answers(says="a list of {about, what, line}")
def examples(about: str | None) -> None:
    """Show command lines to copy; ABOUT is a word like publish, users or watch."""
    found = {about: EXAMPLES[about]} if about in EXAMPLES else _with(about or "")
    if not found:
        words = ", ".join(EXAMPLES)
        fail(
            f"no examples about '{about}'.{near(str(about), EXAMPLES)}  There are: {words}", EX_DATA
        )
    if wants_json():
        give([{"about": word, **one._asdict()} for word, each in found.items() for one in each])
        return
    for word, each in found.items():
        click.echo(click.style(word, bold=True))
        for one in each:
            click.echo(printable(f"  {one.what:<36} {one.line}"))


def _with(text: str) -> dict[str, tuple[Example, ...]]:
    """Those that have a text in them."""
    found = {
        word: tuple(one for one in each if text.lower() in f"{word} {one.what} {one.line}".lower())
        for word, each in EXAMPLES.items()
    }
    return {word: each for word, each in found.items() if each}
