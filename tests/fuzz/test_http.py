"""HTTP in every wrong way there is: an answer with a known status, and nobody else notices."""

from __future__ import annotations

import random
import socket
import threading
from typing import TYPE_CHECKING, Final

import pytest

from tests.fuzz.requests import LOGINS, Requests
from tests.fuzz.test_sockets import (
    GROWTH_BYTES,
    OPENED_LATER,
    Sentinel,
    descriptors,
    resident_bytes,
    wait_for,
)
from tests.server.running import Program

if TYPE_CHECKING:
    from pathlib import Path

FAST: Final = 1_500
SLOW: Final = 50_000
AT_ONCE: Final = 6
#: All that a request may be answered with, however wrong it is.
STATUSES: Final = frozenset(
    (100, 200, 201, 204, 301, 304, 400, 401, 403, 404, 405, 406, 408, 409, 411, 413, 414, 415, 417,
     426, 429, 431, 501, 503, 505)
)  # fmt: skip
WAIT_S: Final = 10.0


def ask(port: int, chance: random.Random) -> bytes:
    """Send one request; what is answered until the connection ends or is quiet."""
    heard = b""
    with socket.create_connection(("127.0.0.1", port), timeout=WAIT_S) as connection:
        try:
            for piece in Requests(chance).next():
                connection.sendall(piece)
            if chance.random() < 0.7:
                # No more comes: whatever is waited for, it is answered now.
                connection.shutdown(socket.SHUT_WR)
                while more := connection.recv(65_536):
                    heard += more
            else:
                connection.settimeout(0.02)
                heard += connection.recv(65_536)
        except OSError:
            pass
    return heard


def status_of(answer: bytes) -> int:
    """The first line's; 0 if there is none."""
    if not answer.startswith(b"HTTP/1."):
        return 0
    return int(answer.split(None, 2)[1])


def under_fire(folder: Path, count: int, seed: int) -> dict[int, int]:
    """So many requests to a broker; how often each status came."""
    heard: dict[int, int] = {}
    wrong: list[str] = []
    with Program(folder / "data", "--http-port", "0") as broker:
        pid = broker.wait_ready().process.pid
        port = broker.port_of("http")
        sentinel = Sentinel(broker.port)

        def work(first: int, last: int) -> None:
            for number in range(first, last, AT_ONCE):
                answer = ask(port, random.Random(f"{seed}/{number}"))  # noqa: S311 - repeatable
                status = status_of(answer)
                heard[status] = heard.get(status, 0) + 1
                if status and status not in STATUSES:
                    wrong.append(f"seed {seed} request {number}: {answer[:300]!r}")

        def all_at_once(first: int, last: int) -> None:
            threads = [
                threading.Thread(target=work, args=(first + one, last)) for one in range(AT_ONCE)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

        # Once over, so that what is made at first use is not taken for growth.
        all_at_once(0, 200)
        quiet, before = descriptors(pid) + OPENED_LATER, resident_bytes(pid)
        all_at_once(200, count)
        sentinel.stop()
        left, growth = wait_for(quiet, pid), resident_bytes(pid) - before
        assert not wrong, wrong[:3]
        assert not sentinel.problem, sentinel.problem
        assert sentinel.took_s
        assert left <= quiet, f"{left - quiet} descriptors left over"
        assert growth < GROWTH_BYTES, f"grew by {growth >> 20} MiB"
        assert broker.stop() == 0
    assert "Traceback" not in broker.log, broker.log[-4000:]
    # What cannot be read may hold a password.
    assert LOGINS[0].split()[1][:12].decode() not in broker.log
    return heard


@pytest.mark.timeout(600)
def test_wrong_requests_are_answered_and_nobody_else_notices(tmp_path: Path) -> None:
    heard = under_fire(tmp_path, FAST, 1)

    assert set(heard) >= {200, 400, 401, 404, 405}


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_very_many_wrong_requests_are_answered(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    under_fire(tmp_path, request.config.getoption("--fuzz-inputs") or SLOW, 2)
