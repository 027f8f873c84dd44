"""`manage.py audit`: prove the books, on live data."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from trade.selectors.audit import Finding, audit_step_by_step


class Command(BaseCommand):
    help = "Proves that no money and no share was lost, made or held twice. Trading goes on meanwhile."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--quiet", action="store_true", help="Name broken promises only.")

    def handle(self, *_args: Any, quiet: bool, **_options: Any) -> None:
        broken = 0
        for finding in audit_step_by_step():
            broken += not finding.holds
            if not (quiet and finding.holds):
                self._print(finding)
        if broken:
            raise CommandError(f"{broken} of the promises are broken.", returncode=1)
        if not quiet:
            self.stdout.write("The books are right.")

    def _print(self, finding: Finding) -> None:
        word = self.style.SUCCESS("ok    ") if finding.holds else self.style.ERROR("BROKEN")
        checked = f"{finding.checked:,} {finding.rows}"
        self.stdout.write(f"{word} {finding.promise}  ({checked}, {finding.seconds:.2f} s)")
        for offender in finding.offenders:
            self.stdout.write(f"       {finding.name}: {offender}")
