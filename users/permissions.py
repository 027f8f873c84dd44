"""Who may call what. Whose data it is decides `users.selectors.visible_user`."""

from rest_framework.permissions import SAFE_METHODS, BasePermission, IsAdminUser
from rest_framework.request import Request
from rest_framework.views import APIView


class SignUpOrAuthenticated(BasePermission):
    """Anybody may POST, everything else needs a user."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        return request.method == "POST" or bool(request.user and request.user.is_authenticated)


class StaffWrites(IsAdminUser):
    """Market data: anybody reads, staff writes."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        return request.method in SAFE_METHODS or super().has_permission(request, view)
