"""A tick on its way to the broker, in the form that the feed takes."""

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from market_feed.link import Message
from stocks.models import STOCK_ID_PATTERN

_JSON_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?\Z")
_TOPIC_PART = re.compile(STOCK_ID_PATTERN)


@dataclass(frozen=True, slots=True)
class SourceTick:
    """One price update. Price and availability are text, as they were found: the feed is the judge."""

    stock_id: str
    name: str
    price: str
    availability: str
    timestamp: datetime

    def payload(self, shift: timedelta | None = None) -> bytes:
        """The message, its time moved by `shift`."""
        moment = (self.timestamp if shift is None else self.timestamp + shift).astimezone(UTC)
        return (
            f'{{"stock_id": {_text(self.stock_id)}, "name": {_text(self.name)}, '
            f'"price": {_number(self.price)}, "availability": {_number(self.availability)}, '
            f'"timestamp": "{moment.replace(tzinfo=None).isoformat(" ", "microseconds")}"}}'
        ).encode()


def tick_message(tick: SourceTick, feed_topic: str, shift: timedelta | None = None) -> Message:
    """The tick as a message on a topic that the consumer's `feed_topic` filter takes."""
    return Message(tick_topic(feed_topic, tick.stock_id), tick.payload(shift))


@lru_cache(maxsize=4_096)
def tick_topic(feed_topic: str, stock_id: str) -> str:
    """A topic for the ticks of a stock: the filter, with the stock in place of its wildcard."""
    place = stock_id if _TOPIC_PART.match(stock_id) else "other"
    return "/".join(place if level in ("#", "+") else level for level in feed_topic.split("/"))


@lru_cache(maxsize=4_096)
def _text(text: str) -> str:
    return json.dumps(text)


def _number(text: str) -> str:
    """A JSON number where the text is one, digit by digit; otherwise a JSON text."""
    return text if _JSON_NUMBER.match(text) else json.dumps(text)
