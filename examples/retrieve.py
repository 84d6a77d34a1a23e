"""Asks a running server which items answer a query, and how fresh the answer is.

Serve in one terminal what `examples/publish_to_file.py` led to
(`freshet serve --artifacts shop/artifacts --listen 127.0.0.1:50051`), ask in another::

    python examples/retrieve.py 127.0.0.1:50051 "red mug"
"""

import sys

from freshet_client import ClientError, QueryRefused, RetrievalClient


def main(target: str, query: str) -> int:
    """Print the answer and return the exit status."""
    # One client for the whole process: threads share it, and it keeps its connection.
    with RetrievalClient(target, timeout_seconds=5.0) as client:
        client.wait_until_ready(timeout_seconds=30.0)
        try:
            # A search page has no time to wait: half a second, retries included.
            answer = client.retrieve(query, k=5, timeout_seconds=0.5)
        except QueryRefused as error:
            print(f"ask something else: {error}", file=sys.stderr)
            return 2
        except ClientError as error:
            advice = "try again later" if error.retriable else "this will not help itself"
            print(f"{error} ({advice})", file=sys.stderr)
            return 1
    for hit in answer.hits:
        print(f"{hit.score:6.3f}  {hit.item_id:<16}{hit.title}")
    receipt = answer.receipt
    # How old the answer is, not how long ago something last happened in the shop, which
    # `watermark_age_seconds` says.
    if receipt.age_seconds is None:  # no refresher runs
        fresh = f"the graph as it was {receipt.snapshot_age_seconds:.0f} s ago"
    else:
        fresh = f"all that came until {receipt.age_seconds:.1f} s ago"
    print(f"a {answer.path} query; answered from {fresh}")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
