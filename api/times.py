"""Times as the contract takes them: ISO-8601 text, or milliseconds since 1970."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from service.errors import InvalidRequest

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def milliseconds(value: str | float | None, field: str) -> int | None:
    """`value` in ms since 1970; text without an offset is UTC. Raises InvalidRequest naming `field`."""
    if value is None:
        return None
    if not isinstance(value, str):
        return int(value)
    try:
        moment = datetime.fromisoformat(value.strip())
    except ValueError:
        raise InvalidRequest(
            "is not a time; write it as 2026-11-22T10:00:00Z, 2026-11-22, or in milliseconds since 1970", field=field
        ) from None
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    return (moment - EPOCH) // timedelta(milliseconds=1)
