"""Runs the service of shop.py and uses it from outside, as a standalone client."""

from __future__ import annotations

import os
import subprocess
import sys
import time

from nameko.exceptions import RemoteError
from nameko.standalone.rpc import ClusterRpcProxy

CONFIG = {"AMQP_URI": "amqp://guest:guest@localhost:5672/"}


def rpc(shop):
    assert shop.prices.of("tea") == 3


def chain(shop):
    assert shop.shop.sell("bread") == 5


def event(shop):
    end = time.monotonic() + 10
    shop.shop.sell("milk")
    while "milk" not in shop.shop.report():
        assert time.monotonic() < end, "the event did not arrive"
        time.sleep(0.1)


def error(shop):
    try:
        shop.prices.of("nothing")
    except RemoteError as problem:
        assert problem.exc_type == "ValueError"
    else:
        raise AssertionError("it did not fail")


def parallel(shop):
    calls = [shop.prices.of.call_async("x" * number) for number in range(1, 21)]
    assert [call.result() for call in calls] == list(range(1, 21))


def recovered(_shop):
    subprocess.run([os.environ["BROKER_CONTROL"], "restart"], check=True)
    until_it_answers()


def until_it_answers():
    """Wait for the service."""
    end = time.monotonic() + 60
    while True:
        try:
            with ClusterRpcProxy(CONFIG, timeout=5) as shop:
                assert shop.prices.of("again") == 5
            return
        except Exception:
            assert time.monotonic() < end, "the service does not answer"
            time.sleep(0.5)


def main():
    """Print what holds."""
    command = [
        sys.executable,
        "-W",
        "ignore",
        "-m",
        "nameko",
        "run",
        "--config",
        "config.yml",
        "shop",
    ]
    service = subprocess.Popen(command, stdout=sys.stderr)
    until_it_answers()
    for check in (rpc, chain, event, error, parallel, recovered):
        name = check.__name__
        if sys.argv[1:] and name not in sys.argv[1:]:
            continue
        try:
            with ClusterRpcProxy(CONFIG, timeout=20) as shop:
                check(shop)
            print(f"ok {name}")
        except Exception as problem:
            print(f"not ok {name} - {type(problem).__name__} {problem}".replace("\n", " "))
    service.kill()
    os._exit(0)


if __name__ == "__main__":
    main()
