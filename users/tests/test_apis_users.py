from decimal import Decimal
from typing import Any

from django.test import override_settings
from rest_framework.response import Response

from users.models import User
from users.tests.base import PASSWORD, ApiTestCase, client_of

SIGN_UP = {"username": "dora", "password": PASSWORD, "email": "dora@bourse.example"}


class SignUpTests(ApiTestCase):
    def sign_up(self, **changes: Any) -> Response:
        body = {name: value for name, value in {**SIGN_UP, **changes}.items() if value is not ...}
        return client_of(None).post("/api/users/", body)

    @override_settings(STARTING_BALANCE=Decimal("1000.5"))
    def test_anybody_can(self) -> None:
        response = self.sign_up()
        self.assertEqual(response.status_code, 201)
        user = User.objects.get(username="dora")
        expected = {"id": user.pk, "username": "dora", "email": "dora@bourse.example", "balance": 1000.5}
        self.assertEqual(response.json(), expected)
        self.assert_books(user, "1000.5", 1)

    def test_forms_are_taken_too(self) -> None:
        for format_ in ("multipart", None):
            name = f"dora-{format_}"
            client = client_of(None)
            if format_ is None:
                response = client.post(
                    "/api/users/",
                    f"username={name}&password=correct+horse+9&email=d%40bourse.example",
                    content_type="application/x-www-form-urlencoded",
                )
            else:
                response = client.post("/api/users/", {**SIGN_UP, "username": name}, format=format_)
            with self.subTest(format_):
                self.assertEqual((response.status_code, response.json()["username"]), (201, name))

    def test_nothing_else_can_be_set(self) -> None:
        for name in ("balance", "id", "is_staff", "is_superuser", "is_active", "reserved"):
            with self.subTest(name):
                self.assert_refused(self.sign_up(**{name: 1}), 400, "unknown_field", name)
        self.assertFalse(User.objects.filter(username="dora").exists())

    def test_bad_input_is_refused_by_name(self) -> None:
        for changes, code, attr in [
            ({"username": ...}, "required", "username"),
            ({"password": ...}, "required", "password"),
            ({"email": ...}, "required", "email"),
            ({"username": ""}, "blank", "username"),
            ({"username": None}, "null", "username"),
            ({"username": True}, "invalid", "username"),
            ({"username": 5}, "invalid", "username"),
            ({"username": ["a"]}, "invalid", "username"),
            ({"username": "a b"}, "invalid", "username"),
            ({"username": "<b>"}, "invalid", "username"),
            ({"username": "a" * 151}, "max_length", "username"),
            ({"username": "ann"}, "username_taken", "username"),
            ({"username": "ANN"}, "username_taken", "username"),
            ({"email": "no address"}, "invalid", "email"),
            ({"email": "a" * 250 + "@bourse.example"}, "max_length", "email"),
            ({"password": "123"}, "password_too_short", "password"),
            ({"password": "password"}, "password_too_common", "password"),
            ({"password": "p" * 129}, "max_length", "password"),
        ]:
            with self.subTest(str(changes)[:60]):
                self.assert_refused(self.sign_up(**changes), 400, code, attr)

    def test_the_password_is_nowhere_in_the_answer(self) -> None:
        for password in (PASSWORD, "123"):
            self.assertNotIn(password, self.sign_up(password=password).content.decode())


class UserTests(ApiTestCase):
    def test_me_is_whoever_asks(self) -> None:
        for user in (self.ann, self.clara):
            self.assertEqual(client_of(user).get("/api/users/me/").json()["id"], user.pk)

    def test_users_see_themselves_and_staff_everyone(self) -> None:
        names = [user["username"] for user in client_of(self.ann).get("/api/users/").json()["results"]]
        self.assertEqual(names, ["ann"])
        names = [user["username"] for user in client_of(self.clara).get("/api/users/").json()["results"]]
        self.assertEqual(names, ["clara", "bob", "ann"])

    def test_the_list_takes_the_same_queries_for_many(self) -> None:
        client = client_of(self.clara)
        client.get("/api/users/")
        with self.assertNumQueries(2):
            client.get("/api/users/")
        for number in range(20):
            User.objects.create(username=f"user-{number}")
        with self.assertNumQueries(2):
            self.assertEqual(len(client.get("/api/users/").json()["results"]), 23)

    def test_a_change_of_email_or_password_takes_effect(self) -> None:
        client = client_of(self.ann)
        response = client.patch(
            "/api/users/me/", {"email": "new@bourse.example", "password": "a new horse 9"}
        )
        self.assertEqual((response.status_code, response.json()["email"]), (200, "new@bourse.example"))
        self.assertEqual(client.get("/api/users/me/").status_code, 200)
        self.ann.refresh_from_db()
        self.assertTrue(self.ann.check_password("a new horse 9"))

    def test_a_new_password_ends_other_tokens(self) -> None:
        here, there = client_of(self.ann), client_of(self.ann)
        here.patch("/api/users/me/", {"password": "a new horse 9"})
        self.assertEqual(
            (here.get("/api/users/me/").status_code, there.get("/api/users/me/").status_code), (200, 401)
        )

    def test_a_session_survives_its_own_change_of_password(self) -> None:
        client = client_of(None)
        client.login(username="ann", password=PASSWORD)
        client.patch("/api/users/me/", {"password": "a new horse 9"})
        self.assertEqual(client.get("/api/users/me/").status_code, 200)

    def test_nothing_else_can_be_changed(self) -> None:
        for name, value in [("balance", 5), ("is_staff", True), ("username", "queen"), ("is_active", False)]:
            with self.subTest(name):
                response = client_of(self.ann).patch("/api/users/me/", {name: value})
                self.assert_refused(response, 400, "unknown_field", name)

    def test_a_change_is_checked_like_a_sign_up(self) -> None:
        for body, code, attr in [
            ({"email": "x"}, "invalid", "email"),
            ({"email": None}, "null", "email"),
            ({"password": "123"}, "password_too_short", "password"),
        ]:
            with self.subTest(code):
                self.assert_refused(client_of(self.ann).patch("/api/users/me/", body), 400, code, attr)

    def test_an_empty_change_changes_nothing(self) -> None:
        self.assertEqual(client_of(self.ann).patch("/api/users/me/", {}).status_code, 200)

    def test_leaving_deactivates(self) -> None:
        client = client_of(self.ann)
        self.assertEqual(client.delete("/api/users/me/").status_code, 204)
        self.assertEqual(client.get("/api/users/me/").status_code, 401)
        self.ann.refresh_from_db()
        self.assertFalse(self.ann.is_active)
        self.assert_books(self.ann, 100, 1)

    def test_staff_may_deactivate_anybody(self) -> None:
        self.assertEqual(client_of(self.clara).delete(f"/api/users/{self.ann.pk}/").status_code, 204)
        self.ann.refresh_from_db()
        self.assertFalse(self.ann.is_active)

    def test_ids_that_cannot_be_are_unknown(self) -> None:
        for user_id in (
            "0",
            "999999",
            "9223372036854775808",
            "9" * 19,
            "9" * 400,
            "-1",
            "1.0",
            "x",
            "%00",
            "ME",
        ):
            with self.subTest(user_id[:20]):
                response = client_of(self.clara).get(f"/api/users/{user_id}/ledger/")
                self.assert_refused(response, 404, "not_found")
