"""Empty views: the least that Django, and Django with a token, does for a request."""

from django.http import HttpRequest, HttpResponse
from django.urls import path
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

# What middleware would add, and a connection that stays open needs.
HEADERS = {"Content-Length": "2"}


def empty(_: HttpRequest) -> HttpResponse:
    return HttpResponse(b"{}", status=201, headers=HEADERS)


async def empty_async(_: HttpRequest) -> HttpResponse:
    return HttpResponse(b"{}", status=201, headers=HEADERS)


class EmptyAuthenticated(APIView):
    """For a valid token, as every call of the API."""

    def post(self, _: Request) -> Response:
        return Response({}, status=201, headers=HEADERS)


urlpatterns = [
    path("empty/", empty),
    path("empty-async/", empty_async),
    path("empty-authenticated/", EmptyAuthenticated.as_view()),
]
