"""What is a tick, and everything that is none."""

import json
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from django.test import SimpleTestCase

from market_feed.messages import MAX_PAYLOAD_BYTES, MalformedMessage, clean_name, decode_tick
from stocks.services import FeedTick

NOW = datetime(2024, 5, 6, 12, 0, tzinfo=UTC)
CENT = 100
GOOD = {
    "stock_id": "AAA",
    "name": "Alpha",
    "price": 23.82,
    "availability": 1038,
    "timestamp": "2019-12-15 14:36:33.462393",
}


def decode(payload: bytes, increment: int = CENT) -> FeedTick:
    return decode_tick(payload, latest=NOW + timedelta(minutes=5), increment_of=lambda *_: increment)


def payload(**fields: Any) -> bytes:
    return json.dumps(GOOD | fields).encode()


def literal(field: str, text: str) -> bytes:
    """A good message but for one value, spelled exactly like this."""
    spelled = {name: json.dumps(value) for name, value in GOOD.items()} | {field: text}
    return ("{" + ", ".join(f'"{name}": {value}' for name, value in spelled.items()) + "}").encode()


class Decoding(SimpleTestCase):
    def test_it_reads_the_message_of_the_contract(self) -> None:
        moment = datetime(2019, 12, 15, 14, 36, 33, 462393, tzinfo=UTC)
        self.assertEqual(decode(payload()), FeedTick("AAA", 238_200, 1038, moment, "Alpha"))

    def test_it_takes_a_price_as_text(self) -> None:
        self.assertEqual(decode(payload(price="23.82")).price, 238_200)

    def test_it_takes_a_whole_price_and_exponents(self) -> None:
        for text, units in [("24", 240_000), ("2.4e1", 240_000), ("240E-1", 240_000), ("0.01", 100)]:
            with self.subTest(text):
                self.assertEqual(decode(literal("price", text)).price, units)

    def test_it_takes_the_largest_and_the_smallest_price(self) -> None:
        self.assertEqual(decode(literal("price", "1000000")).price, 10_000_000_000)
        self.assertEqual(decode(literal("price", "0.0001"), increment=1).price, 1)

    def test_it_reads_times_with_and_without_a_zone(self) -> None:
        moment = datetime(2019, 12, 15, 14, 36, 33, tzinfo=UTC)
        for text in (
            "2019-12-15 14:36:33",
            "2019-12-15T14:36:33Z",
            "2019-12-15T16:36:33+02:00",
            "2019-12-15 09:36:33-05:00",
            "2019-12-15T14:36:33.000000",
        ):
            with self.subTest(text):
                self.assertEqual(decode(payload(timestamp=text)).timestamp, moment)

    def test_it_allows_a_clock_that_is_a_little_ahead(self) -> None:
        ahead = NOW + timedelta(minutes=5)
        self.assertEqual(decode(payload(timestamp=ahead.isoformat())).timestamp, ahead)

    def test_it_takes_no_shares_as_an_availability(self) -> None:
        self.assertEqual(decode(payload(availability=0)).availability, 0)

    def test_it_ignores_fields_that_it_does_not_know(self) -> None:
        self.assertEqual(decode(payload(venue={"a": [1, 2]})).stock_id, "AAA")

    def test_it_takes_white_space_around_the_object(self) -> None:
        self.assertEqual(decode(b" \n" + payload() + b"\r\n").stock_id, "AAA")


class Rounding(SimpleTestCase):
    def test_it_goes_to_the_nearest_increment_and_ties_to_the_even_one(self) -> None:
        for text, units in [
            ("10.004", 100_000),
            ("10.006", 100_100),
            ("10.005", 100_000),
            ("10.015", 100_200),
            ("10.0050000000000000000001", 100_100),
            ("10.0149999999999999999999", 100_100),
        ]:
            for spelled in (text, json.dumps(text)):
                with self.subTest(spelled):
                    self.assertEqual(decode(literal("price", spelled)).price, units)

    def test_it_knows_odd_increments(self) -> None:
        self.assertEqual(decode(literal("price", "10.07"), increment=500).price, 100_500)
        self.assertEqual(decode(literal("price", "10.025"), increment=500).price, 100_000)

    def test_it_loses_no_digit_of_any_price_on_the_increment(self) -> None:
        rng = Random(7)
        for _ in range(2_000):
            units = rng.randint(1, 10_000_000_000)
            text = f"{units // 10_000}.{units % 10_000:04}"
            self.assertEqual(decode(literal("price", text), increment=1).price, units, text)

    def test_it_refuses_what_rounds_to_nothing(self) -> None:
        with self.assertRaises(MalformedMessage) as caught:
            decode(literal("price", "0.004"))
        self.assertEqual(caught.exception.kind, "price_not_positive")


class Names(SimpleTestCase):
    def test_it_removes_markup_and_what_cannot_be_seen(self) -> None:
        for name, shown in [
            ("<script>alert(1)</script>", "scriptalert(1)/script"),
            ("Al\u0000pha\n Corp", "Alpha Corp"),
            ("\u202eAlpha\u200b", "Alpha"),
            ("Al\ud800pha", "Alpha"),
            ("  Älpha & Söhne ", "Älpha & Söhne"),
        ]:
            with self.subTest(name):
                self.assertEqual(clean_name(name), shown)

    def test_it_cuts_what_is_long(self) -> None:
        self.assertEqual(decode(payload(name="x" * 500)).name, "x" * 100)

    def test_it_names_the_nameless_by_their_id(self) -> None:
        nameless = {field: value for field, value in GOOD.items() if field != "name"}
        for message in (
            payload(name=""),
            payload(name=" <> "),
            payload(name=None),
            json.dumps(nameless).encode(),
        ):
            with self.subTest(message):
                self.assertEqual(decode(message).name, "AAA")


