"""Web processes for tests: real `manage.py serve`, on a database of their own, and others that only trade."""

import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from django.conf import settings

START_TIMEOUT_S = 30


class WebProcess:
    """A running `manage.py serve`."""

    def __init__(self, environment: dict[str, str], *options: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "manage.py", "serve", *(options or ("--port", "0"))],
            cwd=settings.BASE_DIR,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.output = ""
        self.url = ""
        self._is_up = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.output += line
            if found := re.search(r"Serving on (http://\S+)/", line):
                self.url = found[1]
                self._is_up.set()
        self._is_up.set()

    def wait_until_up(self) -> None:
        self._is_up.wait(START_TIMEOUT_S)
        if not self.url:
            raise AssertionError(f"the web process did not come up:\n{self.output}")

    def stream(self, path: str) -> str:
        return "ws" + self.url.removeprefix("http") + path

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal; the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            status = self.process.wait(15)
        finally:
            self.process.kill()
            self._reader.join(5)
            assert self.process.stdout is not None
            self.process.stdout.close()
        return status

    def memory_mib(self) -> float:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024


class Market:
    """A database of its own, and processes on it."""

    def __init__(self, stack: ExitStack, **environment: str) -> None:
        self.stack = stack
        self.folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bourse-")))
        self.environment = {
            **os.environ,
            "BOURSE_DATA_DIR": str(self.folder),
            "DATABASE_URL": f"sqlite:///{self.folder / 'market.sqlite3'}",
            "REDIS_URL": "",
            **environment,
        }
        self.run("manage.py", "migrate", "--verbosity", "0")
        self.list_stocks("ACME")

    def run(self, *arguments: str) -> None:
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=settings.BASE_DIR,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=60,
        )
        if done.returncode:
            raise AssertionError(f"{' '.join(arguments)} failed:\n{done.stdout}{done.stderr}")

    def trade(self, count: int, at_once: int = 1) -> None:
        """Trade in a process of its own, and wait for its end."""
        self.run("-m", "config.tests.stream_trader", "trade", "ACME", str(count), str(at_once))

    def list_stocks(self, *stock_ids: str) -> None:
        self.run("-m", "config.tests.stream_trader", "list", *stock_ids)

    @contextmanager
    def churning(self, at_once: int, *stock_ids: str) -> Iterator[None]:
        """Another process that fills and changes the books of these stocks, and trades, in this block."""
        with subprocess.Popen(
            [sys.executable, "-m", "config.tests.stream_trader", "churn", str(at_once), *stock_ids],
            cwd=settings.BASE_DIR,
            env=self.environment,
            stdin=subprocess.PIPE,
        ) as trader:
            try:
                yield
            finally:
                assert trader.stdin is not None
                trader.stdin.close()
                try:
                    trader.wait(30)
                finally:
                    trader.kill()
            if trader.returncode:
                raise AssertionError("the trading process failed")

    def serve(self) -> WebProcess:
        web = WebProcess(self.environment)
        self.stack.callback(web.stop)
        web.wait_until_up()
        return web


@contextmanager
def market(**environment: str) -> Iterator[Market]:
    with ExitStack() as stack:
        yield Market(stack, **environment)
