"""Order entry on the private stream: what is asked, and what is answered."""

from typing import Any
from unittest import mock
from uuid import uuid4

import orjson
from django.db import OperationalError

from market_feed.streams import order_entry
from market_feed.tests.order_entry_case import ANSWERS, BUY, OrderEntryTestCase, held_orders, rest_client
from market_feed.tests.streams_case import Client, page_headers
from trade.models import Order
from users.models import User


class RequestTests(OrderEntryTestCase):
    async def test_it_places_an_order_and_answers_after_the_match(self) -> None:
        await self.place(self.bob, "sell", 3, "20")
        async with self.connected(self.path) as client:
            answer = await self.ask(client, "place", order=BUY)
            self.assertEqual(list(answer), ["type", "id", "status", "order"])
            self.assertEqual((answer["type"], answer["status"]), ("placed", 201))
            rest = await self.in_database(lambda: self.rest("get", answer["order"]["order_id"]))
            self.assertEqual(answer["order"], rest.json())
            self.assertEqual(
                (answer["order"]["status"], answer["order"]["traded_quantity"]), ("PARTIALLY_FILLED", 3)
            )

    async def test_it_tells_the_stream_of_it_as_well(self) -> None:
        async with self.connected(self.path) as client:
            await client.ask(type="place", id=1, order=BUY)
            received = [await client.next() for _ in range(2)]
            self.assertEqual({message["type"] for message in received}, {"placed", "order"})

    async def test_it_answers_and_tells_nothing_else_where_asked(self) -> None:
        async with self.connected(f"{self.path}&events=false") as client:
            await client.ask(type="place", id=1, order=BUY)
            self.assertEqual((await client.next())["type"], "placed")
            await client.ask(type="place", id=2, order=BUY)
            self.assertEqual((await client.next())["id"], 2)
            await client.ask(type="resume", stock_id="ACME", since_sequence=0)
            self.assertEqual((await client.next())["code"], "unknown_stock")
        async with self.connected(f"{self.path}&events=no") as client:
            self.assertEqual((await client.next())["code"], "invalid")
            self.assertEqual(await client.next_close(), 4000)

    async def test_it_cancels_an_order(self) -> None:
        async with self.connected(self.path) as client:
            order = await self.placed(client)
            answer = await self.ask(client, "cancel", order_id=order["order_id"])
            self.assertEqual((answer["type"], answer["order"]["status"]), ("cancelled", "CANCELLED"))
            self.assertEqual(answer["order"]["reserved"], 0)
            await self.assert_refused(client, 409, "order_not_open", "cancel", order_id=order["order_id"])

    async def test_it_changes_an_order(self) -> None:
        async with self.connected(self.path) as client:
            order = await self.placed(client)
            answer = await self.ask(client, "replace", order_id=order["order_id"], price="19.5", quantity=8)
            self.assertEqual((answer["type"], answer["order"]["price"]), ("replaced", 19.5))
            self.assertEqual(answer["order"]["quantity"], 8)

    async def test_it_cancels_all_orders_or_those_of_a_side(self) -> None:
        async with self.connected(self.path) as client:
            await self.placed(client)
            await self.placed(client, stock_id="BOLT")
            answer = await self.ask(client, "cancel_all", side="sell")
            self.assertEqual((answer["type"], answer["cancelled"]), ("cancelled_all", 0))
            self.assertEqual((await self.ask(client, "cancel_all", stock_id="BOLT"))["cancelled"], 1)
            self.assertEqual((await self.ask(client, "cancel_all"))["cancelled"], 1)

    async def test_it_does_not_cancel_all_for_a_misspelled_filter(self) -> None:
        async with self.connected(self.path) as client:
            order = await self.placed(client)
            await self.assert_refused(client, 400, "unknown_field", "cancel_all", stock="BOLT")
            self.assertEqual((await self.stored(order)).status, "ACTIVE")

    async def test_it_places_a_repeated_request_once(self) -> None:
        async with self.connected(self.path) as client:
            first = await self.ask(client, "place", order={**BUY, "client_order_id": "once"})
            again = await self.ask(client, "place", order={**BUY, "client_order_id": "once"})
            self.assertEqual((first["status"], again["status"]), (201, 200))
            self.assertEqual(again["order"]["order_id"], first["order"]["order_id"])
            other = {**BUY, "quantity": 6, "client_order_id": "once"}
            await self.assert_refused(client, 409, "duplicate_client_order_id", "place", order=other)
            self.assertEqual(await Order.objects.acount(), 1)

    async def test_it_takes_the_session_of_a_page_of_this_host(self) -> None:
        headers = await self.in_database(lambda: page_headers(self.ann))
        async with self.connected("/ws/orders/", headers=headers) as client:
            await self.placed(client)

    async def test_it_lets_nobody_touch_the_orders_of_others(self) -> None:
        order = await self.place(self.bob, "sell", 3, "30")
        async with self.connected(self.path) as client:
            for kind, change in (("cancel", dict[str, Any]()), ("replace", {"quantity": 1})):
                await self.assert_refused(client, 404, "not_found", kind, order_id=str(order.pk), **change)
            self.assertEqual((await self.ask(client, "cancel_all"))["cancelled"], 0)

    async def test_it_lets_staff_cancel_the_orders_of_others(self) -> None:
        order = await self.place(self.bob, "sell", 3, "30")
        await User.objects.filter(pk=self.ann.pk).aupdate(is_staff=True)
        async with self.connected(self.path) as client:
            answer = await self.ask(client, "cancel", order_id=str(order.pk))
            self.assertEqual(answer["type"], "cancelled")

    def rest(self, method: str, order_id: str) -> Any:
        return getattr(rest_client(self.token), method)(f"/api/orders/{order_id}/")


