"""Where commands wait: who is woken for them, and in which order they are taken."""

from typing import Any
from unittest import TestCase, mock

from trade.engine.lanes import MAX_BATCH, MAX_WAITING, Lanes
from trade.services.refusals import EngineBusy


class Queues(TestCase):
    def setUp(self) -> None:
        self.lanes = Lanes()

    def take(self) -> tuple[str | None, list[Any]]:
        taken = self.lanes.take(0)
        assert taken is not None
        self.lane, commands = taken
        return self.lane.name, commands

    def test_what_waits_is_taken_together_and_in_order(self) -> None:
        for number in range(MAX_BATCH + 1):
            self.lanes.put("ACME", number)
        self.assertEqual(self.take(), ("ACME", list(range(MAX_BATCH))))
        self.lanes.release(self.lane)
        self.assertEqual(self.take(), ("ACME", [MAX_BATCH]))

    def test_a_lane_that_is_taken_is_not_taken_again(self) -> None:
        self.lanes.put("ACME", 1)
        self.take()
        self.lanes.put("ACME", 2)
        self.assertIsNone(self.lanes.take(0))

    def test_lanes_take_turns(self) -> None:
        self.lanes.put("ACME", *range(MAX_BATCH + 1))
        self.lanes.put("BOLT", "b")
        self.take()
        self.lanes.release(self.lane)
        self.assertEqual([self.take()[0], self.take()[0]], ["BOLT", "ACME"])

    def test_a_full_lane_takes_none_of_what_does_not_fit(self) -> None:
        self.lanes.put("ACME", *range(MAX_WAITING - 1))
        with self.assertRaises(EngineBusy):
            self.lanes.put("ACME", 1, 2)
        self.assertEqual(self.lanes.waiting(), {"ACME": MAX_WAITING - 1})


class Waking(TestCase):
    def setUp(self) -> None:
        self.lanes = Lanes()
        self.notify = self.enterContext(mock.patch.object(self.lanes._changed, "notify"))

    def test_it_wakes_a_thread_for_a_lane_that_is_ready(self) -> None:
        self.lanes.put("ACME", 1)
        self.notify.assert_called_once_with()

    def test_it_wakes_nobody_for_what_the_putting_thread_takes_itself(self) -> None:
        self.lanes.put("ACME", 1, takes_next=True)
        self.notify.assert_not_called()

    def test_it_wakes_others_for_what_one_thread_cannot_take_at_once(self) -> None:
        self.lanes.put("ACME", 1, takes_next=True)
        self.lanes.put("BOLT", 1, takes_next=True)
        self.notify.assert_called_once_with()

    def test_a_thread_takes_the_rest_of_its_lane_itself(self) -> None:
        self.lanes.put("ACME", 1)
        taken = self.lanes.take(0)
        assert taken is not None
        self.lanes.put("ACME", 2)
        self.notify.reset_mock()
        self.lanes.release(taken[0])
        self.notify.assert_not_called()
