"""A setting that makes no sense is refused at the start, by name."""

import os
import runpy
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
