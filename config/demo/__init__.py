"""A live market in one process.

`cast` says who is in it, `world` makes them, `quoting`, `desk` and `bots` trade, `runner` runs it all.
"""
