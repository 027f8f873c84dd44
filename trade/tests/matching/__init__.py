"""Tests of the pure matching rules, with a naive twin that reads the same rules a second time."""
