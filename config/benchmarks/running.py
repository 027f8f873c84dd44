"""Runs one benchmark where nothing else is: a child process, a scratch database, servers of its own.

After a benchmark that touched a database the audit looks at what it left: a figure that was reached by losing a share
is no figure.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path

from config.benchmarks.catalogue import POSTGRESQL, SQLITE, Benchmark
from config.benchmarks.child import Task
from config.benchmarks.report import Report
from config.testing.servers import find_program, mosquitto_broker, postgresql_cluster
from market_feed.broker import EmbeddedBroker
from stocks.benchmarks.figures import Figure

ROOT = Path(__file__).resolve().parents[2]
# A broker that drops nothing of what a benchmark sends ahead.
BROKER_CONFIG = "max_queued_messages 100000"
EMBEDDED = "the embedded broker"


def run_apart(benchmark: Benchmark, database: str, *, quick: bool) -> Report:
    """Run it on a scratch `database` ("": none) and audit what it left."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bourse-bench-")))
        environment = _clean_environment(folder)
        if database:
            environment["DATABASE_URL"] = stack.enter_context(_database(database, folder))
        broker = ""
        if benchmark.broker:
            broker, environment["MQTT_URL"] = stack.enter_context(_broker())
        return _run(benchmark, environment, folder / "report.json", broker, quick)


def databases_of(benchmark: Benchmark) -> tuple[str, ...]:
    """Those of its databases that this machine has, SQLite if there is no other; ("",) when it needs none."""
    if not benchmark.databases:
        return ("",)
    here = tuple(name for name in benchmark.databases if name != POSTGRESQL or find_program("postgresql"))
    return here or (SQLITE,)


def _clean_environment(folder: Path) -> dict[str, str]:
    """Nothing of this installation: not its data folder, not its servers."""
    own = {
        "BOURSE_DATA_DIR": str(folder),
        "DATABASE_URL": f"sqlite:///{folder / 'bench.sqlite3'}",
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "LOG_LEVEL": "WARNING",
        "REDIS_URL": "",
        "ALLOWED_HOSTS": "*",
    }
    return {**os.environ, **own}


@contextmanager
def _database(name: str, folder: Path) -> Iterator[str]:
    """The URL of an empty database. PostgreSQL waits for the disk, as in production."""
    if name == POSTGRESQL:
        with postgresql_cluster(durable=True) as server:
            yield server.url
    else:
        yield f"sqlite:///{folder / 'bench.sqlite3'}"


@contextmanager
def _broker() -> Iterator[tuple[str, str]]:
    """A broker's name and URL."""
    if find_program("mosquitto"):
        with mosquitto_broker(BROKER_CONFIG) as server:
            yield server.name, server.url
        return
    embedded = EmbeddedBroker(0)
    embedded.start()
    try:
        yield EMBEDDED, embedded.url
    finally:
        embedded.stop()


def _run(
    benchmark: Benchmark, environment: Mapping[str, str], report: Path, broker: str, quick: bool
) -> Report:
    options = benchmark.quick if quick else {}
    task = Task(benchmark.name, benchmark.run, options, bool(benchmark.databases), str(report))
    started = time.monotonic()
    status = _wait([sys.executable, "-m", "config.benchmarks.child", json.dumps(asdict(task))], environment)
    seconds = round(time.monotonic() - started, 1)
    if not report.exists():
        return Report(
            benchmark.name, broker=broker, seconds=seconds, problem=f"it ended with status {status}"
        )
    written = json.loads(report.read_text())
    figures = tuple(Figure(**figure) for figure in written["figures"])
    problem = "" if not benchmark.databases else _audit(environment)
    return Report(benchmark.name, written["database"], broker, seconds, figures, problem)


def _audit(environment: Mapping[str, str]) -> str:
    command = [sys.executable, str(ROOT / "manage.py"), "audit", "--quiet"]
    return "the audit found broken promises" if _wait(command, environment) else ""


def _wait(command: list[str], environment: Mapping[str, str]) -> int:
    """The status of a child, which does not outlive this process's interest in it."""
    process = subprocess.Popen(command, env=dict(environment), cwd=ROOT)
    try:
        return process.wait()
    except BaseException:
        process.terminate()
        process.wait()
        raise
