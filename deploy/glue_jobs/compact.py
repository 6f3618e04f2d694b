"""The script of the compaction job, for Glue 5.0 and later (Python 3.11): docs/compaction.md says how it is set up."""

from __future__ import annotations

import sys

from glue.compaction_job import main

if __name__ == "__main__":  # processes that write Parquet read this file again
    exit_code = main(sys.argv[1:])
    if exit_code:  # Glue takes an exit for a failure, even of 0 in some versions
        sys.exit(exit_code)
