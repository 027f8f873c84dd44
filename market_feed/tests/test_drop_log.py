"""What is dropped is counted, and logged sparingly."""

from django.test import SimpleTestCase

from market_feed import metrics
from market_feed.drop_log import LOG_AGAIN_AFTER_S, DropLog


class Dropping(SimpleTestCase):
    def setUp(self) -> None:
        self.now = 0.0
        self.log = DropLog(clock=lambda: self.now)

    def test_it_logs_the_first_of_a_kind_with_the_message(self) -> None:
        with self.assertLogs("market_feed.drop_log", "WARNING") as caught:
            self.log.add("not_json", "no", b"{\xff" + b"x" * 1_000)
        self.assertIn("not_json", caught.output[0])
        self.assertLess(len(caught.output[0]), 400)

    def test_it_counts_the_others_silently(self) -> None:
        counter = metrics.malformed.labels("bad_price")
        before = counter._value.get()
        with self.assertLogs("market_feed.drop_log", "WARNING") as caught:
            for _ in range(1_000):
                self.log.add("bad_price", "no")
        self.assertEqual(len(caught.output), 1)
        self.assertEqual(self.log.counts["bad_price"], 1_000)
        self.assertEqual(counter._value.get() - before, 1_000)

    def test_it_logs_the_count_after_a_while(self) -> None:
        with self.assertLogs("market_feed.drop_log", "WARNING") as caught:
            self.log.add("bad_price", "no")
            self.now = LOG_AGAIN_AFTER_S
            self.log.add("bad_price", "no")
            self.log.add("bad_price", "no")
        self.assertEqual(len(caught.output), 2)
        self.assertIn("2 feed messages (bad_price)", caught.output[1])
