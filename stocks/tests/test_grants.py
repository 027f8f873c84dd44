import threading
from collections.abc import Callable
from decimal import Decimal

from django.db import connection
from django.test import TestCase, TransactionTestCase

from stocks.models import Holding, ShareGrant
from stocks.services import HoldingTooLarge, UnknownStock, grant_shares
from stocks.services.grants import MAX_HOLDING
from stocks.services.holdings import InsufficientShares
from stocks.tests.base import make_stock
from users.exceptions import Refusal, UnknownUser
from users.models import CashAccount
from users.tests.base import NOON, make_user


class GrantTests(TestCase):
    def setUp(self) -> None:
        self.ann, self.clara = make_user("ann"), make_user("clara", is_staff=True)
        make_stock("ACME")

    def grant(self, quantity: int, **changes: object) -> ShareGrant:
        given = {"user_id": self.ann.pk, "stock_id": "ACME", "granted_by_id": self.clara.pk, **changes}
        return grant_shares(quantity=quantity, now=NOON, **given)

    def held(self) -> tuple[int, int, Decimal]:
        holding = Holding.objects.get(user=self.ann)
        return holding.quantity, holding.reserved, holding.cost

    def test_it_gives_shares_that_cost_nothing_and_notes_who_gave(self) -> None:
        grant = self.grant(100)
        self.assertEqual(self.held(), (100, 0, 0))
        self.assertEqual((grant.quantity, grant.granted_by, grant.created_at), (100, self.clara, NOON))

    def test_who_owns_something_has_an_account(self) -> None:
        self.grant(100)
        self.assertTrue(CashAccount.objects.filter(user=self.ann).exists())

    def test_a_negative_one_takes_back_and_leaves_the_average_cost(self) -> None:
        self.grant(100)
        Holding.objects.update(cost=Decimal(50))
        self.grant(-40)
        self.assertEqual(self.held(), (60, 0, 30))
        self.assertEqual(sum(grant.quantity for grant in ShareGrant.objects.all()), 60)

    def test_what_an_order_holds_cannot_be_taken(self) -> None:
        self.grant(100)
        Holding.objects.update(reserved=70)
        with self.assertRaises(InsufficientShares):
            self.grant(-31)
        self.grant(-30)
        self.assertEqual(self.held(), (70, 70, 0))

    def test_what_is_not_there_cannot_be_taken(self) -> None:
        with self.assertRaises(InsufficientShares):
            self.grant(-1)
        self.assertFalse(ShareGrant.objects.exists())

    def test_a_holding_has_a_limit(self) -> None:
        self.grant(1)
        Holding.objects.update(quantity=MAX_HOLDING)
        with self.assertRaises(HoldingTooLarge):
            self.grant(1)

    def test_unknown_users_and_stocks_are_refused(self) -> None:
        with self.assertRaises(UnknownUser):
            self.grant(1, user_id=self.clara.pk + 1)
        with self.assertRaises(UnknownStock):
            self.grant(1, stock_id="NO")


class RaceTests(TransactionTestCase):
    def test_the_first_grants_of_many_at_once_make_one_holding(self) -> None:
        ann = make_user("ann")
        make_stock("ACME")
        self.run_together(lambda: grant_shares(user_id=ann.pk, stock_id="ACME", quantity=5, now=NOON))
        self.assertEqual([holding.quantity for holding in Holding.objects.all()], [40])

    def test_shares_are_taken_back_once(self) -> None:
        ann = make_user("ann")
        make_stock("ACME")
        grant_shares(user_id=ann.pk, stock_id="ACME", quantity=10, now=NOON)
        refused = self.run_together(
            lambda: grant_shares(user_id=ann.pk, stock_id="ACME", quantity=-3, now=NOON)
        )
        self.assertEqual((Holding.objects.get().quantity, len(refused)), (1, 5))

    def run_together(self, work: Callable[[], object], threads: int = 8) -> list[Refusal]:
        """Who was refused."""
        refused: list[Refusal] = []
        start = threading.Barrier(threads)

        def run() -> None:
            start.wait()
            try:
                work()
            except Refusal as refusal:
                refused.append(refusal)
            finally:
                connection.close()

        running = [threading.Thread(target=run) for _ in range(threads)]
        for thread in running:
            thread.start()
        for thread in running:
            thread.join()
        return refused
