from django.urls import path

from pages.views import market

urlpatterns = [path("", market, name="market")]