class RefusalTests(OrderEntryTestCase):
    async def assert_as_in_rest(self, client: Client, body: Any) -> None:
        """The answer's errors are, byte by byte, those of REST for the same body."""
        rest = await self.in_database(
            lambda: rest_client(self.token).post("/api/orders/", body, format="json")
        )
        await client.ask(type="place", id="x", order=body)
        text = (await client.receive_output(3))["text"]
        start = rest.content.index(b'"errors":')
        self.assertTrue(text.encode().endswith(rest.content[start:]), (body, text, rest.content))
        self.assertEqual(orjson.loads(text)["status"], rest.status_code)

    async def test_it_refuses_orders_as_rest_does(self) -> None:
        odd: list[dict[str, Any]] = [
            {},
            {"quantity": 0},
            {"quantity": 1.5, "price": True},
            {"quantity": "\uff11\uff12"},
            {"price": None},
            {"price": 20.001},
            {"price": "1e400"},
            {"price": 20, "type": "market"},
            {"stock_id": "NONE"},
            {"side": "Buy"},
            {"quantity": 1_000_000},
            {"surplus": 1, "Ünïcode": 2},
            {"client_order_id": "x" * 49},
            {"time_in_force": "gtd"},
            {"side": "sell"},
        ]
        async with self.connected(self.path) as client:
            for fields in odd:
                with self.subTest(fields=fields):
                    await self.assert_as_in_rest(client, {**BUY, **fields} if fields else {})
        self.assertEqual(await Order.objects.acount(), 0)

    async def test_it_keeps_prices_exact(self) -> None:
        async with self.connected(self.path) as client:
            for number in ("20.00000000000000000001", "1" + "0" * 70, "NaN"):
                order = orjson.dumps(BUY).decode().replace('"price":20', f'"price":{number}')
                await client.send_to(f'{{"type": "place", "id": 1, "order": {order}}}')
                answer = await client.next()
                self.assertIn(answer["type"], ("refused", "error"))
        self.assertEqual(await Order.objects.acount(), 0)

    async def test_it_names_what_is_wrong_with_a_request(self) -> None:
        async with self.connected(self.path) as client:
            for kind, fields, code, attr in (
                ("place", {}, "required", "order"),
                ("place", {"order": [BUY]}, "not_a_dict", "order"),
                ("place", {"order": BUY, "dry_run": True}, "unknown_field", "dry_run"),
                ("cancel", {}, "required", "order_id"),
                ("cancel", {"order_id": "nonsense"}, "invalid", "order_id"),
                ("cancel", {"order_id": None}, "null", "order_id"),
                ("cancel", {"order_id": {"a": 1}}, "invalid", "order_id"),
                ("replace", {"order_id": str(uuid4())}, "required", "non_field_errors"),
                ("replace", {"quantity": 3}, "required", "order_id"),
                ("replace", {"order_id": str(uuid4()), "side": "buy"}, "unknown_field", "side"),
                ("cancel_all", {"side": "left"}, "invalid_choice", "side"),
                ("cancel_on_disconnect", {}, "required", "enabled"),
                ("cancel_on_disconnect", {"enabled": 1}, "invalid", "enabled"),
            ):
                with self.subTest(kind=kind, fields=fields):
                    answer = await self.ask(client, kind, **fields)
                    self.assertEqual((answer["type"], answer["status"]), ("refused", 400), answer)
                    error = answer["errors"][0]
                    self.assertEqual((error["code"], error["attr"]), (code, attr))

    async def test_it_refuses_a_request_without_a_name_to_answer_to(self) -> None:
        async with self.connected(self.path) as client:
            for request_id in ({}, {"id": None}, {"id": "x" * 65}, {"id": 2**60}, {"id": 1.5}, {"id": True}):
                with self.subTest(request_id=request_id):
                    await client.ask(type="cancel_all", **request_id)
                    answer = await client.next()
                    self.assertEqual((answer["type"], answer["id"]), ("refused", None))
                    self.assertEqual(answer["errors"][0]["attr"], "id")

    async def test_it_refuses_orders_for_a_halted_stock_but_not_cancels(self) -> None:
        async with self.connected(self.path) as client:
            order = await self.placed(client)
            await self.in_database(lambda: order_entry.get_engine().halt("ACME"))
            await self.assert_refused(client, 400, "market_halted", "place", order=BUY)
            answer = await self.ask(client, "cancel", order_id=order["order_id"])
            self.assertEqual(answer["type"], "cancelled")

    async def test_it_counts_requests_with_those_of_rest(self) -> None:
        limited = mock.patch.object(order_entry.UserThrottle, "get_rate", return_value="2/day")
        async with self.connected(self.path) as client:
            with limited:
                await self.placed(client)
                await self.in_database(lambda: rest_client(self.token).get("/api/orders/"))
                await self.assert_refused(client, 429, "throttled", "place", order=BUY)
        self.assertEqual(await Order.objects.acount(), 1)

    async def test_it_refuses_whose_account_was_closed(self) -> None:
        async with self.connected(self.path) as client:
            await self.placed(client)
            await self.in_database(lambda: rest_client(self.token).delete("/api/users/me/"))
            await client.ask(type="place", id="late", order=BUY)
            answer = await client.next("refused")
            self.assertEqual((answer["id"], answer["status"]), ("late", 401))
            self.assertEqual(answer["errors"][0]["code"], "authentication_failed")
            self.assertEqual((await client.next("error"))["code"], "not_authenticated")
            self.assertEqual(await client.next_close(), 4001)
        self.assertEqual(await Order.objects.filter(remaining_quantity__gt=0).acount(), 0)

    async def test_it_says_so_when_the_database_is_away(self) -> None:
        failing = mock.patch("trade.engine.awaited.get_engine", side_effect=OperationalError("away"))
        async with self.connected(self.path) as client:
            with failing, self.assertLogs("market_feed.streams.order_entry"):
                await self.assert_refused(
                    client, 503, "database_unavailable", "cancel", order_id=str(uuid4())
                )
            await self.placed(client)

    async def test_it_outlives_a_defect(self) -> None:
        failing = mock.patch("trade.engine.awaited.get_engine", side_effect=ZeroDivisionError)
        async with self.connected(self.path) as client:
            with failing, self.assertLogs("market_feed.streams.order_entry", "ERROR"):
                await self.assert_refused(client, 500, "error", "place", order=BUY)
            await self.placed(client)


