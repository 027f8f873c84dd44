"""Where prices come from when no exchange sends any: a model of a market, or a file of recorded ticks.

A source is an iterator of `SourceTick`; it knows neither clock nor broker. `feeder` sends it.
"""
