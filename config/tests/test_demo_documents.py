"""What the documents say about the code is there."""

import re
from pathlib import Path

from django.test import SimpleTestCase

ROOT = Path(__file__).resolve().parent.parent.parent
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "config" / "docs").rglob("*.md"))]


class DocumentTests(SimpleTestCase):
    def test_the_readme_names_every_setting_and_no_other(self) -> None:
        settings = (ROOT / "config" / "settings.py").read_text()
        read = set(re.findall(r'env\.\w+\(\s*"(\w+)"', settings))
        table = (ROOT / "README.md").read_text().split("## Settings")[1].split("## Look after it")[0]
        named = {
            name for row in re.findall(r"^\| (`.*?) \|", table, re.M) for name in re.findall(r"`(\w+)`", row)
        }
        self.assertTrue(read)
        self.assertEqual(named, read)

    def test_every_link_leads_somewhere(self) -> None:
        for document in DOCUMENTS:
            for link in re.findall(r"\]\(([^)#]+)\)", document.read_text()):
                with self.subTest(document=document.name, link=link):
                    if not link.startswith("http"):
                        self.assertTrue((document.parent / link).exists())

    def test_every_path_in_the_architecture_exists(self) -> None:
        text = (ROOT / "config" / "docs" / "ARCHITECTURE.md").read_text()
        paths = set(re.findall(r"`((?:config|market_feed|pages|stocks|trade|users)/[\w./]*)", text))
        self.assertGreater(len(paths), 20)
        self.assertEqual({path for path in paths if not (ROOT / path).exists()}, set())

    def test_every_decision_is_in_the_list(self) -> None:
        folder = ROOT / "config" / "docs" / "decisions"
        listed = set(re.findall(r"\]\((\d{4}[\w-]+\.md)\)", (folder / "README.md").read_text()))
        self.assertEqual(listed, {path.name for path in folder.glob("0*.md")})

    def test_the_readme_names_every_option_of_the_demo(self) -> None:
        source = (ROOT / "config" / "management" / "commands" / "demo.py").read_text()
        readme = (ROOT / "README.md").read_text()
        options = re.findall(r'add_argument\(\s*"(--[\w-]+)"', source)
        self.assertEqual(len(options), 9)
        self.assertEqual([option for option in options if f"`{option}" not in readme], [])