class PipelineTests(OrderEntryTestCase):
    async def test_it_answers_many_requests_sent_at_once(self) -> None:
        async with self.connected(self.path) as client:
            for number in range(200):
                await client.ask(
                    type="place", id=number, order={**BUY, "quantity": 1, "price": round(1 + number / 100, 2)}
                )
            answers = [await client.next(*ANSWERS) for _ in range(200)]
            self.assertEqual({answer["id"] for answer in answers}, set(range(200)))
            for answer in answers:
                self.assertEqual(answer["order"]["price"], round(1 + answer["id"] / 100, 2))
        await self.assert_books_right()

    async def test_it_is_busy_when_too_many_wait_and_then_goes_on(self) -> None:
        with mock.patch.object(order_entry, "MAX_UNANSWERED", 3), held_orders() as gate:
            async with self.connected(self.path) as client:
                for number in range(5):
                    await client.ask(type="place", id=number, order=BUY)
                refused = [await client.next(*ANSWERS) for _ in range(2)]
                self.assertEqual([one["id"] for one in refused], [3, 4])
                self.assertEqual(
                    {(one["status"], one["errors"][0]["code"]) for one in refused}, {(503, "busy")}
                )
                gate.set()
                self.assertEqual({(await client.next("placed"))["id"] for _ in range(3)}, {0, 1, 2})
                await self.placed(client)

    async def test_it_does_what_is_asked_about_one_order_in_turn(self) -> None:
        async with self.connected(self.path) as client:
            order = await self.placed(client)
            for quantity in range(1, 21):
                await client.ask(type="replace", id=quantity, order_id=order["order_id"], quantity=quantity)
            answers = [await client.next("replaced", "refused") for _ in range(20)]
            self.assertEqual([answer["id"] for answer in answers], list(range(1, 21)))
            self.assertEqual((await self.stored(order)).quantity, 20)

    async def test_it_cancels_all_that_was_sent_before_and_nothing_after(self) -> None:
        async with self.connected(self.path) as client:
            for number in range(20):
                await client.ask(type="place", id=f"before {number}", order=BUY)
            await client.ask(type="cancel_all", id="all")
            for number in range(20):
                await client.ask(type="place", id=f"after {number}", order=BUY)
            answers = {(answer := await client.next(*ANSWERS))["id"]: answer for _ in range(41)}
            self.assertEqual(answers["all"]["cancelled"], 20)
            self.assertEqual(await Order.objects.filter(status="ACTIVE").acount(), 20)
