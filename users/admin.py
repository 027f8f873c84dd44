"""Users and their cash in the admin. The books are read-only; what changes them goes through the services.

Also what the admins of the other rooms share: read-only tables, refusals as messages, and a paginator that
does not count a million rows to show a hundred.
"""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.contrib.admin.helpers import ActionForm
from django.contrib.auth.admin import UserAdmin
from django.core.paginator import Paginator
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils import timezone
from django.utils.functional import cached_property
from rest_framework.exceptions import ValidationError

from users.exceptions import Refusal
from users.inputs import MoneyField
from users.models import CashAccount, LedgerEntry, User
from users.selectors import account_of
from users.services import book_opening_balance, deactivate_user, deposit, withdraw
from users.services.tokens import revoke_tokens

MAX_COUNTED = 10_000


class CountingPaginator(Paginator):
    """Counts the first `MAX_COUNTED` rows and pages through these: to get at others, search or filter."""

    @cached_property
    def count(self) -> int:
        rows: Any = self.object_list
        return rows[:MAX_COUNTED].count()


class BooksAdmin(admin.ModelAdmin):
    """A table that is looked at. However long it is, a page of it takes as long as the first."""

    paginator = CountingPaginator
    show_full_result_count = False
    list_per_page = 50

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


class RefusalsAsMessages:
    """A form whose service refused it is shown again, with the reason on top; nothing was changed."""

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            return super().changeform_view(request, *args, **kwargs)  # type: ignore[misc]
        except Refusal as refusal:
            messages.error(request, refusal.detail)
            return HttpResponseRedirect(request.get_full_path())


class AmountActionForm(ActionForm):
    """The field beside the list of actions."""

    # Text: what is not an amount is refused by the action, which can say why.
    amount = forms.CharField(
        required=False, widget=forms.TextInput(attrs={"inputmode": "decimal", "size": 12})
    )


class TraderAdmin(UserAdmin):
    """Django's own, with cash. Users are deactivated, not deleted: the books stay."""

    action_form = AmountActionForm
    actions = ["deposit_to", "withdraw_from", "deactivate"]
    list_display = ["username", "email", "balance", "reserved", "unsettled", "is_staff", "is_active"]
    list_select_related = ["account"]
    list_per_page = 50
    readonly_fields = ["balance", "reserved", "unsettled", "last_login", "date_joined"]
    ordering = ["-id"]
    fieldsets = [*(UserAdmin.fieldsets or []), ("Cash", {"fields": ["balance", "reserved", "unsettled"]})]
    add_fieldsets = [
        (
            None,
            {
                "classes": ["wide"],
                "fields": ["username", "email", "usable_password", "password1", "password2"],
            },
        )
    ]

    @admin.display(ordering="account__balance")
    def balance(self, user: User) -> Decimal:
        return account_of(user).balance

    @admin.display(ordering="account__reserved")
    def reserved(self, user: User) -> Decimal:
        return account_of(user).reserved

    @admin.display(ordering="account__unsettled")
    def unsettled(self, user: User) -> Decimal:
        return account_of(user).unsettled

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        return super().get_queryset(request).select_related("account")

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        if not change:
            book_opening_balance(user_id=obj.pk, amount=settings.STARTING_BALANCE, now=timezone.now())
        elif not obj.is_active:
            deactivate_user(user_id=obj.pk)

    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> HttpResponse:
        response = super().user_change_password(request, id, form_url)
        if request.method == "POST" and response.status_code == 302:
            revoke_tokens(user_id=int(id))
        return response

    @admin.action(description="Pay the amount in", permissions=["change"])
    def deposit_to(self, request: HttpRequest, users: QuerySet[User]) -> None:
        self._book(request, users, deposit)

    @admin.action(description="Pay the amount out", permissions=["change"])
    def withdraw_from(self, request: HttpRequest, users: QuerySet[User]) -> None:
        self._book(request, users, withdraw)

    @admin.action(description="Deactivate selected users", permissions=["change"])
    def deactivate(self, request: HttpRequest, users: QuerySet[User]) -> None:
        for user in users:
            deactivate_user(user_id=user.pk)
        self.message_user(request, f"{len(users)} deactivated.")

    def _book(self, request: HttpRequest, users: QuerySet[User], book: Callable[..., CashAccount]) -> None:
        """Book the amount beside the action for each user, on its own."""
        try:
            amount = MoneyField().run_validation(request.POST.get("amount", ""))
        except ValidationError as error:
            self.message_user(request, f"Amount: {' '.join(map(str, error.detail))}", messages.ERROR)
            return
        for user in users:
            try:
                account = book(user_id=user.pk, amount=amount, now=timezone.now())
                self.message_user(request, f"{user}: the balance is {account.balance}.")
            except Refusal as refusal:
                self.message_user(request, f"{user}: {refusal.detail}", messages.ERROR)


@admin.register(CashAccount)
class CashAccountAdmin(BooksAdmin):
    list_display = ["user", "balance", "reserved", "unsettled"]
    list_select_related = ["user"]
    search_fields = ["user__username"]
    ordering = ["-user_id"]


@admin.register(LedgerEntry)
class LedgerEntryAdmin(BooksAdmin):
    list_display = ["id", "user", "kind", "amount", "balance_after", "reference", "created_at"]
    list_select_related = ["account__user"]
    list_filter = ["kind"]
    search_fields = ["account__user__username__exact", "reference__startswith"]
    search_help_text = "A user name, or the beginning of a reference: stock_id:sequence"
    ordering = ["-id"]

    @admin.display(ordering="account_id")
    def user(self, entry: LedgerEntry) -> User:
        return entry.account.user


admin.site.register(User, TraderAdmin)
