"""`manage.py bench`: real child processes and servers, with benchmarks that take no time."""

import io
import json
import os
import tempfile
from pathlib import Path
from typing import Any
from unittest import mock

from django.core.management import CommandError, call_command
from django.test import SimpleTestCase
from django.utils.module_loading import import_string

from config.benchmarks import running
from config.benchmarks.catalogue import BENCHMARKS, POSTGRESQL, SQLITE, Benchmark
from config.benchmarks.report import number, table
from config.management.commands import bench
from config.testing.servers import needs
from stocks.benchmarks.figures import Figure

HERE = "config.tests.benchmarks"
LOOK = Benchmark("look", f"{HERE}.look_around", databases=(SQLITE,), quick={"rounds": 6})
LOSE = Benchmark("lose", f"{HERE}.lose_money", databases=(SQLITE,))
FAIL = Benchmark("fail", f"{HERE}.fail")
ASK = Benchmark("ask", f"{HERE}.ask_the_broker", broker=True)


class FigureTests(SimpleTestCase):
    def test_it_reaches_its_goal_at_the_bound(self) -> None:
        self.assertTrue(Figure("", 50, "", limit=100, least=0.5).reached)
        self.assertFalse(Figure("", 49, "", limit=100, least=0.5).reached)
        self.assertTrue(Figure("", 150, "", limit=100, most=1.5).reached)
        self.assertFalse(Figure("", 151, "", limit=100, most=1.5).reached)

    def test_it_has_nothing_to_reach_without_a_limit_or_a_goal(self) -> None:
        self.assertIsNone(Figure("", 50, "").ratio)
        self.assertIsNone(Figure("", 50, "", least=1).reached)
        self.assertIsNone(Figure("", 50, "", limit=100).reached)


class TableTests(SimpleTestCase):
    def test_it_has_a_line_for_each_figure_and_its_note(self) -> None:
        figures = [
            Figure("matcher", 1_000_000, "op/s", "bare book", 2_500_000, least=0.333, note="best of 5"),
            Figure("asking", 61, "ms", "the goal", 50, most=1),
            Figure("alone", 0.5, "s"),
        ]
        self.assertEqual(
            list(table(figures)),
            [
                "figure            value  beside              limit  ratio     goal  reached",
                "matcher  1,000,000 op/s  bare book  2,500,000 op/s   0.40  >= 0.33      yes",
                "    best of 5",
                "asking          61.0 ms  the goal          50.0 ms   1.22  <= 1.00       NO",
                "alone           0.500 s",
            ],
        )

    def test_it_is_its_headings_when_there_is_no_figure(self) -> None:
        self.assertEqual(len(list(table([]))), 1)

    def test_numbers_have_three_digits_that_matter(self) -> None:
        self.assertEqual(
            [number(value) for value in (12_345.6, 99.94, 1.234, 0.1234)], ["12,346", "99.9", "1.23", "0.123"]
        )


class CatalogueTests(SimpleTestCase):
    def test_every_benchmark_can_be_found(self) -> None:
        for benchmark in BENCHMARKS:
            with self.subTest(benchmark=benchmark.name):
                self.assertTrue(callable(import_string(benchmark.run)))

    def test_a_missing_postgresql_is_left_out_or_replaced(self) -> None:
        with mock.patch.object(running, "find_program", return_value=None):
            self.assertEqual(running.databases_of(Benchmark("", "", (POSTGRESQL, SQLITE))), (SQLITE,))
            self.assertEqual(running.databases_of(Benchmark("", "", (POSTGRESQL,))), (SQLITE,))
            self.assertEqual(running.databases_of(Benchmark("", "")), ("",))


