"""What tests of order entry start from: Ann's token, and a client that asks and waits for the answer."""

import asyncio
from typing import Any
from unittest import mock
from uuid import uuid4

from django.test import override_settings
from knox.models import AuthToken
from rest_framework.test import APIClient

from market_feed.streams import order_entry
from market_feed.tests.streams_case import Client, StreamTestCase
from trade.models import Order
from trade.selectors.audit import run_audit
from users.tests.base import forget_everything

BUY: dict[str, Any] = {"stock_id": "ACME", "side": "buy", "type": "limit", "quantity": 5, "price": 20}
ANSWERS = ("placed", "cancelled", "cancelled_all", "replaced", "refused", "cancel_on_disconnect")


@override_settings(ENGINE_THREADS=1)
class OrderEntryTestCase(StreamTestCase):
    def setUp(self) -> None:
        super().setUp()
        forget_everything()
        _, self.token = AuthToken.objects.create(user=self.ann)
        self.path = f"/ws/orders/?token={self.token}"

    async def ask(self, client: Client, kind: str, **fields: Any) -> dict[str, Any]:
        """Send one request and return its answer."""
        request_id = uuid4().hex
        await client.ask(type=kind, id=request_id, **fields)
        answer = await client.next(*ANSWERS)
        self.assertEqual(answer["id"], request_id)
        return answer

    async def placed(self, client: Client, **fields: Any) -> dict[str, Any]:
        answer = await self.ask(client, "place", order={**BUY, **fields})
        self.assertEqual(answer["type"], "placed", answer)
        return answer["order"]

    async def stored(self, order: dict[str, Any]) -> Order:
        return await Order.objects.aget(pk=order["order_id"])

    async def assert_refused(self, client: Client, status: int, code: str, kind: str, **fields: Any) -> None:
        answer = await self.ask(client, kind, **fields)
        self.assertEqual((answer["type"], answer["status"]), ("refused", status), answer)
        self.assertEqual(answer["errors"][0]["code"], code)

    async def assert_books_right(self) -> None:
        await self.in_database(self._audit)

    def _audit(self) -> None:
        for finding in run_audit():
            self.assertTrue(finding.holds, finding)


class held_orders:
    """Keeps orders from being placed until the event it gives is set."""

    def __enter__(self) -> asyncio.Event:
        gate, place_order = asyncio.Event(), order_entry.awaited.place_order

        async def wait_and_place(new_order: Any) -> Any:
            await gate.wait()
            return await place_order(new_order)

        self._patch = mock.patch.object(order_entry.awaited, "place_order", wait_and_place)
        self._patch.start()
        return gate

    def __exit__(self, *_: object) -> None:
        self._patch.stop()


def rest_client(token: str) -> APIClient:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Token {token}")
    return client
