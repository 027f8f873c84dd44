from datetime import datetime, timedelta, timezone
from decimal import Decimal
from fractions import Fraction

from django.test import SimpleTestCase

from pages.templatetags.amounts import (
    bps,
    cents,
    count,
    direction,
    milliseconds,
    moment,
    money,
    percent,
    signed,
    signed_cents,
)


class AmountTests(SimpleTestCase):
    def test_it_shows_all_places_there_are_and_at_least_two(self) -> None:
        shown = {"0": "0.00", "1234.5": "1,234.50", "0.0001": "0.0001", "-12345.678": "\u221212,345.678"}
        self.assertEqual({text: money(Decimal(text)) for text in shown}, shown)
        self.assertEqual(money(Decimal("100.0000"), 0), "100")
        self.assertEqual(money(Decimal("99999999999.9999")), "99,999,999,999.9999")
        self.assertEqual((money(None), cents(None), signed(None), count(None), bps(None)), ("\u2013",) * 5)

    def test_it_rounds_where_digits_mean_nothing(self) -> None:
        self.assertEqual(cents(Decimal("1756.4636")), "1,756.46")
        self.assertEqual(signed_cents(Decimal("0.126")), "+0.13")
        self.assertEqual(signed_cents(Decimal("-0.001")), "0.00")

    def test_it_signs_what_is_above_and_below_zero(self) -> None:
        self.assertEqual([signed(Decimal(value)) for value in (5, 0, -5)], ["+5.00", "0.00", "\u22125.00"])
        self.assertEqual([direction(Decimal(value)) for value in (5, 0, -5)], ["up", "", "down"])

    def test_it_shows_shares_as_percentages(self) -> None:
        shares = {
            Fraction(1, 3): "+33.33 %",
            Fraction(-1, 8): "\u221212.50 %",
            Fraction(0): "0.00 %",
            Fraction(1, 20_000): "+0.01 %",
            Fraction(-1, 100_000): "0.00 %",
            Fraction(12): "+1,200.00 %",
        }
        self.assertEqual({share: percent(share) for share in shares}, shares)
        self.assertEqual(percent(None), "\u2013")
        self.assertEqual(bps(25), "0.25 %")

    def test_it_shows_times_in_utc_for_the_script_to_translate(self) -> None:
        at = datetime(2024, 5, 6, 14, 0, tzinfo=timezone(timedelta(hours=2)))
        self.assertEqual(
            moment(at), '<time datetime="2024-05-06T12:00:00+00:00">2024-05-06 12:00:00 UTC</time>'
        )
        self.assertEqual(moment(None), "\u2013")

    def test_it_shows_short_times_with_a_decimal(self) -> None:
        self.assertEqual([milliseconds(value) for value in (0.0047, 0.5, 12)], ["4.7", "500", "12,000"])
