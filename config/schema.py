"""The OpenAPI schema: what drf-spectacular finds, and the one shape of every error."""

from typing import Any, Literal

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema as SpectacularSchema
from rest_framework import serializers

from users.permissions import StaffWrites


class ErrorItemOut(serializers.Serializer):
    code = serializers.CharField(help_text="A stable word.")
    detail = serializers.CharField(help_text="For people.")
    attr = serializers.CharField(allow_null=True, help_text="The input at fault, when there is one.")


class ErrorOut(serializers.Serializer):
    type = serializers.ChoiceField(["validation_error", "client_error", "server_error"])
    errors = ErrorItemOut(many=True)  # type: ignore[assignment]


class AutoSchema(SpectacularSchema):
    """Adds the error shape as the answer to whatever is not documented otherwise."""

    def _get_response_bodies(self, direction: Literal["request", "response"] = "response") -> dict[str, Any]:
        bodies = super()._get_response_bodies(direction)
        if direction == "response":
            bodies["default"] = self._get_response_for_code(ErrorOut, "default")
        return bodies

    def get_auth(self) -> list[dict[str, Any]]:
        """A call that anybody may make needs no credentials, but takes them."""
        schemes = super().get_auth()
        is_public = self.method == "GET" and any(
            isinstance(rule, StaffWrites) for rule in self.view.get_permissions()
        )
        return [*schemes, {}] if is_public else schemes

    def get_tags(self) -> list[str]:
        """The first word after /api/; what hangs below a user or a stock is theirs."""
        return [self.path.removeprefix("/api/").split("/")[0]]


class TokenScheme(OpenApiAuthenticationExtension):
    target_class = "users.authentication.CachedTokenAuthentication"
    name = "token"

    def get_security_definition(self, auto_schema: SpectacularSchema) -> dict[str, str]:
        return {
            "type": "apiKey",
            "in": "header",
            "name": "Authorization",
            "description": "`Token <token>`, with a token from `POST /api/auth/token/`.",
        }
