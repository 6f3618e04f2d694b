"""`python -m cli.aws_endpoint`: the embedded AWS endpoint whose crawlers can be started; what `data-hist aws` becomes.

`embedded` stands alone and `glue` knows what a crawl does, so they are put together here.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from embedded.server.__main__ import main

if TYPE_CHECKING:
    from embedded.glue_crawlers import Crawl


def crawl_over(s3_client: Any) -> Crawl:
    """What a crawler runs over this store."""
    from glue.crawl_run import run_crawler

    return partial(run_crawler, s3_client, lambda: datetime.now(UTC))


if __name__ == "__main__":
    main(crawl_over)
