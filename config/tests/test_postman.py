"""The Postman collection goes where the API goes, and nowhere else."""

import json
import re
from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.test import SimpleTestCase
from drf_spectacular.generators import SchemaGenerator

FOLDER = settings.BASE_DIR / "config" / "postman"
COLLECTION = FOLDER / "bourse.postman_collection.json"
# What tells Postman which format the file is in.
FORMAT = "https://schema.getpostman.com/json/collection/v2.1.0/collection.json"


def requests_in(item: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every request below an item, in order."""
    if "request" in item:
        yield item
    for child in item.get("item", []):
        yield from requests_in(child)


class CollectionTests(SimpleTestCase):
    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.collection = json.loads(COLLECTION.read_text())
        cls.requests = list(requests_in(cls.collection))

    def test_it_calls_every_operation(self) -> None:
        called = {
            (item["request"]["method"], "/" + item["request"]["url"]["raw"].split("?")[0].split("/", 1)[1])
            for item in self.requests
        }
        schema = SchemaGenerator().get_schema(request=None, public=True)
        for path, operations in schema["paths"].items():
            pattern = re.compile(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(path.rstrip("/"))) + "/?")
            for method in operations:
                with self.subTest(path=path, method=method):
                    self.assertTrue(
                        any(verb == method.upper() and pattern.fullmatch(where) for verb, where in called)
                    )

    def test_it_tests_every_answer(self) -> None:
        for item in self.requests:
            with self.subTest(item["name"]):
                lines = [
                    line
                    for event in item["event"]
                    if event["listen"] == "test"
                    for line in event["script"]["exec"]
                ]
                self.assertRegex(lines[0], r'^pm\.test\("answers \d{3}"')
                self.assertGreater(sum(line.startswith("pm.test(") for line in lines), 1)

    def test_it_sets_every_variable_it_uses(self) -> None:
        text = COLLECTION.read_text()
        environment = json.loads((FOLDER / "bourse.postman_environment.json").read_text())
        known = {variable["key"] for variable in [*self.collection["variable"], *environment["values"]]}
        self.assertEqual(set(re.findall(r"{{(\w+)}}", text)) - known, set())

    def test_it_goes_nowhere_else(self) -> None:
        for path in FOLDER.iterdir():
            addresses = set(re.findall(r"\w+://[^\s\"'\\]+", path.read_text()))
            self.assertLessEqual(addresses, {FORMAT, "http://127.0.0.1:8000"})