class Malformed(SimpleTestCase):
    def assert_malformed(self, kind: str, message: bytes) -> None:
        with self.assertRaises(MalformedMessage, msg=message[:200]) as caught:
            decode(message)
        self.assertEqual(caught.exception.kind, kind, message[:200])

    def test_it_is_not_json(self) -> None:
        for message in (
            b"",
            b"{",
            b"price 20",
            b"\xff\xfe\x00",
            b"{'stock_id': 'AAA'}",
            payload() + b"}",
            payload() + payload(),
            b"[" * 4_000,
            b'{"a":' * 800,
            "\ufeff".encode() + payload(),
        ):
            self.assert_malformed("not_json", message)

    def test_it_is_not_an_object(self) -> None:
        for message in (b"null", b"[]", b"[1, 2]", b'"AAA"', b"17", b"true", b"NaN", b"1e309"):
            self.assert_malformed("not_an_object", message)

    def test_it_is_too_large(self) -> None:
        self.assert_malformed("too_large", payload(name="x" * 1_000_000))
        self.assert_malformed("too_large", b" " * (MAX_PAYLOAD_BYTES + 1))

    def test_a_field_is_missing(self) -> None:
        for field in ("stock_id", "price", "availability", "timestamp"):
            rest = {name: value for name, value in GOOD.items() if name != field}
            self.assert_malformed("missing_field", json.dumps(rest).encode())
        self.assert_malformed("missing_field", b"{}")
        self.assert_malformed("missing_field", b'{"a":' * 500 + b"1" + b"}" * 500)

    def test_a_field_is_there_twice(self) -> None:
        self.assert_malformed("duplicate_field", payload()[:-1] + b', "price": 1}')

    def test_a_field_has_a_wrong_type(self) -> None:
        for fields in (
            {"stock_id": 5},
            {"stock_id": 5.5},
            {"stock_id": None},
            {"stock_id": ["AAA"]},
            {"name": 5},
            {"name": ["Alpha"]},
            {"price": None},
            {"price": True},
            {"price": [20]},
            {"price": {"amount": 20}},
            {"availability": "100"},
            {"availability": True},
            {"availability": None},
            {"timestamp": 1576420593},
            {"timestamp": None},
        ):
            self.assert_malformed("wrong_type", payload(**fields))

    def test_the_stock_id_is_no_id(self) -> None:
        for stock_id in (
            "",
            " AAA",
            "AAA ",
            "A/B",
            "../AAA",
            "-AAA",
            "A" * 65,
            "AAA\n",
            "<b>",
            "ÄÄÄ",
            "A\u0000",
        ):
            self.assert_malformed("bad_stock_id", payload(stock_id=stock_id))

    def test_the_price_is_no_number(self) -> None:
        for text in (
            "",
            " 5",
            "5 ",
            "1_000",
            "1,5",
            "+5",
            ".5",
            "5.",
            "0x10",
            "NaN",
            "Infinity",
            "-inf",
            "\uff11\uff12",
            "1e99999",
        ):
            self.assert_malformed("bad_price", payload(price=text))
        for spelled in ("NaN", "Infinity", "-Infinity", "1e99999"):
            self.assert_malformed("bad_price", literal("price", spelled))

    def test_the_price_is_not_positive(self) -> None:
        for spelled in ("0", "-1", "-0.0", "0.00", "-23.82", "1e-400", "-1e309", '"-5"', '"0"'):
            self.assert_malformed("price_not_positive", literal("price", spelled))

    def test_the_price_is_too_large(self) -> None:
        for spelled in ("1e309", "1e30", "1000000.0001", "1" + "0" * 30, '"1e9999"', "9" * 3_900):
            self.assert_malformed("price_too_large", literal("price", spelled))

    def test_the_availability_is_bad(self) -> None:
        for spelled in ("1.0", "1.5", "1e2", "NaN", "1e309"):
            self.assert_malformed("bad_availability", literal("availability", spelled))
        self.assert_malformed("negative_availability", payload(availability=-1))
        self.assert_malformed("availability_too_large", payload(availability=1_000_000_001))
        self.assert_malformed("availability_too_large", payload(availability=10**30))

    def test_the_timestamp_is_bad(self) -> None:
        for text in (
            "",
            "yesterday",
            "2019-13-01",
            "2019-12-15 25:00:00",
            "1576420593",
            "0001-01-01T00:00:00+23:59",
            "9999-12-31T23:59:59-23:59",
            "1969-12-31T23:59:59",
            "2019-12-15 14:36:33 PST",
            "\ud800",
        ):
            self.assert_malformed("bad_timestamp", payload(timestamp=text))

    def test_the_timestamp_is_in_the_future(self) -> None:
        for moment in ("2024-05-06T12:05:00.000001Z", "2024-05-06T11:05:01-01:00", "9999-12-31"):
            self.assert_malformed("future_timestamp", payload(timestamp=moment))

    def test_nothing_else_is_ever_raised(self) -> None:
        rng = Random(11)
        letters = bytes(range(256))
        for number in range(4_000):
            message = bytearray(payload())
            for _ in range(rng.randint(1, 6)):
                place = rng.randrange(len(message))
                message[place : place + rng.randint(0, 3)] = bytes(rng.choices(letters, k=rng.randint(0, 3)))
            try:
                decode(bytes(message))
            except MalformedMessage:
                continue
            except Exception as error:
                self.fail(f"{error!r} for message {number}: {bytes(message)!r}")
