from datetime import timedelta

from django.test import TestCase, override_settings
from django.utils import timezone
from knox.models import AuthToken

from users.authentication import authenticate_token
from users.services import deactivate_user, issue_token, revoke_token, update_user
from users.tests.base import NOON, PASSWORD, ApiTestCase, client_of, forget_everything, make_user
from users.token_cache import token_cache


class TokenTests(TestCase):
    def setUp(self) -> None:
        forget_everything()
        self.ann = make_user("ann")
        self.token, self.expiry = issue_token(user=self.ann, now=NOON)

    def test_a_token_stands_for_its_user(self) -> None:
        self.assertEqual(authenticate_token(self.token), self.ann)

    def test_only_its_digest_is_stored(self) -> None:
        row = AuthToken.objects.get()
        self.assertNotIn(self.token, (row.digest, row.token_key))

    def test_it_is_looked_up_once_in_a_while(self) -> None:
        with self.assertNumQueries(1):
            authenticate_token(self.token)
        with self.assertNumQueries(0):
            authenticate_token(self.token)
        with override_settings(TOKEN_CACHE_S=0):
            token_cache.clear()
            authenticate_token(self.token)
            with self.assertNumQueries(1):
                authenticate_token(self.token)

    def test_each_caller_gets_a_user_of_its_own(self) -> None:
        first = authenticate_token(self.token)
        assert first is not None
        first.email = "changed"
        second = authenticate_token(self.token)
        assert second is not None
        self.assertEqual(second.email, self.ann.email)

    def test_nothing_else_is_a_token(self) -> None:
        for text in (
            "",
            "x",
            self.token[:-1],
            self.token + "0",
            self.token.upper(),
            "ä" * 64,
            "\x00",
            "9" * 100_000,
        ):
            with self.subTest(text[:70]):
                self.assertIsNone(authenticate_token(text))

    def test_it_ends_when_it_expires(self) -> None:
        AuthToken.objects.update(expiry=timezone.now() - timedelta(seconds=1))
        self.assertIsNone(authenticate_token(self.token))

    def test_it_ends_at_once_when_it_is_revoked_here(self) -> None:
        other, _ = issue_token(user=self.ann, now=NOON)
        authenticate_token(self.token)
        revoke_token(digest=AuthToken.objects.get(token_key=self.token[:15]).digest)
        self.assertIsNone(authenticate_token(self.token))
        self.assertEqual(authenticate_token(other), self.ann)

    def test_all_end_with_the_user(self) -> None:
        authenticate_token(self.token)
        deactivate_user(user_id=self.ann.pk)
        self.assertIsNone(authenticate_token(self.token))
        self.assertFalse(AuthToken.objects.exists())

    def test_an_inactive_user_has_no_valid_token(self) -> None:
        self.ann.is_active = False
        self.ann.save()
        self.assertIsNone(authenticate_token(self.token))

    def test_a_new_password_ends_all_but_the_one_in_use(self) -> None:
        kept, _ = issue_token(user=self.ann, now=NOON)
        keep = AuthToken.objects.get(token_key=kept[:15]).digest
        update_user(user_id=self.ann.pk, password="an even better horse", keep_token=keep)
        self.assertEqual(authenticate_token(kept), self.ann)
        self.assertIsNone(authenticate_token(self.token))

    def test_expired_ones_are_cleared_away_at_the_next_log_in(self) -> None:
        AuthToken.objects.update(expiry=NOON)
        issue_token(user=self.ann, now=NOON + timedelta(seconds=1))
        self.assertEqual(AuthToken.objects.count(), 1)


class LogInTests(ApiTestCase):
    def log_in(self, username: str, password: str) -> object:
        return client_of(None).post("/api/auth/token/", {"username": username, "password": password})

    def test_it_answers_a_token_and_when_it_expires(self) -> None:
        response = self.log_in("ann", PASSWORD)
        self.assertEqual((response.status_code, set(response.json())), (200, {"token", "expiry"}))
        self.assertRegex(response.json()["expiry"], r"Z\Z")
        client = client_of(None)
        client.credentials(HTTP_AUTHORIZATION=f"Token {response.json()['token']}")
        self.assertEqual(client.get("/api/users/me/balance/").json()["user_id"], self.ann.pk)

    def test_a_wrong_password_and_an_unknown_name_read_the_same(self) -> None:
        answers = [self.log_in("ann", "wrong"), self.log_in("nobody", PASSWORD)]
        for response in answers:
            self.assert_refused(response, 401, "authentication_failed")
            self.assertEqual(response["WWW-Authenticate"], "Token")
        self.assertEqual(answers[0].content, answers[1].content)

    def test_an_inactive_user_cannot(self) -> None:
        deactivate_user(user_id=self.ann.pk)
        self.assert_refused(self.log_in("ann", PASSWORD), 401, "authentication_failed")

    def test_a_bad_token_does_not_keep_one_from_getting_a_good_one(self) -> None:
        client = client_of(None)
        client.credentials(HTTP_AUTHORIZATION="Token expired")
        body = {"username": "ann", "password": PASSWORD}
        self.assertEqual(client.post("/api/auth/token", body).status_code, 200)

    def test_it_notes_the_log_in(self) -> None:
        self.log_in("ann", PASSWORD)
        self.ann.refresh_from_db()
        self.assertIsNotNone(self.ann.last_login)


class HeaderTests(ApiTestCase):
    def test_no_or_a_bad_token_is_401_with_the_scheme(self) -> None:
        for header, code in [
            (None, "not_authenticated"),
            ("Token", "authentication_failed"),
            ("Token a b", "authentication_failed"),
            ("Token unknown", "authentication_failed"),
            ("Token \xff\xfe", "authentication_failed"),
            ("token " + "0" * 64, "authentication_failed"),
            ("Bearer unknown", "not_authenticated"),
        ]:
            with self.subTest(header):
                client = client_of(None)
                if header is not None:
                    client.credentials(HTTP_AUTHORIZATION=header)
                response = client.get("/api/users/me/balance/")
                self.assert_refused(response, 401, code)
                self.assertEqual(response["WWW-Authenticate"], "Token")

    def test_the_second_request_needs_no_token_query(self) -> None:
        client = client_of(self.ann)
        with self.assertNumQueries(3):
            client.get("/api/users/me/balance/")
        with self.assertNumQueries(2):
            client.get("/api/users/me/balance/")

    def test_logging_out_ends_this_token_only(self) -> None:
        here, there = client_of(self.ann), client_of(self.ann)
        self.assertEqual(here.get("/api/users/me/balance/").status_code, 200)
        self.assertEqual(here.post("/api/auth/logout/").status_code, 204)
        self.assertEqual(here.get("/api/users/me/balance/").status_code, 401)
        self.assertEqual(there.get("/api/users/me/balance/").status_code, 200)

    def test_a_session_works_and_ends_too(self) -> None:
        client = client_of(None)
        client.login(username="ann", password=PASSWORD)
        self.assertEqual(client.get("/api/users/me/balance/").status_code, 200)
        self.assertEqual(client.post("/api/auth/logout/").status_code, 204)
        self.assertEqual(client.get("/api/users/me/balance/").status_code, 401)

    def test_a_session_needs_a_csrf_token_to_change_anything(self) -> None:
        client = self.client_class(enforce_csrf_checks=True)
        client.login(username="ann", password=PASSWORD)
        response = client.post("/api/users/me/deposit/", {"amount": "5"})
        self.assert_refused(response, 403, "permission_denied")
        self.assert_books(self.ann, 100, 1)
