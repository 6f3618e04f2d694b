"""What the exit status of `data-hist` tells a script. docs/cli.md has the same table; a test holds them equal."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """0 is success; everything else says who has to do something."""

    OK = 0
    QUERY_FAILED = 1  # the SQL is at fault, or the query failed or was cancelled
    USAGE = 2  # the command, a file or a name is wrong; nothing was done
    PARTLY = 3  # some of it was done: rows were rejected, files or partitions failed
    NOT_REACHABLE = 4  # no service answers at this address, or it is overloaded
    NOT_ALLOWED = 5  # the service wants another key, or the budget of the day is used up
    DIFFERS = 6  # catalogue and table specs differ: something is to do, or was left as it would break something
    INTERNAL = 70  # a defect of data-hist itself (sysexits.h: EX_SOFTWARE)
    INTERRUPTED = 130  # Ctrl-C
