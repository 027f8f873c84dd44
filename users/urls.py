"""Paths of users and their cash, below /api/. `users/<user_id>` itself is trading's: it shows what the user owns."""

from users.apis import DepositView, LedgerView, LogOutView, TokenView, UsersView, WithdrawView
from users.routes import route

urlpatterns = [
    route("auth/token", TokenView, "auth-token"),
    route("auth/logout", LogOutView, "auth-logout"),
    route("users", UsersView, "users"),
    route("users/<user_id>/deposit", DepositView, "user-deposit"),
    route("users/<user_id>/withdraw", WithdrawView, "user-withdraw"),
    route("users/<user_id>/ledger", LedgerView, "user-ledger"),
]
