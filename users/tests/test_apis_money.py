from decimal import Decimal

from users.fields import MAX_MONEY
from users.models import CashAccount, LedgerEntry
from users.tests.base import ApiTestCase, client_of
from users.tests.test_inputs import BAD_AMOUNTS

PATHS = ("/api/users/me/deposit/", "/api/users/me/withdraw/")


class MoneyTests(ApiTestCase):
    def test_cash_goes_in_and_out(self) -> None:
        client = client_of(self.ann)
        response = client.post("/api/users/me/deposit/", {"amount": 50.5})
        account = {"id": self.ann.pk, "username": "ann", "email": self.ann.email, "unsettled": 0.0}
        self.assertEqual(response.status_code, 200)
        self.assertEqual(response.json(), {**account, "balance": 150.5, "reserved": 0.0, "available": 150.5})
        response = client.post("/api/users/me/withdraw/", {"amount": "0.5"})
        self.assertEqual(response.json(), {**account, "balance": 150.0, "reserved": 0.0, "available": 150.0})
        self.assert_books(self.ann, 150, 3)

    def test_what_is_reserved_is_not_available(self) -> None:
        CashAccount.objects.filter(user=self.ann).update(reserved=Decimal(60))
        response = client_of(self.ann).post("/api/users/me/withdraw/", {"amount": 41})
        self.assert_refused(response, 400, "insufficient_funds", "amount")
        self.assertEqual(response.json()["errors"][0]["detail"], "you dont have the fund to withdraw")
        response = client_of(self.ann).post("/api/users/me/withdraw/", {"amount": 40})
        self.assertEqual(
            [response.json()[name] for name in ("balance", "reserved", "available")], [60.0, 60.0, 0.0]
        )

    def test_a_balance_has_a_limit(self) -> None:
        client = client_of(self.ann)
        response = client.post("/api/users/me/deposit/", {"amount": str(MAX_MONEY)})
        self.assert_refused(response, 400, "balance_too_large", "amount")
        self.assert_books(self.ann, 100, 1)

    def test_bad_amounts_are_refused_and_change_nothing(self) -> None:
        for path in PATHS:
            for text, code in BAD_AMOUNTS:
                with self.subTest(path=path, amount=text[:30]):
                    response = self.post_raw(self.ann, path, f'{{"amount": {text}}}')
                    self.assert_refused(response, 400, code, "amount")
        self.assert_books(self.ann, 100, 1)

    def test_bad_bodies_are_refused_and_change_nothing(self) -> None:
        for body, code, attr in [
            (b"", "required", "amount"),
            (b"{}", "required", "amount"),
            (b'{"amount": 5, "colour": 1}', "unknown_field", "colour"),
            (b'{"amount": 5, "user_id": 1}', "unknown_field", "user_id"),
            (b"[]", "invalid", "non_field_errors"),
            (b"[5]", "invalid", "non_field_errors"),
            (b"5", "invalid", "non_field_errors"),
            (b"null", "null", "non_field_errors"),
            (b'{"amount": NaN}', "parse_error", None),
            (b'{"amount": Infinity}', "parse_error", None),
            (b'{"amount": 5', "parse_error", None),
            (b'{"amount": 5}}', "parse_error", None),
            (b"\xff\xfe", "parse_error", None),
            (b'{"amount": 5, "amount": 50}', "parse_error", None),
            (b'{"amount": 5, "\\u0000": 5}', "parse_error", None),
            (b'{"amount": ' + b"9" * 5000 + b"}", "parse_error", None),
            (b'{"amount":' * 5000, "parse_error", None),
            (b"[" * 100_000, "parse_error", None),
        ]:
            with self.subTest(body[:30]):
                self.assert_refused(self.post_raw(self.ann, PATHS[0], body), 400, code, attr)
        self.assert_books(self.ann, 100, 1)

    def test_other_content_types_are_refused(self) -> None:
        for kind in ("text/plain", "application/xml", "application/octet-stream", "nonsense"):
            with self.subTest(kind):
                response = client_of(self.ann).post(PATHS[0], '{"amount": 5}', content_type=kind)
                self.assert_refused(response, 415, "unsupported_media_type")
        self.assert_books(self.ann, 100, 1)

    def test_forms_are_taken_and_as_strict(self) -> None:
        client = client_of(self.ann)
        form = "application/x-www-form-urlencoded"
        self.assertEqual(client.post(PATHS[0], "amount=5.25", content_type=form).json()["balance"], 105.25)
        for body in (
            "amount=",
            "amount=NaN",
            "amount=%00",
            "amount=5&colour=red",
            "amount=%EF%BC%91",
            "",
            "&&&",
        ):
            with self.subTest(body):
                self.assertEqual(client.post(PATHS[0], body, content_type=form).status_code, 400)
        self.assert_books(self.ann, "105.25", 2)

    def test_broken_multipart_is_refused(self) -> None:
        for kind, body in [
            ("multipart/form-data", b"x"),
            ("multipart/form-data; boundary=", b"x"),
            ("multipart/form-data; boundary=x", b"--x\r\n"),
            ("multipart/form-data; boundary=x", b'--x\r\nContent-Disposition: form-data; name="amount"\r\n'),
        ]:
            with self.subTest(kind=kind, body=body):
                self.assertEqual(client_of(self.ann).post(PATHS[0], body, content_type=kind).status_code, 400)
        self.assert_books(self.ann, 100, 1)

    def test_a_body_beyond_the_limit_is_413(self) -> None:
        for kind in ("application/json", "application/x-www-form-urlencoded"):
            with self.subTest(kind):
                response = client_of(self.ann).post(PATHS[0], b"1" * 2_700_000, content_type=kind)
                self.assert_refused(response, 413, "request_too_large")

    def test_a_form_of_too_many_fields_is_refused(self) -> None:
        body = "&".join(f"f{number}=1" for number in range(2000))
        response = client_of(self.ann).post(PATHS[0], body, content_type="application/x-www-form-urlencoded")
        self.assert_refused(response, 400, "suspicious_request")


