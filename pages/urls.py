from django.urls import path

from pages.accounts import log_in, log_out, sign_up
from pages.views import market

urlpatterns = [
    path("", market, name="market"),
    path("sign-up/", sign_up, name="sign-up"),
    path("log-in/", log_in, name="log-in"),
    path("log-out/", log_out, name="log-out"),
]
