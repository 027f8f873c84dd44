from random import Random

from django.test import SimpleTestCase

from market_feed.streams.frames import PublicTrade, public_trades
from market_feed.streams.tape import MAX_AHEAD, TradeTape
from market_feed.tests.streams_base import batch


def trades(*sequences: int) -> list[PublicTrade]:
    return public_trades(batch(list(sequences), previous=0))


def numbers(given: list[PublicTrade]) -> list[int]:
    return [trade.sequence for trade in given]


class TradeTapeTests(SimpleTestCase):
    def test_it_gives_out_what_follows(self) -> None:
        tape = TradeTape(10)
        self.assertEqual(numbers(tape.offer(10, trades(12, 13))), [12, 13])
        self.assertEqual(numbers(tape.offer(13, trades(17))), [17])
        self.assertFalse(tape.has_gap)

    def test_it_drops_what_it_gave_out_before(self) -> None:
        tape = TradeTape(10)
        tape.offer(10, trades(12, 13))
        self.assertEqual(tape.offer(10, trades(12, 13)), [])
        self.assertEqual(numbers(tape.offer(10, trades(12, 13, 15))), [15])

    def test_it_keeps_what_comes_too_early_until_the_gap_is_filled(self) -> None:
        tape = TradeTape(0)
        self.assertEqual(tape.offer(5, trades(8)), [])
        self.assertEqual(tape.offer(3, trades(5)), [])
        self.assertTrue(tape.has_gap)
        self.assertEqual(numbers(tape.offer(0, trades(2, 3))), [2, 3, 5, 8])
        self.assertFalse(tape.has_gap)

    def test_it_goes_on_from_what_was_read_from_the_database(self) -> None:
        tape = TradeTape(0)
        tape.offer(5, trades(8, 9))
        self.assertEqual(numbers(tape.fill(trades(2, 5))), [2, 5, 8, 9])

    def test_it_drops_from_a_late_answer_what_arrived_meanwhile(self) -> None:
        tape = TradeTape(0)
        tape.offer(0, trades(2, 5))
        self.assertEqual(numbers(tape.fill(trades(2, 5, 8))), [8])
        self.assertEqual(tape.fill(trades(2)), [])

    def test_it_knows_of_trades_it_has_not_seen(self) -> None:
        tape = TradeTape(4)
        tape.note(4)
        self.assertFalse(tape.has_gap)
        tape.note(9)
        self.assertTrue(tape.has_gap)

    def test_it_skips_ahead_without_giving_anything_out(self) -> None:
        tape = TradeTape(0)
        tape.offer(5, trades(8))
        tape.skip_to(6)
        self.assertEqual(tape.delivered, 8)
        self.assertEqual(numbers(tape.offer(8, trades(9))), [9])

    def test_it_forgets_what_is_too_much_to_keep(self) -> None:
        tape = TradeTape(0)
        tape.offer(1, trades(*range(2, MAX_AHEAD + 2)))
        tape.offer(MAX_AHEAD + 1, trades(MAX_AHEAD + 2))
        given = tape.offer(0, trades(1))
        self.assertEqual(given[-1].sequence, MAX_AHEAD + 1)
        self.assertTrue(tape.has_gap)
        self.assertEqual(numbers(tape.fill(trades(MAX_AHEAD + 2))), [MAX_AHEAD + 2])

    def test_it_gives_every_trade_once_in_order_however_the_news_arrives(self) -> None:
        for seed in range(200):
            with self.subTest(seed=seed):
                self._deliver_at_random(Random(seed))

    def _deliver_at_random(self, rng: Random) -> None:
        sequences = sorted(rng.sample(range(1, 400), 60))
        stored = trades(*sequences)
        news, previous, start = [], 0, 0
        while start < len(stored):
            end = start + rng.randint(1, 6)
            news.append((previous, stored[start:end]))
            previous, start = news[-1][1][-1].sequence, end
        news = [one for one in news if rng.random() > 0.1]
        news += rng.sample(news, 5)
        # Out of order, but not by much.
        news.sort(key=lambda one: one[0] + rng.randint(0, 60))
        tape, given = TradeTape(0), []
        for before, part in news:
            given += tape.offer(before, part)
            if tape.has_gap and rng.random() < 0.2:
                given += tape.fill(
                    [one for one in stored if one.sequence > tape.delivered][: rng.randint(1, 9)]
                )
        tape.note(sequences[-1])
        while tape.has_gap:
            given += tape.fill([one for one in stored if one.sequence > tape.delivered][:7])
        self.assertEqual(numbers(given), sequences)