class CommandTestCase(SimpleTestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory(prefix="bourse-bench-test-")
        self.addCleanup(folder.cleanup)
        self.file = Path(folder.name) / "made" / "bench.json"
        self.output = io.StringIO()

    def bench(self, *arguments: Any, among: tuple[Benchmark, ...] = (LOOK, FAIL, LOSE)) -> str:
        """Run the command with these benchmarks in its catalogue; what it said."""
        by_name = {benchmark.name: benchmark for benchmark in among}
        with (
            mock.patch.object(bench, "BENCHMARKS", among),
            mock.patch.object(bench, "BY_NAME", by_name),
            mock.patch.dict(
                os.environ, {"DATABASE_URL": "sqlite:////nowhere", "REDIS_URL": "redis://nowhere"}
            ),
        ):
            call_command("bench", *arguments, file=self.file, stdout=self.output)
        return self.output.getvalue()

    def reports(self) -> list[dict[str, Any]]:
        return json.loads(self.file.read_text())["reports"]


class CommandTests(CommandTestCase):
    def test_it_prints_a_table_and_writes_a_file(self) -> None:
        said = self.bench("look")
        self.assertRegex(
            said, r"look on SQLite [\d.]+ \(\d+ s\)\nfigure .*\nrounds +3\.00 times .* yes\n    three"
        )
        self.assertIn(f"Written to {self.file}.", said)
        (report,) = self.reports()
        self.assertEqual(report["problem"], "")
        self.assertEqual((report["figures"][0]["ratio"], report["figures"][0]["reached"]), (0.3, True))
        self.assertEqual(
            (report["figures"][1]["name"], report["figures"][1]["value"]), ("stocks in sqlite", 0)
        )
        facts = json.loads(self.file.read_text())
        self.assertGreater(facts["cores"], 0)
        self.assertIn("Python", facts["python"])

    def test_it_gives_a_quick_run_its_own_options(self) -> None:
        self.bench("look", "--quick")
        self.assertEqual(self.reports()[0]["figures"][0]["value"], 6)

    def test_it_fails_when_the_audit_does_and_shows_the_figures_all_the_same(self) -> None:
        with self.assertRaisesRegex(CommandError, "Not to be trusted: lose on SQLite"):
            self.bench("lose")
        self.assertIn("the audit found broken promises", self.output.getvalue())
        self.assertEqual(len(self.reports()[0]["figures"]), 1)

    def test_it_goes_on_after_a_benchmark_that_failed(self) -> None:
        with self.assertRaisesRegex(CommandError, "Not to be trusted: fail"):
            self.bench("fail", "look")
        self.assertEqual([report["problem"] for report in self.reports()], ["", "it ended with status 1"])

    def test_it_refuses_a_name_that_it_does_not_know(self) -> None:
        with self.assertRaisesRegex(CommandError, "no benchmark speed; there are: look, fail, lose"):
            self.bench("look", "speed")
        self.assertFalse(self.file.exists())

    def test_it_says_so_when_it_takes_the_embedded_broker(self) -> None:
        with mock.patch.object(running, "find_program", return_value=None):
            said = self.bench("ask", among=(ASK,))
        self.assertIn("mosquitto was not found: the embedded broker took its place.", said)
        self.assertEqual(self.reports()[0]["figures"][0]["name"], "mqtt")


class RealBenchmarkTests(CommandTestCase):
    """The benchmarks themselves, in their smallest size."""

    @needs("postgresql", "mosquitto")
    def test_it_measures_the_feed(self) -> None:
        self.bench("feed", "--quick", among=BENCHMARKS)
        (report,) = self.reports()
        self.assertEqual((report["broker"], len(report["figures"])), ("mosquitto", 3))

    @needs("postgresql")
    def test_it_measures_the_engine(self) -> None:
        self.bench("engine", "--quick", among=BENCHMARKS)
        reports = self.reports()
        self.assertEqual([report["database"].split()[0] for report in reports], [POSTGRESQL, SQLITE])
        self.assertEqual([len(report["figures"]) for report in reports], [15, 15])

    def test_it_measures_the_matcher(self) -> None:
        self.bench("matcher", "--quick", among=BENCHMARKS)
        (report,) = self.reports()
        self.assertEqual(report["database"], "")
        self.assertNotIn("DIFFERS", json.dumps(report))

    def test_it_measures_the_streams(self) -> None:
        with mock.patch.object(running, "find_program", return_value=None):
            self.bench("streams", "--quick", among=BENCHMARKS)
        (report,) = self.reports()
        self.assertEqual(len(report["figures"]), 7)
        self.assertEqual(report["figures"][0]["ratio"], 1)

    def test_it_measures_what_a_page_asks(self) -> None:
        with mock.patch.object(running, "find_program", return_value=None):
            self.bench("history", "--quick", among=BENCHMARKS)
        (report,) = self.reports()
        self.assertEqual(len(report["figures"]), 16)
