"""One request and its answer, as the log, the metrics and the problem documents speak of it.

The edge makes it, the inner layers fill in what they learn (route, tenant, query), the edge writes it down at the end.
"""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass, field

from starlette.types import Scope

from api.peers import Origin

SCOPE_KEY = "data_hist.exchange"
REQUEST_ID = re.compile(rb"[0-9A-Za-z_.:+/=-]{1,128}")
UNMATCHED = "(unmatched)"
NOWHERE = Origin(None, None, "http")


@dataclass(slots=True)
class Exchange:
    """Filled in while the request is served; `route` is the contract's path template, never the path itself.

    `headers` are added to the answer, whatever it is.
    """

    request_id: str
    method: str
    path: str
    route: str = UNMATCHED
    status: int | None = None
    tenant: str | None = None
    key_id: str | None = None
    query_id: str | None = None
    code: str | None = None
    sent_bytes: int = 0
    origin: Origin = NOWHERE
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)


def begin_exchange(scope: Scope) -> Exchange:
    """The exchange of a new request. A sane `X-Request-Id` is kept (1..128 of letters, digits, `_.:+/=-`), else
    one is made.
    """
    request_id = ""
    for name, value in scope["headers"]:
        if name == b"x-request-id":
            if REQUEST_ID.fullmatch(value):
                request_id = value.decode("ascii")
            break
    exchange = Exchange(request_id=request_id or uuid.uuid4().hex, method=scope["method"], path=scope["path"])
    scope[SCOPE_KEY] = exchange
    scope.setdefault("extensions", {})  # what inner layers put there is seen here, though they copy the scope
    return exchange


def exchange_of(scope: Scope) -> Exchange:
    """The exchange that the edge began for this request."""
    exchange: Exchange = scope[SCOPE_KEY]
    return exchange
