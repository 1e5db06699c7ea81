"""The process that forks brokers for tests.

`amqpd.testing.forkserver` starts it and asks through the socket that is its standard input.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import signal
import socket
import sys
import traceback
from typing import Final, NoReturn

from amqpd.cli.main import main
from amqpd.testing.forkserver import HEAD, exactly

#: What `amqpd testing` imports until it is ready.
MODULES: Final = (
    "amqpd.auth.internal",
    "amqpd.cli.testing",
    "amqpd.server.app",
    "amqpd.server.http",
    "amqpd.store.driver_apsw",
    "amqpd.store.sqlite",
    "encodings.idna",
    "importlib.metadata",
    "sqlite_utils",
)
#: What standard input, output and errors of the broker become.
FILES: Final = 3


def serve(control: socket.socket) -> None:
    """Fork a broker for each request, until nobody can ask any more."""
    for name in MODULES:
        importlib.import_module(name)
    while True:
        try:
            head, files, _, _ = socket.recv_fds(control, HEAD.size, FILES)
            request = json.loads(exactly(control, *HEAD.unpack(head))) if head else None
        except ConnectionError:
            return
        if request is None:
            return
        if "reap" in request:
            _, status = os.waitpid(request["reap"], 0)
            answer = os.waitstatus_to_exitcode(status)
        else:
            answer = os.fork()
            if not answer:
                control.close()
                _become(request, files)
            for file in files:
                os.close(file)
        control.sendall(answer.to_bytes(8, "big", signed=True))


def _become(request: dict[str, object], files: list[int]) -> NoReturn:
    """Be the command that was asked for; never comes back."""
    code: object = 70
    try:
        for number, file in enumerate(files):
            os.dup2(file, number)
            os.close(file)
        arguments, environment = request["arguments"], request["environment"]
        assert isinstance(arguments, list)
        assert isinstance(environment, dict)
        os.environ.clear()
        os.environ.update(environment)
        os.chdir(str(request["folder"]))
        main(arguments)
        code = 0
    except SystemExit as end:
        code = end.code or 0
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code if isinstance(code, int) else 1)


if __name__ == "__main__":
    # Ctrl-C is for the tests; they end this by closing its control connection.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with socket.socket(fileno=os.dup(0)) as _control:
        serve(_control)
