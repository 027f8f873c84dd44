"""The import contracts of `.importlinter` hold, and each breaks when an arrow is planted the wrong way."""

import ast
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from django.test import SimpleTestCase

from config.testing.servers import needs

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ["config", "pages", "market_feed", "trade", "stocks", "users"]
TRADE_LAYERS = ["management", "apis", "engine", "services", "selectors", "models", "matching"]
# All that the rules of matching may need: words for data and algorithms.
PURE = {
    "abc",
    "bisect",
    "collections",
    "dataclasses",
    "enum",
    "functools",
    "heapq",
    "itertools",
    "math",
    "operator",
}
PURE |= {"trade.matching", "typing"}


class Copy:
    """The source without what does not import, to be spoiled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        shutil.copy(ROOT / ".importlinter", folder)
        for room in ROOMS:
            shutil.copytree(
                ROOT / room, folder / room, ignore=shutil.ignore_patterns("__pycache__", "docs", "static")
            )

    def plant(self, importer: str, imported: str) -> None:
        """Let one module or package import another."""
        path = self.folder / importer.replace(".", "/")
        path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        path.write_text(f"{path.read_text() if path.exists() else ''}\nimport {imported}\n")

    def lint(self, *contracts: str) -> tuple[int, str]:
        """The exit status and the report of lint-imports, on one line."""
        command = "from importlinter.cli import lint_imports_command; lint_imports_command()"
        chosen = [part for contract in contracts for part in ("--contract", contract)]
        process = subprocess.run(
            [sys.executable, "-c", command, "--no-cache", "--no-logo", *chosen],
            cwd=self.folder,
            # The copy is not what coverage is about.
            env={name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        return process.returncode, " ".join(process.stdout.split())


@needs(packages=("importlinter",))
class ImportContractTests(SimpleTestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory(prefix="bourse-imports-")
        self.addCleanup(folder.cleanup)
        self.copy = Copy(Path(folder.name))

    def assertCaught(self, contract: str, arrows: list[tuple[str, str]]) -> None:
        """The contract names every one of these imports once they are planted."""
        for importer, imported in arrows:
            self.copy.plant(importer, imported)
        status, report = self.copy.lint(contract)
        self.assertEqual(status, 1, report)
        for importer, imported in arrows:
            self.assertIn(f"{importer} -> {imported} (l.", report)

    def test_they_hold(self) -> None:
        status, report = self.copy.lint()
        self.assertEqual(status, 0, report)
        self.assertRegex(report, r"[1-9]\d* kept, 0 broken")

    def test_an_arrow_from_a_room_to_the_one_above_is_caught(self) -> None:
        pairs = zip(ROOMS[2:], ROOMS[1:], strict=False)
        self.assertCaught("rooms", [(f"{lower}.planted", f"{upper}.apps") for lower, upper in pairs])

    def test_an_arrow_from_the_bottom_to_the_top_is_caught(self) -> None:
        self.assertCaught("rooms", [("users.planted", "pages.apps")])

    def test_an_arrow_to_config_is_caught(self) -> None:
        self.assertCaught("nobody_imports_config", [(f"{room}.planted", "config.urls") for room in ROOMS[1:]])

    def test_a_test_may_import_the_helpers_of_tests_only(self) -> None:
        self.copy.plant("users.tests.planted", "config.testing.servers")
        self.assertEqual(self.copy.lint("rooms", "nobody_imports_config")[0], 0)
        self.assertCaught("nobody_imports_config", [("users.tests.planted", "config.urls")])

    def test_an_arrow_upwards_inside_trade_is_caught(self) -> None:
        pairs = zip(TRADE_LAYERS[1:], TRADE_LAYERS, strict=False)
        self.assertCaught("trade", [(f"trade.{lower}", f"trade.{upper}") for lower, upper in pairs])

    def test_the_views_and_the_admin_of_trade_are_on_top(self) -> None:
        self.assertCaught(
            "trade", [("trade.apis.planted", "trade.urls"), ("trade.engine.planted", "trade.admin")]
        )

    def test_a_module_of_trade_outside_the_layers_is_caught(self) -> None:
        self.copy.plant("trade.helpers", "trade.models")
        status, report = self.copy.lint("trade")
        self.assertEqual(status, 1)
        self.assertIn("trade.helpers", report)

    def test_an_impure_import_in_matching_is_caught(self) -> None:
        impure = [
            "django.db",
            "stocks.models",
            "users.models",
            "logging",
            "time",
            "datetime",
            "random",
            "os",
            "socket",
        ]
        for name in impure:
            self.copy.plant("trade.matching.planted", name)
        status, report = self.copy.lint("matching")
        self.assertEqual(status, 1)
        for name in impure:
            with self.subTest(name=name):
                self.assertRegex(report, rf"trade\.matching\.planted -> {name.removesuffix('.db')}")


class PurityTests(SimpleTestCase):
    def test_matching_imports_nothing_but_words_for_data(self) -> None:
        files = sorted((ROOT / "trade" / "matching").rglob("*.py"))
        self.assertTrue(files)
        for file in files:
            for name in imported_names(file):
                with self.subTest(file=file.name, name=name):
                    self.assertTrue(
                        name in PURE or name.startswith("trade.matching.") or name.split(".")[0] in PURE
                    )

    def test_matching_reads_no_file_and_prints_nothing(self) -> None:
        for file in (ROOT / "trade" / "matching").rglob("*.py"):
            called = {
                node.func.id
                for node in ast.walk(ast.parse(file.read_text()))
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
            }
            self.assertFalse(
                called & {"open", "print", "input", "exec", "eval", "__import__", "float"}, file.name
            )


def imported_names(file: Path) -> list[str]:
    names: list[str] = []
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names.append(f"{'.' * node.level}{node.module or ''}")
    return names
