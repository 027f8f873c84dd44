#!/usr/bin/env python3
"""The command line of Bourse. It needs Python alone: its first command sets up everything else."""

import os
import sys


def main() -> None:
    """Run a management command, with the packages of `Pipfile.lock`."""
    if sys.version_info < (3, 11):
        sys.exit("Bourse needs Python 3.11 or newer; this is Python %d.%d." % sys.version_info[:2])

    from config import bootstrap

    bootstrap.enter(sys.argv[1:])
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
