from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from django.http import QueryDict
from django.test import SimpleTestCase
from rest_framework import serializers
from rest_framework.exceptions import ValidationError

from users.fields import MAX_MONEY, MAX_QUANTITY
from users.inputs import (
    MomentField,
    MoneyField,
    PriceField,
    QuantityField,
    StrictSerializer,
    date_range,
    json_number,
    json_time,
    json_units,
    validated,
)
from users.parsers import strict_loads

BAD_AMOUNTS = [
    ("0", "not_positive"),
    ("0.0", "not_positive"),
    ("-0.00", "not_positive"),
    ("-1", "not_positive"),
    ("-1e30", "not_positive"),
    ("1e-999999999999", "too_many_decimals"),
    ("true", "not_a_number"),
    ("false", "not_a_number"),
    ("[]", "not_a_number"),
    ("[5]", "not_a_number"),
    ("{}", "not_a_number"),
    ('""', "not_a_number"),
    ('"a lot"', "not_a_number"),
    ('"\uff11\uff12"', "not_a_number"),
    ('"٣"', "not_a_number"),
    ('"1_000"', "not_a_number"),
    ('" 5 "', "not_a_number"),
    ('"5\\n"', "not_a_number"),
    ('"+5"', "not_a_number"),
    ('"1,5"', "not_a_number"),
    ('".5"', "not_a_number"),
    ('"0x10"', "not_a_number"),
    (f'"{"1" * 65}"', "not_a_number"),
    ('"NaN"', "not_finite"),
    ('"-nan"', "not_finite"),
    ('"sNaN"', "not_finite"),
    ('"Infinity"', "not_finite"),
    ('"-inf"', "not_finite"),
    ("1e309", "too_large"),
    ("1e999999999999999999999", "too_large"),
    ('"1e309"', "too_large"),
    ("1000000000000000000000000000000", "too_large"),
    ("100000000000", "too_large"),
    ("99999999999.99991", "too_large"),
    ("0.00001", "too_many_decimals"),
    ("1e-5", "too_many_decimals"),
    ("0.30000000000000004", "too_many_decimals"),
    ("1e-400", "too_many_decimals"),
    ("null", "null"),
]

BAD_QUANTITIES = [
    ("0", "not_positive"),
    ("-5", "not_positive"),
    ('"-5"', "not_positive"),
    ("1.0", "not_a_whole_number"),
    ("1e2", "not_a_whole_number"),
    ("0.5", "not_a_whole_number"),
    ("true", "not_a_whole_number"),
    ("[]", "not_a_whole_number"),
    ('"ten"', "not_a_whole_number"),
    ('"\uff11\uff10"', "not_a_whole_number"),
    ('"1_000"', "not_a_whole_number"),
    ('" 5"', "not_a_whole_number"),
    ('"5\\n"', "not_a_whole_number"),
    ('"1.0"', "not_a_whole_number"),
    ('"NaN"', "not_a_whole_number"),
    (f"{MAX_QUANTITY + 1}", "too_large"),
    ("1000000000000000000000000000000", "too_large"),
    ('"1000000000000000000000000000000"', "too_large"),
    ("null", "null"),
]


class Body(StrictSerializer):
    amount = MoneyField(required=False)
    price = PriceField(required=False)
    quantity = QuantityField(required=False)
    grant = QuantityField(signed=True, required=False)
    shown = serializers.CharField(read_only=True)


def read(text: str) -> dict[str, Any]:
    return validated(Body, strict_loads(text))


def codes_of(text: str) -> dict[str, list[str]]:
    try:
        read(text)
    except ValidationError as error:
        return error.get_codes()
    return {}


class MoneyTests(SimpleTestCase):
    def test_it_takes_numbers_and_decimal_strings_exactly(self) -> None:
        for text, amount in [
            ("1", "1"),
            ("0.0001", "0.0001"),
            ("19402.0", "19402"),
            ("100.5000000", "100.5"),
            ("1e2", "100"),
            ("99999999999.9999", "99999999999.9999"),
            ('"100.5"', "100.5"),
            ('"007"', "7"),
            ('"1E+3"', "1000"),
        ]:
            with self.subTest(text):
                self.assertEqual(read(f'{{"amount": {text}}}')["amount"], Decimal(amount))

    def test_it_refuses_everything_else_by_name(self) -> None:
        for text, code in BAD_AMOUNTS:
            with self.subTest(text):
                self.assertEqual(codes_of(f'{{"amount": {text}}}'), {"amount": [code]})

    def test_it_takes_floats_of_other_parsers_as_they_print(self) -> None:
        self.assertEqual(validated(Body, {"amount": 0.1})["amount"], Decimal("0.1"))
        for value, code in [
            (float("nan"), "not_finite"),
            (float("inf"), "not_finite"),
            (Decimal("sNaN"), "not_finite"),
            (1e300, "too_large"),
        ]:
            with self.subTest(value), self.assertRaises(ValidationError) as caught:
                validated(Body, {"amount": value})
            self.assertEqual(caught.exception.get_codes(), {"amount": [code]})

    def test_a_price_has_its_own_limit(self) -> None:
        self.assertEqual(read('{"price": 1000000}')["price"], 1_000_000)
        self.assertEqual(codes_of('{"price": 1000000.0001}'), {"price": ["too_large"]})


