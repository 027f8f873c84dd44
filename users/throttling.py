"""How often something may be tried: so many times per window, counted in the cache.

The framework's own throttles read, then write: a burst of parallel requests slips through. Here the cache
counts, in one step. With Redis as the cache all processes share one count.
"""

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rest_framework.request import Request
from rest_framework.settings import api_settings
from rest_framework.throttling import SimpleRateThrottle

if TYPE_CHECKING:  # the framework's views import this module
    from rest_framework.views import APIView


class WindowThrottle(SimpleRateThrottle):
    """At most `rate` attempts by one `identity` in each window."""

    scope: str
    num_requests: int
    duration: int

    def get_rate(self) -> str | None:
        # Read each time: the framework's own class attribute is from before tests change it.
        rates: dict[str, Any] = dict(api_settings.DEFAULT_THROTTLE_RATES)
        return rates.get(self.scope)

    def identity(self, request: Request) -> str | None:
        """Who is counted; None is not throttled."""
        raise NotImplementedError

    def allow_request(self, request: Request, view: "APIView") -> bool:
        identity = None if self.rate is None else self.identity(request)
        return identity is None or self.allow(identity)

    def allow(self, identity: str) -> bool:
        """Count an attempt of `identity`; whether it is within the rate, which must not be None."""
        digest = hashlib.sha256(identity.encode()).hexdigest()
        key = f"throttle:{type(self).__name__}:{digest}:{int(self.timer() // self.duration)}"
        self.cache.add(key, 0, self.duration)
        try:
            return self.cache.incr(key) <= self.num_requests
        except ValueError:
            # The window ended between the two calls.
            return True

    def wait(self) -> float:
        return self.duration - self.timer() % self.duration


class SignUpThrottle(WindowThrottle):
    scope = "sign_up"

    def identity(self, request: Request) -> str | None:
        return str(self.get_ident(request)) if request.method == "POST" else None


class LogInByAddressThrottle(WindowThrottle):
    scope = "log_in"

    def identity(self, request: Request) -> str:
        return str(self.get_ident(request))


class LogInByNameThrottle(WindowThrottle):
    """Guessing one user's password from many addresses is no faster than from one."""

    scope = "log_in"

    def identity(self, request: Request) -> str | None:
        username: Any = request.data.get("username") if isinstance(request.data, Mapping) else None
        return username.casefold() if isinstance(username, str) else None


class UserThrottle(WindowThrottle):
    """For every call, where the setting THROTTLE_USER asks for it."""

    scope = "user"

    def identity(self, request: Request) -> str:
        if request.user and request.user.is_authenticated:
            return self.identity_of(request.user.pk)
        return str(self.get_ident(request))

    @staticmethod
    def identity_of(user_id: int) -> str:
        return f"user {user_id}"
