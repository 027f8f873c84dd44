"""Processes that trade on one database, to be raced against each other, cut off and killed."""
