"""`python -m embedded.server --data-dir .data`: the embedded AWS endpoint in this process (see `embedded.server`)."""

from __future__ import annotations

import argparse
from pathlib import Path

from embedded.server.serving import THREAD_COUNT, run


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m embedded.server", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8081, help="0 takes a free one (default: 8081)")
    parser.add_argument("--data-dir", type=Path, default=Path(".data"))
    parser.add_argument("--threads", type=int, default=THREAD_COUNT)
    arguments = parser.parse_args()
    run(arguments.host, arguments.port, arguments.data_dir, arguments.threads)


if __name__ == "__main__":
    main()
