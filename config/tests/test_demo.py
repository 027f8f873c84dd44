"""The demo: the world it makes, the parts it runs, and the whole of it as a process."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from decimal import Decimal
from pathlib import Path
from typing import Any
from unittest import mock

from django.contrib.auth import authenticate
from django.core.management import CommandError, call_command
from django.test import SimpleTestCase, TestCase
from django.utils import timezone

from config.demo import cast
from config.demo.runner import Demo, DemoOptions, is_free, stocks_to_price
from config.demo.world import NotADemo, make_world, ready_token
from config.management.commands import demo as command
from stocks.models import Holding, ShareGrant, Stock
from users.models import CashAccount, LedgerEntry, User

ROOT = Path(__file__).resolve().parent.parent.parent


class WorldTests(TestCase):
    def test_it_lists_a_dozen_stocks_with_names(self) -> None:
        world = make_world(now=timezone.now())
        self.assertEqual(set(world.stock_ids), set(Stock.objects.values_list("pk", flat=True)))
        self.assertEqual(len(world.stock_ids), 12)
        self.assertFalse(Stock.objects.filter(name="").exists())

    def test_traders_can_log_in_with_the_passwords_it_gives_once(self) -> None:
        world = make_world(now=timezone.now())
        self.assertEqual(set(world.passwords), {cast.STAFF, *cast.TRADERS})
        for name in (cast.STAFF, cast.TRADERS[0]):
            user = authenticate(username=name, password=world.passwords[name])
            self.assertEqual(user and user.pk, world.user_ids[name])
        self.assertTrue(User.objects.get(username=cast.STAFF).is_superuser)
        self.assertFalse(User.objects.filter(username__in=cast.TRADERS, is_staff=True).exists())

    def test_everybody_but_staff_has_cash_and_every_stock(self) -> None:
        world = make_world(now=timezone.now())
        for name, cash in ((cast.TRADERS[0], cast.TRADER_CASH), (cast.MAKERS[0], cast.MAKER_CASH)):
            self.assertEqual(CashAccount.objects.get(user__username=name).balance, cash)
            holdings = Holding.objects.filter(user__username=name, quantity__gt=0)
            self.assertEqual(holdings.count(), len(world.stock_ids))
        self.assertEqual(
            sum(entry.amount for entry in LedgerEntry.objects.all()),
            sum(account.balance for account in CashAccount.objects.all()),
        )

    def test_nobody_logs_in_as_a_house_bot(self) -> None:
        make_world(now=timezone.now())
        for name in (*cast.MAKERS, *cast.NOISE_TRADERS):
            self.assertFalse(User.objects.get(username=name).has_usable_password())

    def test_a_second_time_it_changes_nothing(self) -> None:
        first = make_world(now=timezone.now())
        before = (User.objects.count(), LedgerEntry.objects.count(), ShareGrant.objects.count())
        second = make_world(now=timezone.now())
        self.assertEqual(second.passwords, {})
        self.assertEqual((second.user_ids, second.stock_ids), (first.user_ids, first.stock_ids))
        self.assertEqual(
            (User.objects.count(), LedgerEntry.objects.count(), ShareGrant.objects.count()), before
        )

    def test_a_second_time_it_asks_little(self) -> None:
        make_world(now=timezone.now())
        with self.assertNumQueries(21):
            make_world(now=timezone.now())

    def test_a_bot_that_came_down_to_little_is_topped_up(self) -> None:
        world = make_world(now=timezone.now())
        poor, poorer = world.ids_of(cast.NOISE_TRADERS[:2])
        CashAccount.objects.filter(user_id=poor).update(balance=cast.NOISE_CASH / 2)
        CashAccount.objects.filter(user_id=poorer).update(balance=Decimal(7))
        Holding.objects.filter(user_id=poorer, stock_id="AVLN").update(quantity=0)
        make_world(now=timezone.now())
        self.assertEqual(CashAccount.objects.get(user_id=poor).balance, cast.NOISE_CASH / 2)
        self.assertEqual(CashAccount.objects.get(user_id=poorer).balance, cast.NOISE_CASH)
        self.assertGreater(Holding.objects.get(user_id=poorer, stock_id="AVLN").quantity, 0)

    def test_it_stays_out_of_a_market_that_is_no_demo(self) -> None:
        User.objects.create_user("somebody")
        with self.assertRaises(NotADemo):
            make_world(now=timezone.now())
        self.assertEqual(Stock.objects.count(), 0)

    def test_the_ready_token_opens_the_api_for_a_day(self) -> None:
        world = make_world(now=timezone.now())
        user_id = world.user_ids[cast.TRADERS[0]]
        headers = {"Authorization": f"Token {ready_token(user_id=user_id)}"}
        self.assertEqual(
            self.client.get("/api/users/me/", headers=headers).json()["username"], cast.TRADERS[0]
        )
        user = User.objects.get(pk=user_id)
        self.assertLess(
            user.auth_token_set.get().expiry, timezone.now() + timezone.timedelta(days=1, minutes=1)
        )

    def test_prices_go_on_at_the_last_quote(self) -> None:
        make_world(now=timezone.now())
        Stock.objects.filter(pk="AVLN").update(quote_price=Decimal("13.37"))
        stocks = {stock.stock_id: stock for stock in stocks_to_price()}
        self.assertEqual((stocks["AVLN"].price, stocks["AVLN"].last_price), (124_000, 133_700))
        self.assertIsNone(stocks["BRKM"].last_price)


class PartsTests(SimpleTestCase):
    def test_parts_are_stopped_newest_first_when_one_does_not_start(self) -> None:
        stopped: list[str] = []
        demo = Demo(mock.Mock(), DemoOptions(broker_url="mqtt://127.0.0.1:1"))
        demo._start_role = lambda role: demo._parts.callback(stopped.append, role)  # type: ignore[method-assign]
        with (
            mock.patch("config.demo.runner.feed_consumer", return_value="feed"),
            mock.patch("config.demo.runner.publisher", return_value="publisher"),
            mock.patch("config.demo.runner.get_engine"),
            mock.patch.object(demo, "_start_prices", side_effect=RuntimeError("planted")),
            self.assertRaisesMessage(RuntimeError, "planted"),
        ):
            demo.start()
        self.assertEqual(stopped, ["publisher", "feed"])

    def test_a_loop_runs_until_it_is_stopped(self) -> None:
        demo = Demo(mock.Mock(), DemoOptions())
        stopping = threading.Event()
        demo._run("a-loop", stopping.wait, stopping.set)
        self.assertIn("a-loop", {thread.name for thread in threading.enumerate()})
        demo.stop()
        self.assertNotIn("a-loop", {thread.name for thread in threading.enumerate()})


class CommandTests(SimpleTestCase):
    databases = {"default"}

    def setUp(self) -> None:
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))

    def test_it_says_when_the_port_is_taken(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            self.assertFalse(is_free("127.0.0.1", port))
            with self.assertRaisesMessage(CommandError, f"Cannot serve on 127.0.0.1:{port}"):
                call_command("demo", port=port)
        self.assertTrue(is_free("127.0.0.1", port))

    def test_it_refuses_rates_that_make_no_sense(self) -> None:
        for name in ("bot_rate", "tick_rate"):
            for rate in (0, -1, 1001, float("nan")):
                with self.subTest(name=name, rate=rate), self.assertRaises(CommandError):
                    call_command("demo", port=0, **{name: rate})

    def test_one_demo_at_a_time_has_a_folder(self) -> None:
        with command.alone(self.folder):
            with self.assertRaisesMessage(CommandError, "is running"):
                command.alone(self.folder).__enter__()
        with command.alone(self.folder):
            pass

    def test_it_deletes_no_database_of_a_server(self) -> None:
        with mock.patch.object(command.connection, "vendor", "postgresql"):
            with self.assertRaisesMessage(CommandError, "SQLite"):
                command.Command().reset()

    def test_it_migrates_only_what_is_behind(self) -> None:
        with mock.patch.object(command, "call_command") as call:
            command.migrate()
        call.assert_not_called()


class ProcessTests(SimpleTestCase):
    """The whole demo, as a person would start it."""

    def setUp(self) -> None:
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))

    def start(self, *options: str) -> str:
        """Start it, and return what it says until it serves."""
        environment = {key: value for key, value in os.environ.items() if key != "DATABASE_URL"}
        # A file, for a pipe that nobody reads would fill up and block it.
        self.log = self.folder / "log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-u", "manage.py", "demo", "--port", "0", *options],
                cwd=ROOT,
                env={**environment, "BOURSE_DATA_DIR": str(self.folder / "data")},
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self.addCleanup(self.process.kill)
        return self.until(lambda: re.search("Ctrl-C ends it", self.said()) and self.said())

    def said(self) -> str:
        return self.log.read_text()

    def until(self, ask: Any, seconds: float = 120) -> Any:
        end = time.monotonic() + seconds
        while not (answer := ask()):
            self.assertLess(time.monotonic(), end, self.said())
            self.assertIsNone(self.process.poll(), self.said())
            time.sleep(0.1)
        return answer

    def stop(self, number: int) -> None:
        self.process.send_signal(number)
        self.assertEqual(self.process.wait(30), 0, self.said())
        self.assertNotIn("Traceback", self.said())

    def ask(self, path: str, body: bytes | None = None) -> Any:
        request = urllib.request.Request(f"{self.url}{path}", body, {"Authorization": f"Token {self.token}"})
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def read_banner(self, said: str) -> None:
        found = re.search(r"The market is open: +(\S+)", said)
        token = re.search(r"Authorization: Token (\w+)", said)
        assert found and token
        self.url, self.token = found[1], token[1]

    def book_is_alive(self) -> bool:
        book = self.ask("api/orderbook/?stock_id=AVLN")
        return len(book["bids"]) == len(book["asks"]) == 5

    def test_it_opens_a_market_goes_on_after_a_restart_and_ends_cleanly(self) -> None:
        said = self.start()
        self.assertIn("Passwords, shown this once", said)
        self.read_banner(said)
        self.until(self.book_is_alive)
        order = self.ask("api/orders/", b"stock_id=AVLN&side=buy&type=market&quantity=10")
        self.assertEqual((order["status"], order["traded_quantity"]), ("FILLED", 10))
        held = {stock["stock_id"]: stock["total_count"] for stock in self.ask("api/users/me/")["stocks"]}
        self.stop(signal.SIGINT)

        said = self.start("--no-bots", "--no-prices")
        self.assertNotIn("Passwords", said)
        self.read_banner(said)
        me = self.ask("api/users/me/")
        self.assertEqual({stock["stock_id"]: stock["total_count"] for stock in me["stocks"]}, held)
        self.assertEqual(self.ask(f"api/orders/{order['order_id']}/")["status"], "FILLED")
        self.assertTrue(self.book_is_alive())
        self.stop(signal.SIGTERM)
