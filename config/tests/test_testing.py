"""The helpers of the tests: servers that come and go, tests that are sorted into passes and added up."""

import os
import socket
import unittest
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import psycopg2
from django.test import SimpleTestCase, TestCase, tag

from config.testing import servers
from config.testing.runner import Report, belongs_on_postgresql, is_tagged
from config.testing.servers import Server, mosquitto_broker, needs, postgresql_cluster, redis_server


def listens(server: Server) -> bool:
    try:
        socket.create_connection(("127.0.0.1", server.port), timeout=1).close()
    except OSError:
        return False
    return True


class ServerTests(SimpleTestCase):
    @needs("postgresql")
    def test_postgresql_keeps_its_rows_through_a_crash_and_leaves_nothing(self) -> None:
        with postgresql_cluster() as server:
            with server.connect() as connection, connection.cursor() as cursor:
                cursor.execute("CREATE TABLE kept AS SELECT 1 AS one")
            connection.close()
            server.kill()
            self.assertFalse(listens(server))
            server.restart()
            with psycopg2.connect(server.url) as connection, connection.cursor() as cursor:
                cursor.execute("SELECT one FROM kept")
                self.assertEqual(cursor.fetchall(), [(1,)])
            connection.close()
        self.assertLeftNothing(server)

    @needs("postgresql")
    def test_postgresql_asks_for_its_password(self) -> None:
        with postgresql_cluster() as server, self.assertRaises(psycopg2.OperationalError):
            psycopg2.connect(server.url.replace(server.password, "guess"))

    @needs("mosquitto")
    def test_mosquitto_comes_back_on_its_port(self) -> None:
        with mosquitto_broker("max_queued_messages 0") as server:
            server.kill()
            self.assertFalse(listens(server))
            server.restart()
            self.assertTrue(listens(server))
        self.assertLeftNothing(server)

    @needs("mosquitto")
    def test_a_server_that_cannot_start_says_why(self) -> None:
        with (
            self.assertRaisesMessage(servers.ServerFailed, "no_such_option"),
            mosquitto_broker("no_such_option 1"),
        ):
            self.fail("it started")

    @needs("redis")
    def test_redis_is_gone_after_a_failure(self) -> None:
        with self.assertRaises(ZeroDivisionError), redis_server() as server:
            self.assertTrue(listens(server))
            _ = 1 / 0
        self.assertLeftNothing(server)

    @needs("redis")
    def test_it_takes_another_port_when_the_first_is_in_use(self) -> None:
        with redis_server() as first:
            ports = [first.port, servers.free_port()]
            with mock.patch.object(servers, "free_port", side_effect=ports), redis_server() as second:
                self.assertEqual(second.port, ports[1])

    def assertLeftNothing(self, server: Server) -> None:
        assert server.process is not None
        self.assertIsNotNone(server.process.poll())
        self.assertFalse(server.folder.exists())


class NeedsTests(SimpleTestCase):
    def test_it_skips_what_needs_a_missing_program(self) -> None:
        with mock.patch.dict(os.environ, {"BOURSE_REQUIRE_SERVERS": ""}):
            result = run_test(needs("no-such-program"))
        self.assertEqual([reason for _, reason in result.skipped], ["no-such-program not found"])

    def test_it_fails_in_ci(self) -> None:
        with mock.patch.dict(os.environ, {"BOURSE_REQUIRE_SERVERS": "1"}):
            for decorate in (needs("no-such-program"), needs(packages=("no_such_package",))):
                result = run_test(decorate)
                self.assertEqual((result.testsRun, len(result.failures), result.skipped), (1, 1, []))
                result = run_class(decorate)
                self.assertEqual((len(result.errors), result.skipped), (1, []))

    def test_it_runs_what_needs_programs_that_are_there(self) -> None:
        result = run_test(needs("python3", packages=("django",)))
        self.assertEqual((result.testsRun, result.failures, result.skipped), (1, [], []))


Decorator = Callable[[Any], Any]


def run_test(decorate: Decorator) -> unittest.TestResult:
    class Example(unittest.TestCase):
        @decorate
        def test_example(self) -> None:
            pass

    result = unittest.TestResult()
    unittest.defaultTestLoader.loadTestsFromTestCase(Example).run(result)
    return result


def run_class(decorate: Decorator) -> unittest.TestResult:
    @decorate
    class Example(unittest.TestCase):
        def test_example(self) -> None:
            pass

    result = unittest.TestResult()
    unittest.defaultTestLoader.loadTestsFromTestCase(Example).run(result)
    return result


class ProgramTests(SimpleTestCase):
    def test_it_finds_programs_outside_the_path(self) -> None:
        with mock.patch.dict(os.environ, {"PATH": "/nowhere"}):
            self.assertIsNone(servers.find_program("no-such-program"))
            if found := servers.find_program("postgresql"):
                self.assertTrue(Path(found).parent.joinpath("postgres").exists())


class ReportTests(SimpleTestCase):
    def test_two_passes_add_up(self) -> None:
        total = Report(ran=3, failures=1, skipped=["a"]) + Report(ran=4, errors=2, skipped=["b"])
        self.assertEqual(total, Report(ran=7, failures=1, errors=2, skipped=["a", "b"]))
        self.assertEqual(total.verdict(), "FAILED (failures=1, errors=2, skipped=2)")

    def test_a_skipped_test_fails_in_ci_only(self) -> None:
        report = Report(ran=1, skipped=["a"])
        with mock.patch.dict(os.environ, {"BOURSE_REQUIRE_SERVERS": ""}):
            self.assertEqual((report.failed, report.verdict()), (0, "OK (skipped=1)"))
        with mock.patch.dict(os.environ, {"BOURSE_REQUIRE_SERVERS": "1"}):
            self.assertEqual((report.failed, report.verdict()), (1, "FAILED (skipped=1)"))


class PassTests(SimpleTestCase):
    def test_the_second_pass_takes_what_uses_the_database(self) -> None:
        class Database(TestCase):
            def test_both(self) -> None: ...

            @tag("sqlite")
            def test_sqlite(self) -> None: ...

        class Pure(SimpleTestCase):
            def test_pure(self) -> None: ...

            @tag("postgresql")
            def test_tagged(self) -> None: ...

        self.assertTrue(belongs_on_postgresql(Database("test_both")))
        self.assertFalse(belongs_on_postgresql(Database("test_sqlite")))
        self.assertFalse(belongs_on_postgresql(Pure("test_pure")))
        self.assertTrue(belongs_on_postgresql(Pure("test_tagged")))

    def test_a_tag_of_the_class_counts(self) -> None:
        @tag("postgresql")
        class Tagged(SimpleTestCase):
            def test_any(self) -> None: ...

        self.assertTrue(is_tagged(Tagged("test_any"), "postgresql"))
