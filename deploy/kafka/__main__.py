"""`make kafka`: a local Apache Kafka with Freshet's topics in the foreground, until
Ctrl-C.
"""

import argparse
import logging
import signal
import sys

from deploy.kafka.broker import BrokerError, LocalBroker
from deploy.kafka.topics import create_topics
from deploy.maven import FetchError, MissingToolError


def main(arguments: list[str] | None = None) -> int:
    """Run the broker until SIGTERM or SIGINT and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m deploy.kafka", description=__doc__)
    parser.add_argument(
        "--port", type=int, default=9092, help="where clients connect (default: %(default)s)"
    )
    parser.add_argument(
        "--partitions", type=int, default=4, help="of every topic (default: %(default)s)"
    )
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.ERROR)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        _serve(options.port, options.partitions)
    except (BrokerError, FetchError, MissingToolError) as error:
        print(f"kafka: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nkafka: stopped")
    return 0


def _serve(port: int, partitions: int) -> None:
    print("kafka: starting", flush=True)
    with LocalBroker(port) as broker:
        names = create_topics(broker.bootstrap, partitions=partitions)
        print(f"kafka: topics {', '.join(names)}, {partitions} partitions each")
        print(
            f"kafka: ready at {broker.bootstrap}; Ctrl-C stops it and removes its data", flush=True
        )
        broker.wait()


if __name__ == "__main__":
    sys.exit(main())
