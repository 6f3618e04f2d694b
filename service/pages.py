"""Pages of a result: a head, a slice of the spool, a tail. No row is parsed or serialised here, so every page costs
the same.

    {"query_id":"...","columns":[{"name":"...","type":"..."}],"result_set":[
    {...},
    {...}],"row_count":2,"paging_token":"..."}

`paging_token` is absent on the last page, and no page but that of an empty result is empty.
"""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from service.errors import InvalidPagingToken
from service.model import OutputColumn, Page
from service.spool import ROW_END, RowReader
from service.tokens import ResultPosition, TokenSigner


class PageNotReady(Exception):
    """The spool does not reach as far as this page yet."""


def page_head(query_id: str, columns: Sequence[OutputColumn]) -> bytes:
    """The text of every page of this result before its first row."""
    members = {"query_id": query_id, "columns": [{"name": column.name, "type": column.type} for column in columns]}
    return orjson.dumps(members)[:-1] + b',"result_set":['


def page(
    reader: RowReader,
    signer: TokenSigner,
    *,
    query_id: str,
    tenant: str,
    columns: Sequence[OutputColumn],
    paging_token: str | None,
    results_per_page: int,
    is_waiting_allowed: bool = True,
) -> Page:
    """The page that begins at the token (without one, at the first row).

    Raises InvalidPagingToken, PageNotReady; OSError when the rows lie on disk and `is_waiting_allowed` is False.
    """
    position = ResultPosition(0, 0)
    if paging_token is not None:
        position = signer.result_position(paging_token, tenant=tenant, query_id=query_id)
    # asked before the rows are counted: a spool that becomes complete in between has at least the rows we then count
    is_complete = reader.is_complete
    row_count = reader.row_count
    last_row = position.row + results_per_page
    # one row more must be known, or that there is none: otherwise nobody can say whether a next page exists
    if not is_complete and row_count <= last_row:
        raise PageNotReady
    if is_complete and position.row > 0 and position.row >= row_count:
        raise InvalidPagingToken("the paging token points behind the end of the result")
    # the row says where the page begins; the offset could be that of a spool of another release, on another replica
    rows = reader.read(position.row, results_per_page, is_waiting_allowed=is_waiting_allowed)
    next_token = None
    if position.row + rows.row_count < row_count:
        next_position = ResultPosition(position.row + rows.row_count, rows.end_offset)
        next_token = signer.result_token(next_position, tenant=tenant, query_id=query_id)
    return Page(
        query_id=query_id,
        body=b"".join(
            (_head(reader, query_id, columns), rows.rows[: -len(ROW_END)], _tail(rows.row_count, next_token))
        ),
        row_offset=position.row,
        row_count=rows.row_count,
        paging_token=next_token,
    )


def _head(reader: RowReader, query_id: str, columns: Sequence[OutputColumn]) -> bytes:
    kept = reader.page_head
    if kept is None or kept[0] is not columns:
        kept = reader.page_head = (columns, page_head(query_id, columns))
    return kept[1]


def _tail(row_count: int, paging_token: str | None) -> bytes:
    if paging_token is None:
        return b'],"row_count":%d}' % row_count
    return b'],"row_count":%d,"paging_token":"%s"}' % (row_count, paging_token.encode("ascii"))
