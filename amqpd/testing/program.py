"""A broker as a process of its own, for tests that want it killed.

It is `amqpd testing`, forked from a process that has imported it (`forkserver`). It writes its
addresses to standard output and ends when its standard input does: when the test ends, however
it ends, the broker ends.
"""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Final, Self, TypeAlias

from amqpd.testing.address import StartFailed

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path
    from types import TracebackType
    from urllib.parse import SplitResult

    from amqpd.testing.address import Settings
    from amqpd.testing.forkserver import Forked

    Process: TypeAlias = subprocess.Popen[str] | Forked

#: A stop that takes longer is a fault of ours; the process is killed then.
PATIENCE_S: Final = 30.0


class BrokerProcess:
    """A broker process for one test; a context manager.

    Messages are kept in a temporary directory, or in `directory` if one is given; `log` is
    what the broker wrote to standard error.
    """

    def __init__(self, directory: Path | None = None, settings: Settings | None = None) -> None:
        self.settings: Settings = dict(settings or {})
        self._directory = directory
        self._temporary: Path | None = None
        self._process: Process | None = None
        self._errors: IO[str] | None = None
        self._addresses: list[SplitResult] = []
        self.uri = ""

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def host(self) -> str:
        """The address it listens on."""
        return self._addresses[0].hostname or ""

    @property
    def port(self) -> int:
        """The port for AMQP; the same after a restart."""
        return self._addresses[0].port or 0

    @property
    def http_uri(self) -> str:
        """The HTTP API's, with user and password; empty unless `http.port` was set."""
        return next((one.geturl() for one in self._addresses if one.scheme == "http"), "")

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._running.pid

    @property
    def log(self) -> str:
        """What the broker has logged so far."""
        assert self._errors is not None, "the broker was not started"
        self._errors.flush()
        with open(self._errors.name, encoding="utf-8") as errors:
            return errors.read()

    def start(self) -> Self:
        """Start it, unless it runs.

        Raises:
            StartFailed: it ended at once; the text is what it said.
        """
        import tempfile
        from pathlib import Path
        from urllib.parse import urlsplit

        if self._process is not None:
            return self
        if self._errors is None:
            self._temporary = Path(tempfile.mkdtemp(prefix="amqpd-"))
            self._errors = (self._temporary / "broker.log").open("a", encoding="utf-8")
        directory = self._directory or Path(self._errors.name).with_name("data")
        command = ["testing", "--data-dir", str(directory)]
        for key, value in self.settings.items():
            text = str(value).lower() if isinstance(value, bool) else value
            command += ["--set", f"{key}={text}"]
        self._process = _started(command, self._errors)
        lines = self._first_lines(self._process)
        if not lines:
            code = self._process.wait()
            said = self.log.strip()
            self.stop()
            raise StartFailed(f"amqpd exited with {code}: {said}")
        self._addresses = [urlsplit(line) for line in lines]
        self.uri = lines[0]
        return self

    def restart(self) -> None:
        """Stop and start on the same port; what is durable stays, clients are cut off."""
        self.settings = {**self.settings, "amqp.port": self.port}
        self._end()
        self.start()

    def kill(self) -> None:
        """End it as a power cut would, but for the disk; `start()` starts it again."""
        self.settings = {**self.settings, "amqp.port": self.port}
        self._running.kill()
        self._end()

    def stop(self) -> None:
        """Stop in good order, without waiting for clients; a second time does nothing."""
        import shutil

        self._end()
        if self._errors is not None:
            self._errors.close()
        if self._temporary is not None:
            shutil.rmtree(self._temporary, ignore_errors=True)
        self._errors = self._temporary = None

    @property
    def _running(self) -> Process:
        assert self._process is not None, "the broker does not run"
        return self._process

    @staticmethod
    def _first_lines(process: Process) -> list[str]:
        """The addresses: all lines up to the first empty one."""
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            if not line.strip():
                break
            lines.append(line.strip())
        return lines

    def _end(self) -> None:
        import subprocess

        if self._process is None:
            return
        process, self._process = self._process, None
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        try:
            process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
        finally:
            process.stdout.close()


def _started(command: list[str], errors: IO[str]) -> Process:
    """Our own command, with the test's own settings."""
    import subprocess
    import sys

    from amqpd.testing import forkserver

    if forkserver.available():
        return forkserver.server().start(command, errors)
    return subprocess.Popen(  # noqa: S603
        [sys.executable, "-m", "amqpd", *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=errors,
        text=True,
    )
