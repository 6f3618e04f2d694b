"""Callers that a trusted peer names in headers, because it has authenticated them itself (an API gateway's authorizer).

    X-Data-Hist-Customer   11000, or several parted by commas, or * for all of them
    X-Data-Hist-Scopes     query, operate; `query` where the header is missing
    X-Data-Hist-Subject    who it is, for log and history

api.peers has taken these headers off requests of everybody else. The gateway has to set them itself, in place of what
its client sent: a header that comes twice is refused, as one of the two may be the client's.
"""

from __future__ import annotations

from starlette.types import Scope

from api.claims import customers_of, named
from api.exchange import exchange_of
from api.problems import AuthenticationRequired, CustomerMissing
from service.keys import SCOPES, tenant_of
from service.model import Caller

CUSTOMER = b"x-data-hist-customer"
SCOPES_HEADER = b"x-data-hist-scopes"
SUBJECT = b"x-data-hist-subject"
EVERYONE = "*"


def gateway_caller(scope: Scope) -> Caller | None:
    """The caller that a trusted peer names; None when it names nobody.

    Raises AuthenticationRequired for a header that comes twice, CustomerMissing for one without a customer.
    """
    if not exchange_of(scope).origin.is_trusted:
        return None
    values: dict[bytes, str] = {}
    for name, value in scope["headers"]:
        if name in (CUSTOMER, SCOPES_HEADER, SUBJECT):
            if name in values:
                raise AuthenticationRequired(f"The gateway sent {name.decode()} twice; one may be the client's own.")
            values[name] = value.decode("latin-1").strip()
    if CUSTOMER not in values:
        return None
    words = values.get(SCOPES_HEADER, "query").replace(",", " ").split()
    key_id = named("gateway", values.get(SUBJECT))
    if values[CUSTOMER] == EVERYONE:
        return Caller(tenant_of(None), None, SCOPES.intersection(words), key_id)
    customers = customers_of(values[CUSTOMER])
    if not customers:
        raise CustomerMissing("The gateway names no customer.")
    return Caller(tenant_of(customers), customers, SCOPES.intersection(words), key_id)
