"""A connection for a source, or a sentence saying why there is none."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from market_feed.link import BadBrokerUrl, BrokerLink

CONNECT_TIMEOUT_S = 5.0


class BrokerAway(Exception):
    """There is no broker to send to. The text is for the person who wanted to."""


@contextmanager
def connected_outlet(url: str, name: str) -> Iterator[BrokerLink]:
    """A link for as long as the block runs; several of one name may run at once."""
    try:
        link = BrokerLink(url, client_id=f"bourse-{name}-{socket.gethostname()}-{os.getpid()}", service=name)
    except BadBrokerUrl as error:
        raise BrokerAway(str(error)) from None
    link.start()
    try:
        if not link.wait_until_connected(CONNECT_TIMEOUT_S):
            raise BrokerAway(f"no broker takes us at {link.address}")
        yield link
    finally:
        link.stop()
