"""REST order entry, under daphne and under gunicorn, each beside empty views on a server of the same kind.

Both are started as in production, but on a free port of the loopback: `manage.py serve`, and gunicorn with
config/docker/gunicorn.conf.py. The server of the empty views has no middleware, which makes it as fast as Django can
be there. Limits and orders take turns, round by round; the figures are of the median round.
"""

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from random import Random
from statistics import median

from django.db import connections
from django.utils import timezone

from config.benchmarks.http_load import Load, Outcome, Sender, post
from config.testing.servers import free_port
from stocks.benchmarks.figures import Advance, Bench, Figure
from stocks.services import grant_shares, list_stock
from trade.apis.schemas import OrderOut
from users.services import deposit, issue_token, register_user

ROOT = Path(__file__).resolve().parents[2]
STOCKS = ("BENCH0", "BENCH1", "BENCH2", "BENCH3")
CASH = Decimal(1_000_000_000)
SHARES = 100_000_000
ORDERS_PER_STREAM = 500
# How long a server may take to answer for the first time, and to end.
START_S = 30.0
EMPTY_BODY = b"{}"


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of server: how it is started, its fastest empty view, and the ratio to it that is asked for."""

    name: str
    command: Callable[[int], Sequence[str]]
    empty: str
    least: float


def _daphne(port: int) -> Sequence[str]:
    # The checks miss the middleware that the empty views do without.
    return (sys.executable, "manage.py", "serve", "--skip-checks", "--port", str(port))


def _gunicorn(port: int) -> Sequence[str]:
    own = ("--bind", f"127.0.0.1:{port}", "--log-level", "warning")
    return (sys.executable, "-m", "gunicorn", "-c", "config/docker/gunicorn.conf.py", *own, "config.wsgi")


KINDS = (
    Kind("daphne", _daphne, "/empty-async/", least=0.5),
    Kind("gunicorn", _gunicorn, "/empty/", least=0.4),
)


def run(bench: Bench, *, rounds: int = 5, tenths: int = 20, clients: int = 32, users: int = 8) -> None:
    """Orders a second under each kind of server, and how long one takes at a tenth of that.

    Each of the `rounds` sends for `tenths` of a second over the connections of `clients`, which trade for `users`.
    """
    market = _list_market(users)
    with Sender() as sender:
        for kind in KINDS:
            measured = _Measured(bench, kind, sender, market, clients)
            with bench.part(kind.name, rounds * 3 + 1) as advance, _servers(kind) as ports:
                measured.run(ports, rounds, tenths / 10, advance)


@dataclass(frozen=True, slots=True)
class _Measured:
    """The figures of one kind of server."""

    bench: Bench
    kind: Kind
    sender: Sender
    tokens: Sequence[str]
    connections: int

    def run(self, ports: tuple[int, int], rounds: int, seconds: float, advance: Advance) -> None:
        orders_port, empty_port = ports
        orders, empty, authenticated = [], [], []
        for number in range(rounds):
            empty.append(self._empty(empty_port, self.kind.empty, seconds))
            advance(1)
            orders.append(self._orders(orders_port, seconds, seed=number))
            advance(1)
            authenticated.append(self._empty(empty_port, "/empty-authenticated/", seconds))
            advance(1)
        self._add_rates(orders, empty, authenticated)
        self._add_latencies(self._orders(orders_port, seconds * 2, seed=rounds, rate=_middle(orders) / 10))
        advance(1)

    def _empty(self, port: int, path: str, seconds: float) -> Outcome:
        streams = [[post(path, EMPTY_BODY, self._token(number))] for number in range(self.connections)]
        return self.sender.send(Load(port, streams, seconds))

    def _orders(self, port: int, seconds: float, *, seed: int, rate: float = 0.0) -> Outcome:
        rng = Random(seed)
        streams = [
            [post("/api/orders/", _order(rng), self._token(number)) for _ in range(ORDERS_PER_STREAM)]
            for number in range(self.connections)
        ]
        fields = frozenset(OrderOut().fields)
        return self.sender.send(Load(port, streams, seconds, rate=rate, fields=fields))

    def _token(self, number: int) -> str:
        return self.tokens[number % len(self.tokens)]

    def _add_rates(self, orders: list[Outcome], empty: list[Outcome], authenticated: list[Outcome]) -> None:
        busy = max(outcome.busy for outcome in (*orders, *empty, *authenticated))
        note = f"{self.connections} connections; sending took at most {busy:.0%} of a processor"
        rate = _middle(orders)
        self.bench.add(
            Figure(
                name=f"REST orders, {self.kind.name}",
                value=rate,
                unit="orders/s",
                beside="empty view, no middleware",
                limit=_middle(empty),
                least=self.kind.least,
                note=note,
            )
        )
        self.bench.add(
            Figure(
                name=f"REST orders, {self.kind.name}",
                value=rate,
                unit="orders/s",
                beside="empty authenticated view, no middleware",
                limit=_middle(authenticated),
            )
        )

    def _add_latencies(self, outcome: Outcome) -> None:
        for share in (0.5, 0.9, 0.99):
            self.bench.add(
                Figure(
                    name=f"REST place to answer, {self.kind.name}, p{share * 100:.0f}",
                    value=outcome.percentile_ms(share),
                    unit="ms",
                    note=f"at {outcome.rate:.0f} orders/s, a tenth of the top rate",
                )
            )


def _middle(outcomes: Sequence[Outcome]) -> float:
    return median(outcome.rate for outcome in outcomes)


def _order(rng: Random) -> bytes:
    """One around 100: about half of them find somebody to trade with, the others rest."""
    order = {
        "stock_id": rng.choice(STOCKS),
        "side": rng.choice(("buy", "sell")),
        "type": "limit",
        "quantity": rng.randint(1, 100),
        "price": round(100 + rng.randint(-20, 20) / 100, 2),
    }
    return json.dumps(order).encode()


def _list_market(users: int) -> list[str]:
    """Stocks, and traders who can pay for all that is sent; their tokens."""
    now = timezone.now()
    for stock_id in STOCKS:
        list_stock(stock_id=stock_id, name=stock_id)
    tokens = []
    for number in range(users):
        user = register_user(
            username=f"bench-{number}",
            password=f"only-for-{number}-here",
            email=f"b{number}@example.com",
            now=now,
        )
        deposit(user_id=user.pk, amount=CASH, now=now)
        for stock_id in STOCKS:
            grant_shares(user_id=user.pk, stock_id=stock_id, quantity=SHARES, now=now)
        tokens.append(issue_token(user=user, now=now)[0])
    # The servers are on their own from here: SQLite's file is theirs.
    connections.close_all()
    return tokens


@contextmanager
def _servers(kind: Kind) -> Iterator[tuple[int, int]]:
    """The ports of the market's server, and of the one with the empty views."""
    with ExitStack() as stack:
        orders = stack.enter_context(_server(kind, "config.settings", "/health/"))
        empty = stack.enter_context(_server(kind, "config.benchmarks.bare_settings", kind.empty))
        yield orders, empty


@contextmanager
def _server(kind: Kind, settings: str, path: str) -> Iterator[int]:
    port = free_port()
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": settings}
    process = subprocess.Popen(kind.command(port), env=environment, cwd=ROOT)
    try:
        _wait_until_served(process, f"http://127.0.0.1:{port}{path}")
        yield port
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(START_S)


def _wait_until_served(process: subprocess.Popen[bytes], url: str) -> None:
    """Return once the address answers, whatever it says."""
    for _ in range(int(START_S / 0.1)):
        try:
            with urllib.request.urlopen(url, timeout=START_S):  # noqa: S310  (our own server)
                return
        except urllib.error.HTTPError:
            return
        except OSError:
            try:
                status = process.wait(0.1)
            except subprocess.TimeoutExpired:
                continue
            raise RuntimeError(f"a server ended with status {status} before it served {url}") from None
    raise RuntimeError(f"nothing is served at {url}")
