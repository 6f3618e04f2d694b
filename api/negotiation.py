"""Which format of a result the client wants: `format` by name, or `Accept` by media type and weight (RFC 9110,
12.5.1).
"""

from __future__ import annotations

from api.problems import NotAcceptable
from service.model import DownloadFormat

# The first of a format is what it is sent as; the rest are names that clients use too (ROAPI, RFC 4180, Arrow,
# IANA's Parquet).
MEDIA_TYPES: dict[str, DownloadFormat] = {
    "text/csv": DownloadFormat.CSV,
    "application/csv": DownloadFormat.CSV,
    "application/x-ndjson": DownloadFormat.NDJSON,
    "application/ndjson": DownloadFormat.NDJSON,
    "application/jsonl": DownloadFormat.NDJSON,
    "application/vnd.apache.parquet": DownloadFormat.PARQUET,
    "application/vnd.apache.arrow.stream": DownloadFormat.ARROW,
}
NAMES = ", ".join(format.value for format in DownloadFormat)
OFFERED = ", ".join(
    dict.fromkeys(name for name in MEDIA_TYPES if "apache" in name or name in ("text/csv", "application/x-ndjson"))
)


def download_format(name: str | None, accept: str) -> DownloadFormat:
    """The format to send: `name` wins over `accept`; with neither CSV. Raises NotAcceptable."""
    if name is not None:
        try:
            return DownloadFormat(name.lower())
        except ValueError:
            raise NotAcceptable(f"format={name[:60]!r} can't be met; there are {NAMES}.") from None
    best: tuple[float, DownloadFormat] | None = None
    for position, (media_range, weight) in enumerate(_ranges(accept or "*/*")):
        format = _match(media_range)
        if format is None or weight <= 0:
            continue
        rank = weight - position / 1e6
        if best is None or rank > best[0]:
            best = (rank, format)
    if best is None:
        raise NotAcceptable(f"Accept: {accept[:100]} can't be met; there are {OFFERED}.")
    return best[1]


def _ranges(accept: str) -> list[tuple[str, float]]:
    ranges = []
    for part in accept.split(",")[:100]:
        media_range, *parameters = (piece.strip().lower() for piece in part.split(";"))
        weight = 1.0
        for parameter in parameters:
            if parameter.startswith("q="):
                try:
                    weight = float(parameter[2:])
                except ValueError:
                    weight = 0.0
        if media_range:
            ranges.append((media_range, weight))
    return ranges


def _match(media_range: str) -> DownloadFormat | None:
    if media_range == "*/*":
        return DownloadFormat.CSV
    if media_range.endswith("/*"):
        kind = media_range[:-1]
        return next((format for name, format in MEDIA_TYPES.items() if name.startswith(kind)), None)
    return MEDIA_TYPES.get(media_range)