class IdempotencyTests(ApiTestCase):
    def test_the_same_request_again_is_answered_and_not_booked(self) -> None:
        client = client_of(self.ann)
        for path, balance in [(PATHS[0], 105.0), (PATHS[1], 100.0)]:
            answers = [client.post(path, {"amount": 5}, headers={"Idempotency-Key": path}) for _ in range(3)]
            self.assertEqual([answer.status_code for answer in answers], [200] * 3)
            self.assertEqual([answer.json()["balance"] for answer in answers], [balance] * 3)
        self.assert_books(self.ann, 100, 3)

    def test_another_request_under_the_same_key_is_a_conflict(self) -> None:
        client = client_of(self.ann)
        client.post(PATHS[0], {"amount": 5}, headers={"Idempotency-Key": "k"})
        for path, amount in [(PATHS[0], 6), (PATHS[1], 5)]:
            response = client.post(path, {"amount": amount}, headers={"Idempotency-Key": "k"})
            self.assert_refused(response, 409, "idempotency_key_reused", "Idempotency-Key")
        self.assert_books(self.ann, 105, 2)

    def test_a_key_has_a_form(self) -> None:
        client = client_of(self.ann)
        for key in ("", "k" * 129, "a b", "a\x00b", "\xe4"):
            with self.subTest(key[:10]):
                response = client.post(PATHS[0], {"amount": 5}, headers={"Idempotency-Key": key})
                self.assert_refused(response, 400, "invalid_idempotency_key", "Idempotency-Key")
        self.assertEqual(
            client.post(PATHS[0], {"amount": 5}, headers={"Idempotency-Key": "k" * 128}).status_code, 200
        )
        self.assert_books(self.ann, 105, 2)


class LedgerTests(ApiTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.client_ = client_of(self.ann)
        for amount in (10, 20, 30):
            self.client_.post(PATHS[0], {"amount": amount})
        self.client_.post(PATHS[1], {"amount": "0.0001"})

    def test_it_shows_movements_newest_first_with_the_running_balance(self) -> None:
        rows = self.client_.get("/api/users/me/ledger/").json()["results"]
        self.assertEqual(
            [(row["kind"], row["amount"], row["balance"]) for row in rows],
            [
                ("withdrawal", -0.0001, 159.9999),
                ("deposit", 30.0, 160.0),
                ("deposit", 20.0, 130.0),
                ("deposit", 10.0, 110.0),
                ("deposit", 100.0, 100.0),
            ],
        )

    def test_dates_are_inclusive(self) -> None:
        entries = list(LedgerEntry.objects.filter(account_id=self.ann.pk).order_by("id"))
        first, last = entries[1].created_at, entries[3].created_at
        url = f"/api/users/me/ledger/?from_date={first:%Y-%m-%dT%H:%M:%S.%fZ}&to_date={last:%Y-%m-%dT%H:%M:%S.%fZ}"
        amounts = [row["amount"] for row in self.client_.get(url).json()["results"]]
        self.assertEqual(amounts, [30.0, 20.0, 10.0])

    def test_bad_dates_are_refused(self) -> None:
        for query, code, attr in [
            ("from_date=yesterday", "not_a_date", "from_date"),
            ("to_date=2022-02-30", "not_a_date", "to_date"),
            ("to_date=%00", "not_a_date", "to_date"),
            ("from_date=2022-02-03&to_date=2022-02-02", "range_reversed", "from_date"),
        ]:
            with self.subTest(query):
                self.assert_refused(self.client_.get(f"/api/users/me/ledger/?{query}"), 400, code, attr)

    def test_it_takes_a_fixed_number_of_queries(self) -> None:
        with self.assertNumQueries(3):
            self.client_.get("/api/users/me/ledger/?page_size=2")
        with self.assertNumQueries(3):
            self.client_.get("/api/users/me/ledger/")

    def test_a_user_without_an_account_reads_zeros(self) -> None:
        client = client_of(self.clara)
        self.assertEqual(client.get("/api/users/me/").json()["balance"], 0.0)
        self.assertEqual(client.get("/api/users/me/ledger/").json()["results"], [])
