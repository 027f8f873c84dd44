"""The benchmark of REST: its sender, against a server that says what it is told; then all, in its smallest size."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from unittest import mock

from django.test import SimpleTestCase

from config.benchmarks import running
from config.benchmarks.catalogue import BENCHMARKS
from config.benchmarks.http_load import Load, drive, post
from config.tests.test_bench import CommandTestCase

REQUEST = post("/orders/", b'{"quantity": 1}', "token")


@contextmanager
def answering(status: int, body: bytes) -> Iterator[int]:
    """The port of a server that answers every POST so."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


class SenderTests(SimpleTestCase):
    def test_it_counts_the_right_answers(self) -> None:
        with answering(201, b'{"order_id": 1, "status": "ACTIVE"}') as port:
            outcome = drive(Load(port, [[REQUEST], [REQUEST]], 0.3, fields=frozenset({"order_id"})))
        self.assertEqual(outcome.wrong, [])
        self.assertGreater(outcome.rate, 0)
        self.assertLessEqual(outcome.percentile_ms(0.5), outcome.percentile_ms(0.99))

    def test_it_sends_no_more_than_the_rate_it_is_told(self) -> None:
        with answering(201, b"{}") as port:
            outcome = drive(Load(port, [[REQUEST], [REQUEST]], 0.5, rate=20))
        # Those due in the measured time, and at most one a connection that was due just before it.
        self.assertLessEqual(len(outcome.latencies_s), 12)

    def test_it_tells_of_a_wrong_status_and_of_a_missing_field(self) -> None:
        for status, body in ((400, b'{"order_id": 1}'), (201, b'{"status": "ACTIVE"}')):
            with answering(status, body) as port:
                outcome = drive(Load(port, [[REQUEST]], 0.1, fields=frozenset({"order_id"})))
            self.assertIn(body.decode(), outcome.wrong[0])


class RestBenchmarkTests(CommandTestCase):
    def test_it_measures_orders_beside_empty_views(self) -> None:
        with mock.patch.object(running, "find_program", return_value=None):
            self.bench("rest", "--quick", among=BENCHMARKS)
        (report,) = self.reports()
        self.assertEqual((report["problem"], len(report["figures"])), ("", 10))
        self.assertTrue(all(figure["value"] > 0 for figure in report["figures"]))
