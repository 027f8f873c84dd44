"""`manage.py test`: the suite on SQLite, and beside it its database tests on a throw-away PostgreSQL.

- Pass 1, in this process: everything, on a SQLite file of this run's own. Tests tagged "postgresql"
  are left to pass 2.
- Pass 2, the same command in a process of its own with DATABASE_URL naming a cluster that lives as long
  as the pass: what uses the database (Django's TestCase and TransactionTestCase) or is tagged
  "postgresql". Tests tagged "sqlite" stay out, and so do pure tests: no database, no difference. It runs
  meanwhile and is shown when pass 1 has ended; with --failfast and --pdb it waits until then.
- Where DATABASE_URL names PostgreSQL already, there is one pass, on that.

The exit status and the closing lines count both. With BOURSE_REQUIRE_SERVERS=1, as in CI, a skipped
test is a failure.
"""

import json
import logging
import os
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from argparse import ArgumentParser
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError
from django.db import connection
from django.test import TransactionTestCase, override_settings
from django.test.runner import DiscoverRunner
from django.test.utils import iter_test_cases  # type: ignore[attr-defined]

from config.testing.servers import find_program, nothing_may_be_skipped, postgresql_cluster

# Names the file into which pass 2 writes its report, and so says that this is pass 2.
REPORT = "BOURSE_TEST_REPORT"


@dataclass
class Report:
    """What one pass came to."""

    ran: int = 0
    failures: int = 0
    errors: int = 0
    unexpected_successes: int = 0
    skipped: list[str] = field(default_factory=list)

    @property
    def failed(self) -> int:
        """How many tests failed; where nothing may be skipped, the skipped ones did."""
        skipped = len(self.skipped) if nothing_may_be_skipped() else 0
        return self.failures + self.errors + self.unexpected_successes + skipped

    def __add__(self, other: "Report") -> "Report":
        return Report(
            *(mine + others for mine, others in zip(vars(self).values(), vars(other).values(), strict=True))
        )

    def verdict(self) -> str:
        """The last line, in unittest's own form."""
        counts = {
            "failures": self.failures,
            "errors": self.errors,
            "skipped": len(self.skipped),
            "unexpected successes": self.unexpected_successes,
        }
        details = ", ".join(f"{name}={count}" for name, count in counts.items() if count)
        word = "FAILED" if self.failed else "OK"
        return f"{word} ({details})" if details else word


