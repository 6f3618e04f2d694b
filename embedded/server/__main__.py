"""`python -m embedded.server --data-dir .data`: the embedded AWS endpoint in this process (see `embedded.server`).

`data-hist aws` starts `cli.aws_endpoint` instead, which hands in what crawlers run.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from embedded.server.serving import THREAD_COUNT, CrawlOver, Elsewhere, run


def main(crawl_over: CrawlOver | None = None) -> None:
    """Reads the command line and serves. `crawl_over` makes what crawlers run over an S3 client."""
    parser = argparse.ArgumentParser(prog="python -m embedded.server", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8081, help="0 takes a free one (default: 8081)")
    parser.add_argument("--data-dir", type=Path, default=Path(".data"))
    parser.add_argument("--threads", type=int, default=THREAD_COUNT)
    parser.add_argument("--s3-endpoint", help="URL of the S3-compatible store that holds the objects")
    parser.add_argument("--glue-endpoint", help="URL of the Glue catalogue")
    arguments = parser.parse_args()
    elsewhere = Elsewhere(arguments.s3_endpoint, arguments.glue_endpoint)
    run(arguments.host, arguments.port, arguments.data_dir, arguments.threads, elsewhere, crawl_over)


if __name__ == "__main__":
    main()
