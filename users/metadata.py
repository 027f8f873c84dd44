"""What OPTIONS answers."""

from typing import TYPE_CHECKING, Any

from rest_framework.metadata import SimpleMetadata
from rest_framework.request import Request

if TYPE_CHECKING:  # the framework's views import this module
    from rest_framework.views import APIView


class PlainMetadata(SimpleMetadata):
    """Name, media types and, in the header, methods. What they take is in the schema."""

    def determine_actions(self, request: Request, view: "APIView") -> Any:
        return {}
