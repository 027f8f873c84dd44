"""Users with cash, stocks and holdings, made through the services: the books account for all of them."""

from decimal import Decimal
from typing import Any

from django.utils import timezone
from factory.base import Factory
from factory.declarations import LazyAttribute, LazyFunction, Sequence, SubFactory
from factory.faker import Faker

from stocks.models import Holding, Stock
from stocks.services import grant_shares, list_stock
from users.models import User
from users.services import deposit, register_user

PASSWORD = "correct horse battery"


class StockFactory(Factory):
    """A listed stock: `StockFactory(stock_id="ACME", lot_size=10)`."""

    class Meta:
        model = Stock

    stock_id = Sequence(lambda n: f"STOCK-{n}")
    name = Faker("company")

    @classmethod
    def _create(cls, model_class: type[Stock], *args: Any, **kwargs: Any) -> Stock:
        return list_stock(**kwargs)


class UserFactory(Factory):
    """A user who signed up: `UserFactory(username="ann", cash=1000, shares={"ACME": 10})`.

    Its password is `PASSWORD`.
    """

    class Meta:
        model = User

    username = Sequence(lambda n: f"trader-{n}")
    email = LazyAttribute(lambda user: f"{user.username}@example.com")
    cash: Decimal | int = 0
    shares: Any = LazyFunction(dict)
    is_staff = False

    @classmethod
    def _create(cls, model_class: type[User], *args: Any, **kwargs: Any) -> User:
        cash, shares = Decimal(kwargs["cash"]), kwargs["shares"]
        now = timezone.now()
        user = register_user(username=kwargs["username"], email=kwargs["email"], password=PASSWORD, now=now)
        if kwargs["is_staff"]:
            user.is_staff = True
            user.save(update_fields=["is_staff"])
        if cash:
            deposit(user_id=user.pk, amount=cash, now=now)
        for stock_id, quantity in shares.items():
            grant_shares(user_id=user.pk, stock_id=stock_id, quantity=quantity, now=now)
        return user


class StaffFactory(UserFactory):
    """A user who may do everything."""

    username = Sequence(lambda n: f"staff-{n}")
    is_staff = True


class HoldingFactory(Factory):
    """Granted shares: `HoldingFactory(user=ann, stock=acme, quantity=10)`."""

    class Meta:
        model = Holding

    user = SubFactory(UserFactory)
    stock = SubFactory(StockFactory)
    quantity = 100

    @classmethod
    def _create(cls, model_class: type[Holding], *args: Any, **kwargs: Any) -> Holding:
        user, stock = kwargs["user"], kwargs["stock"]
        grant_shares(user_id=user.pk, stock_id=stock.pk, quantity=kwargs["quantity"], now=timezone.now())
        return Holding.objects.get(user=user, stock=stock)
