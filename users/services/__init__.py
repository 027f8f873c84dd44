"""What changes users and their cash. Each function is one transaction; trading's part is `cash`."""

from users.services.money import (
    BalanceTooLarge,
    IdempotencyKeyReused,
    book_opening_balance,
    deposit,
    withdraw,
)
from users.services.registration import (
    RefusedPassword,
    UsernameTaken,
    deactivate_user,
    register_user,
    update_user,
)
from users.services.tokens import issue_token, revoke_token

__all__ = [
    "BalanceTooLarge",
    "IdempotencyKeyReused",
    "RefusedPassword",
    "UsernameTaken",
    "book_opening_balance",
    "deactivate_user",
    "deposit",
    "issue_token",
    "register_user",
    "revoke_token",
    "update_user",
    "withdraw",
]
