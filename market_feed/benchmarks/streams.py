"""The streams of one web process under many clients, and orders by stream beside orders by REST.

The server is `manage.py serve` in a process of its own, with the engine in it; the clients are in others, on the
loopback. In each round the same sockets first get one frame that was encoded beforehand, as fast as the server can
write it, and then the market: every trade committed on its own, and a book that changes more often than ten times
a second. Nothing is missed as long as every socket has every trade that is stored, once and in order.
"""

import statistics
import time
from collections import Counter
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from decimal import Decimal
from secrets import token_hex
from typing import Any

from django.db.models import Count, F, Sum
from django.utils import timezone

from market_feed.benchmarks.children import Answer, Child
from stocks.benchmarks.figures import Bench, Figure
from stocks.services import list_stock
from stocks.services.grants import grant_shares
from trade.models import Trade
from users.models import User
from users.services import deposit, register_user
from users.services.tokens import issue_token

SERVER = "config.benchmarks.stream_server"
CLIENTS = "market_feed.benchmarks.stream_clients"
ORDER_CLIENTS = "market_feed.benchmarks.order_clients"
CLIENT_PROCESSES = 2
# Limits are for visitors that one does not know.
UNLIMITED = {
    "STREAM_USER_CONNECTIONS": "100000",
    "STREAM_ADDRESS_CONNECTIONS": "100000",
    "STREAM_ORDER_RATE": "1000000000",
    "LOG_LEVEL": "WARNING",
}
# Traders on each side.
TRADERS = 4
REST_CONNECTIONS = 64
STREAM_CONNECTIONS, WINDOW = 8, 60
START_S, QUIET_S = 60.0, 0.5


class BenchmarkFailed(Exception):
    """A figure was not reached in the way it should be."""


@dataclass(frozen=True, slots=True)
class Options:
    clients: int
    idle_clients: int
    seconds: int
    rounds: int
    trades_per_second: int


def run(
    bench: Bench,
    *,
    clients: int = 500,
    idle_clients: int = 2_000,
    seconds: int = 60,
    rounds: int = 6,
    trades_per_second: int = 200,
) -> None:
    options = Options(clients, idle_clients, seconds, rounds, trades_per_second)
    with ExitStack() as stack:
        streams = _StreamsBench(bench, options, stack)
        streams.busy()
        streams.idle()
        streams.order_entry()


