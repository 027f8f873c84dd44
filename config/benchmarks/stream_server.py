"""The web server that the benchmark of the streams measures: `manage.py serve`, and someone who tells it what to do.

python -m config.benchmarks.stream_server
"""

import django

from config.serving import run_server


def main() -> None:
    django.setup()
    from market_feed.benchmarks.stream_host import obey

    run_server(port=0, on_start=obey)


if __name__ == "__main__":
    main()
