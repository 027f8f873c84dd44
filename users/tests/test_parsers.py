from decimal import Decimal
from io import BytesIO

from django.test import SimpleTestCase
from rest_framework.exceptions import ParseError

from users.parsers import MAX_DEPTH, StrictJSONParser, strict_loads


class StrictJsonTests(SimpleTestCase):
    def test_fractions_are_exact(self) -> None:
        self.assertEqual(strict_loads('{"a": 0.1, "b": 1}'), {"a": Decimal("0.1"), "b": 1})

    def test_a_byte_order_mark_is_skipped(self) -> None:
        self.assertEqual(StrictJSONParser().parse(BytesIO(b"\xef\xbb\xbf[1]")), [1])

    def test_it_refuses_what_is_not_strictly_json(self) -> None:
        for text in (
            *(
                "",
                "{",
                '{"a":',
                "{'a': 1}",
                "[1,]",
                "01",
                "NaN",
                "-Infinity",
                '{"a": Infinity}',
                "nul",
                "1 2",
            ),
            *('"\x00"', '"\n"', "[" * 5000, '{"a":' * 5000, "[" * 100_000, '"' + "\\" * 100_001),
        ):
            with self.subTest(text[:20]), self.assertRaises(ParseError):
                strict_loads(text)

    def test_it_refuses_bytes_that_are_not_utf_8(self) -> None:
        for body in (b"\xff", '{"a": "ä"}'.encode("latin-1"), '{"a": 1}'.encode("utf-16")):
            with self.subTest(body), self.assertRaises(ParseError):
                StrictJSONParser().parse(BytesIO(body))

    def test_it_refuses_names_given_twice(self) -> None:
        with self.assertRaises(ParseError):
            strict_loads('{"amount": 1, "amount": 100}')

    def test_it_refuses_numbers_nobody_can_hold(self) -> None:
        for text in ("9" * 65, "9" * 5000, "0." + "1" * 5000, "1e" + "9" * 5000):
            with self.subTest(text[:20]), self.assertRaises(ParseError):
                strict_loads(text)

    def test_it_refuses_characters_no_database_stores(self) -> None:
        for text in (r'"\u0000"', r'{"\u0000": 1}', r'[["a\ud800"]]', r'{"a": {"b": "\uDFFF"}}'):
            with self.subTest(text), self.assertRaises(ParseError):
                strict_loads(text)

    def test_it_takes_escapes_that_only_look_like_those(self) -> None:
        self.assertEqual(strict_loads(r'"\\u0000"'), "\\u0000")
        self.assertEqual(strict_loads(r'"\ud83d\ude00"'), "😀")

    def test_brackets_inside_strings_are_not_nesting(self) -> None:
        text = "[" * 100 + r"\"" + "{" * 100
        self.assertEqual(strict_loads(f'["{text}"]'), [text.replace(r"\"", '"')])

    def test_it_takes_the_deepest_nesting_allowed(self) -> None:
        strict_loads("[" * MAX_DEPTH + "]" * MAX_DEPTH)
        with self.assertRaises(ParseError):
            strict_loads("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1))

    def test_wide_bodies_are_not_deep(self) -> None:
        self.assertEqual(len(strict_loads("[" + ",".join(["[]"] * 1000) + "]")), 1000)
