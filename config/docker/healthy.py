"""The health check of a container. Exit status 0: its process does its work.

healthy.py 8000     a web process answers /health/ with 200
healthy.py feed     the broker's retained `market/status/feed` says "up" (its last will says "down")
"""

import logging
import os
import sys
import urllib.request
from urllib.parse import unquote, urlsplit

TIMEOUT_S = 5


def is_serving(port: int) -> bool:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/health/", timeout=TIMEOUT_S) as answer:
        return answer.status == 200


def is_up(service: str) -> bool:
    from paho.mqtt import subscribe

    # paho calls it an error that it is disconnected once it has what it came for.
    logging.getLogger("paho").addHandler(logging.NullHandler())
    url = urlsplit(os.environ["MQTT_URL"])
    auth = (
        {"username": unquote(url.username), "password": unquote(url.password or "")} if url.username else None
    )
    # Waits for the retained message; when there is none, the container's own time limit ends this.
    status = subscribe.simple(
        f"market/status/{service}", hostname=url.hostname, port=url.port or 1883, auth=auth, keepalive=10
    )
    return status.payload == b"up"


if __name__ == "__main__":
    what = sys.argv[1]
    try:
        healthy = is_serving(int(what)) if what.isdigit() else is_up(what)
    except OSError as error:
        sys.exit(f"{what}: {error}")
    sys.exit(0 if healthy else f"{what} is not up")
