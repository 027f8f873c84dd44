"""What the feed counts, for Prometheus."""

from prometheus_client import Counter, Gauge, Histogram

ticks = Counter("bourse_feed_ticks", "Ticks applied, by what became of them.", ["outcome"])
malformed = Counter("bourse_feed_malformed", "Feed messages dropped, by what was wrong with them.", ["kind"])
feed_trades = Counter("bourse_feed_trades", "Trades that ticks made.")
batch_size = Histogram(
    "bourse_feed_batch_size", "Ticks committed together.", buckets=(1, 2, 5, 10, 50, 100, 500, 1_000, 2_000)
)
lag = Histogram(
    "bourse_feed_lag_seconds",
    "From the arrival of the oldest message of a batch to its commit.",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
waiting = Gauge("bourse_feed_waiting", "Messages received and not yet applied.")
connected = Gauge("bourse_feed_connected", "Whether the consumer is connected to the broker.")
retries = Counter("bourse_feed_retries", "Batches that were tried again.")
published = Counter("bourse_published_messages", "Messages acknowledged by the broker, by kind.", ["kind"])
