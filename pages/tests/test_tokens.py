"""The colours of the style sheets, as WCAG 2 measures contrast."""

import re
from pathlib import Path

from django.test import SimpleTestCase

STATIC = Path(__file__).parent.parent / "static" / "pages"
AA_TEXT = 4.5
AA_EDGE = 3.0

TEXTS = ("ink", "muted", "accent", "buy", "sell", "warn", "own")
SURFACES = ("ground", "field", "surface", "raised", "selected")
PAIRS = [
    *((text, surface, AA_TEXT) for text in TEXTS for surface in SURFACES),
    *(
        (text, soft, AA_TEXT)
        for soft in ("buy-soft", "sell-soft")
        for text in ("ink", "muted", "buy", "sell", "own")
    ),
    *(("on-fill", fill, AA_TEXT) for fill in ("buy-fill", "sell-fill", "primary-fill")),
    *((edge, surface, AA_EDGE) for edge in ("edge", "focus") for surface in SURFACES),
]


def luminance(colour: str) -> float:
    """Relative luminance of "#rrggbb"."""
    parts = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def schemes() -> dict[str, dict[str, str]]:
    """The colours of both schemes by name."""
    dark_text, light_text = (STATIC / "tokens.css").read_text().split("@media (prefers-color-scheme: light)")
    dark, light = (dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", text)) for text in (dark_text, light_text))
    return {"dark": dark, "light": {**dark, **light}}


class TokenTests(SimpleTestCase):
    def test_it_measures_contrast_as_the_standard_does(self) -> None:
        self.assertEqual(contrast("#000000", "#ffffff"), 21)
        self.assertAlmostEqual(contrast("#777777", "#ffffff"), 4.48, places=2)

    def test_it_can_be_read_in_both_schemes(self) -> None:
        for scheme, colours in schemes().items():
            for one, other, least in PAIRS:
                with self.subTest(scheme=scheme, pair=(one, other)):
                    self.assertGreaterEqual(contrast(colours[one], colours[other]), least)

    def test_no_other_style_sheet_names_a_colour(self) -> None:
        sheets = [path for path in STATIC.rglob("*.css") if path.name != "tokens.css"]
        self.assertTrue(sheets)
        for path in sheets:
            self.assertNotRegex(path.read_text(), r"#[0-9a-fA-F]{3,8}\b|rgb\(|gradient", path.name)