class QuantityTests(SimpleTestCase):
    def test_it_takes_whole_numbers(self) -> None:
        for text, quantity in [("1", 1), (f"{MAX_QUANTITY}", MAX_QUANTITY), ('"10"', 10)]:
            with self.subTest(text):
                self.assertEqual(read(f'{{"quantity": {text}}}')["quantity"], quantity)

    def test_it_refuses_everything_else_by_name(self) -> None:
        for text, code in BAD_QUANTITIES:
            with self.subTest(text):
                self.assertEqual(codes_of(f'{{"quantity": {text}}}'), {"quantity": [code]})

    def test_a_signed_one_may_be_negative_but_not_zero(self) -> None:
        self.assertEqual(read('{"grant": -5}')["grant"], -5)
        self.assertEqual(codes_of('{"grant": 0}'), {"grant": ["zero"]})
        self.assertEqual(codes_of(f'{{"grant": -{MAX_QUANTITY + 1}}}'), {"grant": ["too_small"]})


class StrictSerializerTests(SimpleTestCase):
    def test_it_refuses_unknown_and_read_only_fields(self) -> None:
        for name in ("colour", "shown", "", "AMOUNT"):
            with self.subTest(name):
                self.assertEqual(codes_of(f'{{"amount": 1, "{name}": 1}}'), {name: ["unknown_field"]})

    def test_it_names_only_some_of_many_and_cuts_long_names(self) -> None:
        body = {f"{number:0100}": 1 for number in range(1000)}
        with self.assertRaises(ValidationError) as caught:
            validated(Body, body)
        self.assertLessEqual(len(caught.exception.detail), 10)
        self.assertTrue(all(len(name) == 64 for name in caught.exception.detail))

    def test_it_takes_forms(self) -> None:
        self.assertEqual(
            validated(Body, QueryDict("amount=1.5&quantity=3")), {"amount": Decimal("1.5"), "quantity": 3}
        )
        with self.assertRaises(ValidationError):
            validated(Body, QueryDict("amount=1.5&colour=red"))

    def test_it_refuses_what_is_not_an_object(self) -> None:
        for text in ("[1]", '"text"', "5", "true"):
            with self.subTest(text):
                self.assertEqual(codes_of(text), {"non_field_errors": ["invalid"]})


class MomentTests(SimpleTestCase):
    def test_it_reads_iso_8601_in_utc_unless_told_otherwise(self) -> None:
        for text, moment in [
            ("2022-12-05", datetime(2022, 12, 5, tzinfo=UTC)),
            ("2022-12-05 04:00:00", datetime(2022, 12, 5, 4, tzinfo=UTC)),
            ("2022-12-05T04:00", datetime(2022, 12, 5, 4, tzinfo=UTC)),
            ("2022-12-05T04:00:00Z", datetime(2022, 12, 5, 4, tzinfo=UTC)),
            ("2022-12-05T04:00:00.25Z", datetime(2022, 12, 5, 4, 0, 0, 250_000, tzinfo=UTC)),
            ("2022-12-05T04:00:00+02:00", datetime(2022, 12, 5, 2, tzinfo=UTC)),
            ("2022-12-05T04:00:00 02:00", datetime(2022, 12, 5, 2, tzinfo=UTC)),
            ("2022-12-05T04:00:00-0530", datetime(2022, 12, 5, 9, 30, tzinfo=UTC)),
        ]:
            with self.subTest(text):
                self.assertEqual(MomentField().run_validation(text), moment)

    def test_it_refuses_everything_else(self) -> None:
        for text in (
            *(
                "",
                "now",
                "2022",
                "2022-13-01",
                "2022-02-30",
                "2022-12-05T25:00:00",
                "05.12.2022",
                "1670212800",
            ),
            *(
                "\uff12\uff10\uff12\uff12-12-05",
                "2022-12-05\n",
                "2022-12-05T04:00:00+25:00",
                "2022-12-05T04:00:00+02:99",
                "\x00",
            ),
            *("0000-01-01", "0001-01-01T00:00:00+02:00", "9999-12-31T23:59:59-02:00", "99999-01-01"),
            *(None, 5, True, [], "2022-12-05T04:00:00.1234567"),
        ):
            with self.subTest(text), self.assertRaises(ValidationError):
                MomentField().run_validation(text)

    def test_a_range_includes_both_ends_and_the_whole_last_day(self) -> None:
        start, end = date_range(QueryDict("from_date=2022-12-05&to_date=2022-12-05"))
        self.assertEqual(start, datetime(2022, 12, 5, tzinfo=UTC))
        self.assertEqual(end, datetime(2022, 12, 5, 23, 59, 59, 999_999, tzinfo=UTC))

    def test_either_end_of_a_range_may_be_missing_or_empty(self) -> None:
        self.assertEqual(date_range(QueryDict("from_date=2022-12-05&to_date="))[1], None)
        self.assertEqual(date_range(QueryDict("")), (None, None))

    def test_a_reversed_range_is_refused(self) -> None:
        with self.assertRaises(ValidationError) as caught:
            date_range(QueryDict("from_date=2022-12-06&to_date=2022-12-05"))
        self.assertEqual(caught.exception.get_codes(), {"from_date": ["range_reversed"]})


class RenderingTests(SimpleTestCase):
    def test_numbers_print_exactly(self) -> None:
        for text in ("19402.0", "100.5", "0.0001", "99999999999.9999", "12345678901.2345", "0.1"):
            with self.subTest(text):
                self.assertEqual(repr(json_number(Decimal(text))), text)
                self.assertEqual(repr(json_units(int(Decimal(text) * 10_000))), text)

    def test_the_largest_amount_prints_exactly(self) -> None:
        self.assertEqual(Decimal(repr(json_number(MAX_MONEY))), MAX_MONEY)

    def test_times_print_in_utc_with_z(self) -> None:
        self.assertEqual(json_time(datetime(2022, 12, 5, 4, tzinfo=UTC)), "2022-12-05T04:00:00Z")
