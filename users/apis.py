"""Signing up, logging in, one's data and one's cash. Translation only: parse, one call, render."""

import re
from collections.abc import Callable
from typing import Any, TypeVar

from django.contrib.auth import authenticate, logout, update_session_auth_hash, user_logged_in
from django.db.models import Model, QuerySet
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import status
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed, ErrorDetail, ValidationError
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from users.inputs import RangeQuery, date_range, validated
from users.models import User
from users.permissions import SignUpOrAuthenticated
from users.selectors import ledger_of, visible_user, visible_users
from users.serializers import (
    AccountOut,
    AmountInput,
    LedgerEntryOut,
    LogInInput,
    SignedUpOut,
    SignUpInput,
    TokenOut,
    UserChangeInput,
    render_account,
    render_ledger_entry,
    render_signed_up,
)
from users.services import (
    deactivate_user,
    deposit,
    issue_token,
    register_user,
    revoke_token,
    update_user,
    withdraw,
)
from users.throttling import LogInByAddressThrottle, LogInByNameThrottle, SignUpThrottle

Row = TypeVar("Row", bound=Model)
IDEMPOTENCY_KEY = "Idempotency-Key"
USER_ID = OpenApiParameter("user_id", str, OpenApiParameter.PATH, description="An id, or `me`.")
_KEY = re.compile(r"[\x21-\x7e]{1,128}\Z")
_KEY_PARAMETER = OpenApiParameter(
    IDEMPOTENCY_KEY,
    str,
    OpenApiParameter.HEADER,
    description="At most 128 printable characters: the same request under the same key is booked once.",
)


class PagedView(GenericAPIView):
    """A view that answers with one page of a list."""

    def answer_page(self, rows: "QuerySet[Row]", render: Callable[[Row], dict[str, Any]]) -> Response:
        return self.get_paginated_response([render(row) for row in self.paginate_queryset(rows) or []])


class UsersView(PagedView):
    """Sign up; list users."""

    permission_classes = [SignUpOrAuthenticated]
    throttle_classes = [SignUpThrottle]

    def get_authenticators(self) -> list[BaseAuthentication]:
        # Who signs up needs no token, and is not turned away for an old one.
        request = getattr(self, "request", None)
        return [] if request is not None and request.method == "POST" else super().get_authenticators()

    @extend_schema(
        operation_id="users_sign_up",
        summary="Sign up",
        description="The account opens with the market's starting balance.",
        request=SignUpInput,
        responses={201: SignedUpOut},
        auth=[],
    )
    def post(self, request: Request) -> Response:
        user = register_user(**validated(SignUpInput, request.data), now=timezone.now())
        return Response(render_signed_up(user), status=status.HTTP_201_CREATED)

    @extend_schema(
        operation_id="users_list",
        summary="List users",
        description="Staff see everyone, newest first; others see themselves.",
        responses=AccountOut(many=True),
    )
    def get(self, request: Request) -> Response:
        return self.answer_page(visible_users(viewer_of(request)), render_account)


class UserView(APIView):
    """One user. Trading adds what the user owns to its GET."""

    @extend_schema(
        operation_id="users_update",
        summary="Change email or password",
        description="A new password ends every other token of the user.",
        parameters=[USER_ID],
        request=UserChangeInput,
        responses=AccountOut,
    )
    def patch(self, request: Request, user_id: str) -> Response:
        user = visible_user(viewer_of(request), user_id)
        data = validated(UserChangeInput, request.data)
        is_self = user.pk == request.user.pk
        changed = update_user(user_id=user.pk, keep_token=token_digest(request) if is_self else None, **data)
        if is_self and "password" in data:
            update_session_auth_hash(request._request, changed)
        return Response(render_account(visible_user(viewer_of(request), user_id)))

    @extend_schema(
        operation_id="users_deactivate",
        summary="Deactivate a user",
        description="The user can no longer log in and every token ends. The books stay.",
        parameters=[USER_ID],
        request=None,
        responses={204: OpenApiResponse(description="Deactivated.")},
    )
    def delete(self, request: Request, user_id: str) -> Response:
        deactivate_user(user_id=visible_user(viewer_of(request), user_id).pk)
        return Response(status=status.HTTP_204_NO_CONTENT)


