"""A setting that makes no sense is refused at the start, by name."""

import os
import runpy
from datetime import time
from typing import Any
from unittest import mock

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.test import SimpleTestCase


def read_settings(**environment: str) -> dict[str, Any]:
    """The settings as a process with this environment reads them."""
    with mock.patch.dict(os.environ, environment):
        return runpy.run_path(str(settings.BASE_DIR / "config" / "settings.py"))


class Settlement(SimpleTestCase):
    def test_it_is_immediate_or_deferred(self) -> None:
        for word in ("immediate", "deferred"):
            self.assertEqual(read_settings(SETTLEMENT=word)["SETTLEMENT"], word)

    def test_it_is_no_other_word(self) -> None:
        for word in ("later", "Deferred", ""):
            with self.subTest(word), self.assertRaisesMessage(ImproperlyConfigured, "SETTLEMENT is "):
                read_settings(SETTLEMENT=word)


class TradingDay(SimpleTestCase):
    def test_it_closes_at_a_time_or_never(self) -> None:
        for text, closes_at in (("22:00", time(22)), ("00:00", time(0)), ("", None)):
            with self.subTest(text):
                self.assertEqual(
                    read_settings(TRADING_DAY_CLOSES_AT=text)["TRADING_DAY_CLOSES_AT"], closes_at
                )

    def test_it_closes_at_no_other_text(self) -> None:
        for text in ("24:00", "9:00", "22:60", "22", "22:00:00", "22:00Z", "\u0662\u0662:00", "never", " "):
            with (
                self.subTest(text),
                self.assertRaisesMessage(ImproperlyConfigured, "TRADING_DAY_CLOSES_AT is "),
            ):
                read_settings(TRADING_DAY_CLOSES_AT=text)