class _StreamsBench:
    def __init__(self, bench: Bench, options: Options, stack: ExitStack) -> None:
        self.options = options
        self._bench = bench
        self._mark = f"BENCH-{token_hex(3)}"
        self._tokens: dict[str, list[str]] = {}
        self._traders = {
            side: [self._trader(side, number) for number in range(TRADERS)] for side in ("buy", "sell")
        }
        self._server = stack.enter_context(Child(SERVER, environment=UNLIMITED))
        address = self._server.answer(START_S)
        self._address = {"host": address["host"], "port": address["port"]}

    # --- Listening ----------------------------------------------------------------------------------

    def busy(self) -> None:
        stock_id = self._stock("busy")
        paths = {
            f"/ws/{stream}/?stock_id={stock_id}": self.options.clients for stream in ("trades", "orderbook")
        }
        # Frames a second of each round: of the market, and of one frame written directly.
        rates: list[tuple[float, float]] = []
        late: dict[str, Counter[int]] = {"trades": Counter(), "orderbook": Counter()}
        memory: list[float] = []
        with ExitStack() as stack:
            audience = [stack.enter_context(Child(CLIENTS)) for _ in range(CLIENT_PROCESSES)]
            self._connect(audience, paths)
            size = self._market(audience, stock_id, 1.0)[1]
            self._report(audience)
            part = stack.enter_context(self._bench.part("busy", self.options.seconds))
            for _ in range(self.options.rounds):
                direct = self._direct(audience, size)
                seconds = self.options.seconds / self.options.rounds
                heard, size = self._market(audience, stock_id, seconds, memory)
                rates.append((sum(one["frames"] for one in heard.values()) / _span(heard.values()), direct))
                for kind, counter in late.items():
                    counter.update(dict(map(tuple, heard[kind]["late_ms"])))
                part(int(seconds))
            tapes = self._tapes(audience)
        self._add_busy(stock_id, rates, late, memory, tapes)

    def _add_busy(
        self,
        stock_id: str,
        rates: list[tuple[float, float]],
        late: dict[str, Counter[int]],
        memory: list[float],
        tapes: set[tuple[Any, ...]],
    ) -> None:
        stored = _stored_tape(stock_id)
        if tapes != {stored}:
            raise BenchmarkFailed(f"the clients have {tapes}, stored is {stored}")
        clients, (market, direct) = self.options.clients, median_pair(rates)
        self._bench.add(
            Figure(
                f"trades that each of {clients} clients got", stored[0], "trades", "stored", stored[0], 1, 1
            )
        )
        self._bench.add(
            Figure(
                "frames of the market",
                market,
                "frames/s",
                beside="one frame, written directly",
                limit=direct,
                least=0.6,
                note=f"the median of {len(rates)} rounds, of {', '.join(f'{a / b:.2f}' for a, b in rates)}",
            )
        )
        for kind, counter in late.items():
            self._bench.add(
                Figure(f"{kind} delivered, p99", percentile(counter, 0.99), "ms", "goal", 250, most=1)
            )
        early, end = statistics.median(memory[: len(memory) // 4 or 1]), statistics.median(memory[-3:])
        self._bench.add(Figure("memory at the end", end, "MiB", "in the first quarter", early, most=1.1))

    def idle(self) -> None:
        """Many clients on a book that does not change: a snapshot a second all the same."""
        stock_id, seconds = self._stock("idle"), max(3.0, self.options.seconds / 6)
        with ExitStack() as stack:
            audience = [stack.enter_context(Child(CLIENTS)) for _ in range(CLIENT_PROCESSES)]
            self._connect(audience, {f"/ws/orderbook/?stock_id={stock_id}": self.options.idle_clients})
            time.sleep(1)
            self._report(audience)
            with self._bench.part("idle", int(seconds)) as advance:
                for _ in range(int(seconds)):
                    time.sleep(1)
                    advance(1)
            heard = self._report(audience)["orderbook"]
        snapshots = heard["frames"] / self.options.idle_clients / seconds
        self._bench.add(
            Figure(
                f"snapshots to {self.options.idle_clients} idle clients, p99",
                percentile(dict(map(tuple, heard["late_ms"])), 0.99),
                "ms",
                beside="goal",
                limit=1_000,
                most=1,
                note=f"{snapshots:.2f} snapshots a second to each",
            )
        )

    def _connect(self, audience: list[Child], paths: dict[str, int]) -> None:
        for number, child in enumerate(audience):
            share = {
                path: count // CLIENT_PROCESSES + (number < count % CLIENT_PROCESSES)
                for path, count in paths.items()
            }
            child.send("connect", paths=share, **self._address)
        for child in audience:
            child.answer()

    def _direct(self, audience: list[Child], size: int) -> float:
        """Frames a second, as the clients received them."""
        written = self._server.ask("direct", size=size, seconds=2.0)["frames"]
        heard = self._quiet(audience)["direct"]
        if heard["frames"] != written:
            raise BenchmarkFailed(f"{heard['frames']} frames received of {written}")
        return heard["frames"] / _span([heard])

    def _market(
        self, audience: list[Child], stock_id: str, seconds: float, memory: list[float] | None = None
    ) -> tuple[dict[str, Any], int]:
        """What was heard while trades were made, and the size of an average frame of it."""
        self._report(audience)
        self._server.send(
            "trade",
            stock_id=stock_id,
            buyer=self._traders["buy"][0],
            seller=self._traders["sell"][0],
            per_second=self.options.trades_per_second,
            seconds=seconds,
        )
        ends_at = time.monotonic() + seconds
        while time.monotonic() < ends_at:
            time.sleep(0.5)
            if memory is not None:
                memory.append(self._server.memory_mib())
        self._server.answer(30 + seconds)
        heard = self._quiet(audience)
        return heard, sum(one["size"] for one in heard.values()) // sum(
            one["frames"] for one in heard.values()
        )

    def _quiet(self, audience: list[Child]) -> dict[str, Any]:
        """Everything heard until there is next to nothing any more."""
        time.sleep(QUIET_S)
        return self._report(audience)

    def _report(self, audience: list[Child]) -> dict[str, Any]:
        return merged(child.ask("report") for child in audience)

    def _tapes(self, audience: list[Child]) -> set[tuple[Any, ...]]:
        reports = [child.ask("report") for child in audience]
        if lost := sum(report["lost"] for report in reports):
            raise BenchmarkFailed(f"{lost} streams were closed")
        return {tuple(tape) for report in reports for tape in report["tapes"]}

    # --- Order entry --------------------------------------------------------------------------------

    def order_entry(self) -> None:
        rates: list[tuple[float, float]] = []
        seconds = max(1.0, self.options.seconds / 12)
        with Child(ORDER_CLIENTS) as clients, self._bench.part("orders", self.options.rounds) as advance:
            for number in range(self.options.rounds):
                stock_id = self._stock(f"orders-{number}")
                rate: dict[str, float] = {}
                for by, connections, window in (
                    ("rest", REST_CONNECTIONS, 1),
                    ("stream", STREAM_CONNECTIONS, WINDOW),
                ):
                    done = clients.ask(
                        "load",
                        by=by,
                        stock_id=stock_id,
                        tokens=self._tokens,
                        connections=connections,
                        window=window,
                        seconds=seconds,
                        **self._address,
                    )
                    rate[by] = done["orders"] / done["seconds"]
                rates.append((rate["stream"], rate["rest"]))
                advance(1)
        by_stream, by_rest = median_pair(rates)
        self._bench.add(
            Figure(
                "orders by stream",
                by_stream,
                "orders/s",
                beside="by REST, on the same server",
                limit=by_rest,
                least=3,
                note=f"{REST_CONNECTIONS} connections by REST; {STREAM_CONNECTIONS} streams with {WINDOW} orders each",
            )
        )

    # --- What there is ------------------------------------------------------------------------------

    def _stock(self, part: str) -> str:
        stock_id = f"{self._mark}-{part}"
        list_stock(stock_id=stock_id, name=stock_id)
        for seller in self._traders["sell"]:
            grant_shares(user_id=seller, stock_id=stock_id, quantity=1_000_000, now=timezone.now())
        return stock_id

    def _trader(self, side: str, number: int) -> int:
        now = timezone.now()
        name = f"{self._mark.lower()}-{side}-{number}"
        user: User = register_user(
            username=name, password=token_hex(12), email=f"{name}@example.org", now=now
        )
        deposit(user_id=user.pk, amount=Decimal(10_000_000_000), now=now)
        self._tokens.setdefault(side, []).append(issue_token(user=user, now=now)[0])
        return user.pk


def merged(reports: Iterable[Answer]) -> dict[str, Any]:
    """What all processes of clients heard, by kind of message."""
    total: dict[str, Any] = {}
    for report in reports:
        for kind, one in report["heard"].items():
            so_far = total.setdefault(kind, {**one, "frames": 0, "size": 0, "late_ms": []})
            so_far["frames"] += one["frames"]
            so_far["size"] += one["size"]
            so_far["first_at"] = min(so_far["first_at"], one["first_at"])
            so_far["last_at"] = max(so_far["last_at"], one["last_at"])
            so_far["late_ms"] += one["late_ms"]
    return total


def median_pair(pairs: list[tuple[float, float]]) -> tuple[float, float]:
    """The pair whose ratio is the median: both sides of one round, in which the machine was as busy."""
    return sorted(pairs, key=lambda pair: pair[0] / pair[1])[len(pairs) // 2]


def percentile(counts: dict[int, int], part: float) -> int:
    """The value that `part` of what was counted does not exceed."""
    left = part * sum(counts.values())
    for value in sorted(counts):
        left -= counts[value]
        if left <= 0:
            return value
    return 0


def _span(heard: Iterable[dict[str, Any]]) -> float:
    heard = list(heard)
    return max(one["last_at"] for one in heard) - min(one["first_at"] for one in heard)


def _stored_tape(stock_id: str) -> tuple[Any, ...]:
    trades = Trade.objects.filter(stock_id=stock_id)
    sums = trades.aggregate(
        count=Count("pk"), total=Sum("sequence"), squares=Sum(F("sequence") * F("sequence"))
    )
    return sums["count"], int(sums["total"]), int(sums["squares"]), True