class DepositView(APIView):
    """Pay cash in."""

    @extend_schema(
        operation_id="users_deposit",
        summary="Pay cash in",
        parameters=[USER_ID, _KEY_PARAMETER],
        request=AmountInput,
        responses=AccountOut,
    )
    def post(self, request: Request, user_id: str) -> Response:
        user = visible_user(viewer_of(request), user_id)
        amount = validated(AmountInput, request.data)["amount"]
        user.account = deposit(
            user_id=user.pk, amount=amount, idempotency_key=idempotency_key(request), now=timezone.now()
        )
        return Response(render_account(user))


class WithdrawView(APIView):
    """Pay cash out."""

    @extend_schema(
        operation_id="users_withdraw",
        summary="Pay cash out",
        description="At most what is available: the balance without what open orders hold.",
        parameters=[USER_ID, _KEY_PARAMETER],
        request=AmountInput,
        responses=AccountOut,
    )
    def post(self, request: Request, user_id: str) -> Response:
        user = visible_user(viewer_of(request), user_id)
        amount = validated(AmountInput, request.data)["amount"]
        user.account = withdraw(
            user_id=user.pk, amount=amount, idempotency_key=idempotency_key(request), now=timezone.now()
        )
        return Response(render_account(user))


class LedgerView(PagedView):
    """A user's cash movements."""

    @extend_schema(
        operation_id="users_ledger",
        summary="List cash movements",
        description="With the running balance, newest first.",
        parameters=[USER_ID, RangeQuery],
        responses=LedgerEntryOut(many=True),
    )
    def get(self, request: Request, user_id: str) -> Response:
        user = visible_user(viewer_of(request), user_id)
        from_date, to_date = date_range(request.query_params)
        entries = ledger_of(user.pk, from_date=from_date, to_date=to_date)
        return self.answer_page(entries, render_ledger_entry)


class TokenView(APIView):
    """Log in."""

    authentication_classes: list[type[BaseAuthentication]] = []
    permission_classes = []
    throttle_classes = [LogInByAddressThrottle, LogInByNameThrottle]

    def get_authenticate_header(self, request: Request) -> str:
        return "Token"

    @extend_schema(
        operation_id="auth_token",
        summary="Log in",
        description="A new token, for the header `Authorization: Token <token>`. A user may have many.",
        request=LogInInput,
        responses=TokenOut,
        auth=[],
    )
    def post(self, request: Request) -> Response:
        user = authenticate(request._request, **validated(LogInInput, request.data))
        if user is None:
            raise AuthenticationFailed("The user name or the password is wrong.")
        user_logged_in.send(sender=type(user), request=request._request, user=user)
        token, expiry = issue_token(user=user, now=timezone.now())
        return Response(TokenOut({"token": token, "expiry": expiry}).data)


class LogOutView(APIView):
    """Log out."""

    @extend_schema(
        operation_id="auth_logout",
        summary="Log out",
        description="Ends the token (or the session) that this call was made with.",
        request=None,
        responses={204: OpenApiResponse(description="Ended.")},
    )
    def post(self, request: Request) -> Response:
        digest = token_digest(request)
        if digest is None:
            logout(request._request)
        else:
            revoke_token(digest=digest)
        return Response(status=status.HTTP_204_NO_CONTENT)


def viewer_of(request: Request) -> User:
    """The user who asks, in a view that lets nobody else in."""
    assert isinstance(request.user, User)
    return request.user


def token_digest(request: Request) -> str | None:
    """The digest of the token this request came with; None with a session."""
    digest: Any = getattr(request.auth, "digest", None)
    return digest


def idempotency_key(request: Request) -> str | None:
    """The request's Idempotency-Key, None when it has none."""
    key = request.headers.get(IDEMPOTENCY_KEY)
    if key is not None and not _KEY.match(key):
        detail = ErrorDetail("Give 1 to 128 printable ASCII characters.", code="invalid_idempotency_key")
        raise ValidationError({IDEMPOTENCY_KEY: [detail]})
    return key
