"""Signed tokens: opaque, stateless. A paging token says where the next page begins, a link token what may be downloaded
without a key and until when; the signature says that we said so.

    token   = base64url(key id | kind | fields | MAC), no padding, at most 60 characters (the contract allows 1024)
    key id  = which secret signed it, 4 bytes (service.signing_secrets)
    result  = kind 1 | row number u64 | byte offset u64          bound to tenant and query id
    listing = kind 2 | submitted_at in us u64 | query id 16 B    bound to tenant and status filter
    partitions = kind 3 | start of the last one in ms i64        bound to tenant, table and range
    link    = kind 4 | expires_at in s u64 | format u8           bound to query id: who follows it has no tenant
    MAC     = first 16 bytes of HMAC-SHA256(secret, kind | fields | what it is bound to)

What a token is bound to is part of the MAC and not of the token, so a token of another tenant or query is simply not
valid. Paging tokens carry no time: they live as long as the result they point into, and reading twice gives the same
page. Link tokens end with their time or with the result, whichever is first.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from service.errors import InvalidPagingToken
from service.model import DownloadFormat
from service.signing_secrets import KEY_ID_BYTES, KeyRing, Secret

MAC_BYTES = 16
_RESULT = struct.Struct(">BQQ")
_LISTING = struct.Struct(">BQ16s")
_PARTITIONS = struct.Struct(">Bq")
_LINK = struct.Struct(">BQB")
# in a token a format is its place here: a new one goes to the end
_FORMATS = (DownloadFormat.CSV, DownloadFormat.NDJSON, DownloadFormat.PARQUET, DownloadFormat.ARROW)
_KIND_RESULT = 1
_KIND_LISTING = 2
_KIND_PARTITIONS = 3
_KIND_LINK = 4
_NO_TENANT = ""


@dataclass(frozen=True)
class ResultPosition:
    """Where a page begins: the row (from 0) and its byte offset in the result spool's rows."""

    row: int
    byte_offset: int


@dataclass(frozen=True)
class ListingPosition:
    """The last execution of a listing's page; the next page holds older ones."""

    submitted_at_us: int
    query_id: str


@dataclass(frozen=True)
class LinkGrant:
    """What a link lets anybody do who has it: download in this format, until then (seconds since 1970)."""

    expires_at_s: int
    file_format: DownloadFormat


class TokenSigner:
    """Makes and reads paging tokens; every replica of the service must be given the same secrets."""

    def __init__(self, key_ring: KeyRing) -> None:
        self._key_ring = key_ring
        self._bases: dict[Secret, hmac.HMAC] = {}

    def result_token(self, position: ResultPosition, *, tenant: str, query_id: str) -> str:
        """The token of the page that begins at `position`."""
        fields = _RESULT.pack(_KIND_RESULT, position.row, position.byte_offset)
        return self._signed(fields, tenant, query_id)

    def result_position(self, token: str, *, tenant: str, query_id: str) -> ResultPosition:
        """Where the page of this token begins. Raises InvalidPagingToken."""
        _, row, byte_offset = _RESULT.unpack(self._verified(token, _RESULT.size, _KIND_RESULT, tenant, query_id))
        return ResultPosition(row, byte_offset)

    def listing_token(self, position: ListingPosition, *, tenant: str, status: str) -> str:
        """The token of the listing page after `position`; `status` is the filter, '' for none."""
        fields = _LISTING.pack(_KIND_LISTING, position.submitted_at_us, UUID(position.query_id).bytes)
        return self._signed(fields, tenant, status)

    def listing_position(self, token: str, *, tenant: str, status: str) -> ListingPosition:
        """The position after which the listing page of this token begins. Raises InvalidPagingToken."""
        fields = self._verified(token, _LISTING.size, _KIND_LISTING, tenant, status)
        _, submitted_at_us, query_id = _LISTING.unpack(fields)
        return ListingPosition(submitted_at_us, str(UUID(bytes=query_id)))

    def partitions_token(self, start_ms: int, *, tenant: str, listing: str) -> str:
        """The token of the page of partitions before the one that starts then; `listing` names table and range."""
        return self._signed(_PARTITIONS.pack(_KIND_PARTITIONS, start_ms), tenant, listing)

    def partitions_position(self, token: str, *, tenant: str, listing: str) -> int:
        """Where the last page of partitions ended, in ms since 1970. Raises InvalidPagingToken."""
        fields = self._verified(token, _PARTITIONS.size, _KIND_PARTITIONS, tenant, listing)
        start_ms: int = _PARTITIONS.unpack(fields)[1]
        return start_ms

    def link_token(self, grant: LinkGrant, *, query_id: str) -> str:
        """The token of a download link to this result."""
        fields = _LINK.pack(_KIND_LINK, grant.expires_at_s, _FORMATS.index(grant.file_format))
        return self._signed(fields, _NO_TENANT, query_id)

    def link_grant(self, token: str, *, query_id: str) -> LinkGrant:
        """What the token of a download link grants; it may have expired. Raises InvalidPagingToken."""
        fields = self._verified(token, _LINK.size, _KIND_LINK, _NO_TENANT, query_id)
        _, expires_at_s, file_format = _LINK.unpack(fields)
        return LinkGrant(expires_at_s, _FORMATS[file_format])

    def _mac(self, secret: Secret, fields: bytes, tenant: str, bound_to: str) -> bytes:
        base = self._bases.get(secret)
        if base is None:
            base = self._bases[secret] = hmac.new(secret.value, digestmod=hashlib.sha256)
        mac = base.copy()
        mac.update(fields)
        tenant_bytes = tenant.encode("utf-8", "surrogatepass")
        mac.update(struct.pack(">I", len(tenant_bytes)) + tenant_bytes + bound_to.encode("utf-8", "surrogatepass"))
        return mac.digest()[:MAC_BYTES]

    def _signed(self, fields: bytes, tenant: str, bound_to: str) -> str:
        secret = self._key_ring.secrets()[0]
        return _text(secret.key_id + fields + self._mac(secret, fields, tenant, bound_to))

    def _verified(self, token: str, size: int, kind: int, tenant: str, bound_to: str) -> bytes:
        try:
            raw = base64.b64decode(token.encode("ascii") + b"=" * (-len(token) % 4), altchars=b"-_", validate=True)
        except (UnicodeEncodeError, binascii.Error):
            raise InvalidPagingToken("the paging token is not one that this service made") from None
        key_id, fields, mac = raw[:KEY_ID_BYTES], raw[KEY_ID_BYTES:][:size], raw[KEY_ID_BYTES + size :]
        # one byte string has several base64 spellings (unused bits, padding); only ours is a token
        is_ours = (
            len(mac) == MAC_BYTES
            and fields[0] == kind
            and _text(raw) == token
            and any(
                hmac.compare_digest(mac, self._mac(secret, fields, tenant, bound_to))
                for secret in self._secrets_of(key_id)
            )
        )
        if not is_ours:
            raise InvalidPagingToken("the paging token does not belong to this query, or was altered")
        return fields

    def _secrets_of(self, key_id: bytes) -> Iterable[Secret]:
        """The secrets of this key id: one, or none."""
        found = [secret for secret in self._key_ring.secrets() if secret.key_id == key_id]
        return found or [secret for secret in self._key_ring.looked_up() if secret.key_id == key_id]


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")
