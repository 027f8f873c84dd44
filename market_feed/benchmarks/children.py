"""The processes of a benchmark: each takes requests, a line of JSON, and gives an answer to each, a line too."""

import json
import os
import select
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import Any

from django.conf import settings

STOP_S = 15.0

Answer = dict[str, Any]


class ChildFailed(Exception):
    """A process of the benchmark has ended, or does not answer."""


class Child:
    """A Python module that runs in a process of its own, from the project's folder."""

    def __init__(self, module: str, *arguments: str, environment: Mapping[str, str] | None = None) -> None:
        self.module = module
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            cwd=settings.BASE_DIR,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def ask(self, do: str, *, timeout_s: float = 60.0, **fields: Any) -> Answer:
        self.send(do, **fields)
        return self.answer(timeout_s)

    def send(self, do: str, **fields: Any) -> None:
        """Ask, and fetch the `answer` later."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": do, **fields}).encode() + b"\n")
        self._process.stdin.flush()

    def answer(self, timeout_s: float = 60.0) -> Answer:
        assert self._process.stdout is not None
        is_there, _, _ = select.select([self._process.stdout], [], [], timeout_s)
        line = self._process.stdout.readline() if is_there else b""
        if not line:
            raise ChildFailed(f"{self.module} does not answer (status {self._process.poll()})")
        return json.loads(line)

    def memory_mib(self) -> float:
        """What it has in memory now."""
        with open(f"/proc/{self._process.pid}/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20

    def stop(self) -> None:
        self._process.terminate()
        try:
            self._process.communicate(timeout=STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()

    def __enter__(self) -> "Child":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def tell(answer: Answer) -> None:
    """In the child: give an answer."""
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def serve(work: Mapping[str, Callable[..., Answer]]) -> None:
    """In the child: answer requests, one after the other, until there are no more."""
    for line in sys.stdin:
        request = json.loads(line)
        tell(work[request.pop("do")](**request))