class BourseTestRunner(DiscoverRunner):
    """Runs the passes and adds them up."""

    def __init__(self, *args: Any, database: str = "both", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if connection.vendor == "sqlite" and self.parallel > 1:
            # Django copies the database file for each process, but not what its WAL still holds.
            self.log("On SQLite the tests run in one process.")
            self.parallel = 1
        self.database = database
        self.report = Report()
        self.left_to_postgresql = 0
        self.shared_with_postgresql = 0
        self._start_beside: Callable[[], None] | None = None

    @classmethod
    def add_arguments(cls, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--database",
            choices=("both", "sqlite", "postgresql"),
            default="both",
            help="Run one of the two passes only. The one on PostgreSQL starts its own server.",
        )

    def run_tests(self, test_labels: list[str], **kwargs: Any) -> int:
        """Run every pass that was asked for and return how many tests failed."""
        with interrupted_in_one_line():
            if connection.vendor == "postgresql":
                return self._run_here(test_labels)
            if self.database == "postgresql" or nothing_may_be_skipped():
                require_postgresql()
            started = time.monotonic()
            reports = dict(self._run_passes(test_labels))
            return self._sum_up(reports, time.monotonic() - started)

    def _run_here(self, test_labels: list[str]) -> int:
        if self.database == "sqlite" and REPORT not in os.environ:
            raise CommandError("--database sqlite, but DATABASE_URL names PostgreSQL.")
        failed = super().run_tests(test_labels)
        if REPORT in os.environ:
            Path(os.environ[REPORT]).write_text(json.dumps(asdict(self.report)))
            return failed
        self._name_forbidden_skips(self.report)
        return self.report.failed

    def _run_passes(self, test_labels: list[str]) -> Iterator[tuple[str, Report]]:
        beside: list[Callable[[], Report]] = []
        with ExitStack() as stack:
            if self.database != "postgresql":
                if self.database == "both" and find_program("postgresql") and not (self.failfast or self.pdb):
                    self._start_beside = lambda: beside.append(
                        stack.enter_context(postgresql_pass(test_labels, is_shown_later=True))
                    )
                failed = super().run_tests(test_labels)
                yield "SQLite", self.report
                concerned = self._concern_postgresql()
                if self.database == "sqlite" or not concerned or (failed and self.failfast):
                    return
            if find_program("postgresql"):
                self.log("\nThe database tests once more, on PostgreSQL:")
                second = beside or [stack.enter_context(postgresql_pass(test_labels))]
                yield "PostgreSQL", second[0]()
                return
        self.log(
            f"\nPostgreSQL was not found: {self.left_to_postgresql} tests that need it are skipped, "
            f"{self.shared_with_postgresql} database tests ran on SQLite alone."
        )
        yield "PostgreSQL", Report(skipped=["it needs PostgreSQL"] * self.left_to_postgresql)

    def run_suite(self, suite: Any, **kwargs: Any) -> Any:
        """Run the suite, with pass 2 beside it when some of it is for PostgreSQL, too."""
        if self._start_beside is not None and self._concern_postgresql():
            self._start_beside()
        return super().run_suite(suite, **kwargs)

    def _concern_postgresql(self) -> int:
        return self.left_to_postgresql + self.shared_with_postgresql

    def _sum_up(self, reports: dict[str, Report], seconds: float) -> int:
        total = sum(reports.values(), Report())
        lines = [f"{name}: ran {report.ran}, {report.verdict()}" for name, report in reports.items()]
        self._name_forbidden_skips(total)
        ran = f"Ran {total.ran} test{'' if total.ran == 1 else 's'} in {seconds:.3f}s"
        sys.stdout.flush()
        print("", *lines, "-" * 70, ran, "", total.verdict(), sep="\n", file=sys.stderr, flush=True)
        return total.failed

    def _name_forbidden_skips(self, report: Report) -> None:
        if nothing_may_be_skipped():
            for test in report.skipped:
                self.log(f"Skipped, and nothing may be skipped here: {test}")

    def load_tests_for_label(self, label: str, discover_kwargs: dict[str, str]) -> unittest.TestSuite:
        tests = list(iter_test_cases(super().load_tests_for_label(label, discover_kwargs)))
        if connection.vendor == "postgresql":
            only_database = REPORT in os.environ
            return unittest.TestSuite(
                test
                for test in tests
                if belongs_on_postgresql(test) or not (only_database or is_tagged(test, "sqlite"))
            )
        left = [test for test in tests if is_tagged(test, "postgresql")]
        self.left_to_postgresql += len(left)
        self.shared_with_postgresql += sum(map(belongs_on_postgresql, tests)) - len(left)
        return unittest.TestSuite(test for test in tests if not is_tagged(test, "postgresql"))

    def setup_test_environment(self, **kwargs: Any) -> None:
        super().setup_test_environment(**kwargs)
        if self.verbosity < 2:
            # Between the dots only what nobody expected.
            logging.getLogger().setLevel(logging.WARNING)
        # The real hashers take half a second each, by design.
        self._quick_hashes = override_settings(
            PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"]
        )
        self._quick_hashes.enable()

    def teardown_test_environment(self, **kwargs: Any) -> None:
        self._quick_hashes.disable()
        super().teardown_test_environment(**kwargs)

    def setup_databases(self, **kwargs: Any) -> Any:
        self._folder = tempfile.TemporaryDirectory(prefix="bourse-test-")
        if connection.vendor == "sqlite" and not self.keepdb:
            # A file, because threads of a test share it; this run's own, because two runs may meet.
            connection.settings_dict["TEST"]["NAME"] = str(Path(self._folder.name) / "test.sqlite3")
        return super().setup_databases(**kwargs)

    def teardown_databases(self, old_config: Any, **kwargs: Any) -> None:
        if connection.vendor == "postgresql" and (left := end_other_sessions()):
            self.log(f"{left} database sessions were still open when the tests had ended.", logging.WARNING)
        if REPORT not in os.environ:  # that database goes away with its cluster
            super().teardown_databases(old_config, **kwargs)
        self._folder.cleanup()

    def suite_result(self, suite: Any, result: Any, **kwargs: Any) -> int:
        self.report = Report(
            ran=result.testsRun,
            failures=len(result.failures),
            errors=len(result.errors),
            unexpected_successes=len(result.unexpectedSuccesses),
            skipped=[f"{test.id()}: {reason}" for test, reason in result.skipped],
        )
        failed = super().suite_result(suite, result, **kwargs)
        if result.shouldStop and not failed:
            raise KeyboardInterrupt  # Ctrl-C once: unittest stopped quietly after the test at hand
        return failed


def is_tagged(test: unittest.TestCase, tag: str) -> bool:
    method = getattr(test, getattr(test, "_testMethodName", ""), None)
    return tag in getattr(test, "tags", ()) or tag in getattr(method, "tags", ())


def belongs_on_postgresql(test: unittest.TestCase) -> bool:
    if is_tagged(test, "sqlite"):
        return False
    return isinstance(test, TransactionTestCase) or is_tagged(test, "postgresql")


def end_other_sessions() -> int:
    """End what threads left open, which would keep the database from being dropped; how many there were."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        return len(cursor.fetchall())


def require_postgresql() -> None:
    if not find_program("postgresql"):
        raise CommandError("PostgreSQL was not found: there is no initdb on PATH or in /usr/lib/postgresql.")


@contextmanager
def postgresql_pass(
    test_labels: list[str], *, is_shown_later: bool = False
) -> Iterator[Callable[[], Report]]:
    """This same command once more, on a cluster that ends with it; call what it gives for the report.

    With `is_shown_later` what it prints comes then.
    """
    with ExitStack() as stack:
        server = stack.enter_context(postgresql_cluster())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bourse-test-")))
        report, said = folder / "report.json", folder / "said"
        output = stack.enter_context(said.open("wb")) if is_shown_later else None
        sys.stdout.flush()
        environment = {**os.environ, "DATABASE_URL": server.url, REPORT: str(report)}
        process = subprocess.Popen(
            this_command(test_labels), env=environment, stdout=output, stderr=output and subprocess.STDOUT
        )

        def finish() -> Report:
            status = process.wait()
            if output is not None:
                sys.stderr.write(said.read_text(errors="replace"))
            if report.exists():
                return Report(**json.loads(report.read_text()))
            print(f"The tests on PostgreSQL ended with status {status} and no report.", file=sys.stderr)
            return Report(errors=1)

        try:
            yield finish
        except BaseException as error:
            # Ctrl-C has reached it as well. The cluster outlives it either way.
            if isinstance(error, Terminated) or not isinstance(error, KeyboardInterrupt):
                process.terminate()
            process.wait()
            raise


def this_command(test_labels: list[str]) -> list[str]:
    """The command line of this process, whatever Python, coverage or options it was started with."""
    if sys.argv[1:2] == ["test"]:
        return [sys.executable, *sys.orig_argv[1:]]
    return [sys.executable, str(settings.BASE_DIR / "manage.py"), "test", *test_labels]


class Terminated(KeyboardInterrupt):
    """SIGTERM, unwinding like Ctrl-C."""


@contextmanager
def interrupted_in_one_line(said: str = "The tests were interrupted.") -> Iterator[None]:
    """Let SIGTERM and Ctrl-C end what runs in order, so that no server is left behind."""

    def interrupt(*_args: object) -> None:
        raise Terminated

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    except KeyboardInterrupt:
        sys.exit(said)
    finally:
        signal.signal(signal.SIGTERM, before)
