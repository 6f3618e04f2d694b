from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import InvalidPagingToken
from service.signing_secrets import FixedKeyRing
from service.tokens import ListingPosition, ResultPosition, TokenSigner

NUMBERS = st.integers(0, 2**64 - 1)
SIGNER = TokenSigner(FixedKeyRing(b"k" * 32))
OTHER_SIGNER = TokenSigner(FixedKeyRing(b"j" * 32))


@given(NUMBERS, NUMBERS, st.text(), st.uuids().map(str))
def test_a_token_says_what_it_was_made_of(row: int, byte_offset: int, tenant: str, query_id: str) -> None:
    position = ResultPosition(row, byte_offset)
    token = SIGNER.result_token(position, tenant=tenant, query_id=query_id)
    assert len(token) <= 1024
    assert token.isascii()
    assert SIGNER.result_position(token, tenant=tenant, query_id=query_id) == position
    assert SIGNER.result_token(position, tenant=tenant, query_id=query_id) == token


@given(NUMBERS, st.uuids().map(str), st.text(), st.sampled_from(["", "FAILED"]))
def test_a_listing_token_says_what_it_was_made_of(moment: int, query_id: str, tenant: str, status: str) -> None:
    position = ListingPosition(moment, query_id)
    token = SIGNER.listing_token(position, tenant=tenant, status=status)
    assert SIGNER.listing_position(token, tenant=tenant, status=status) == position
    with pytest.raises(InvalidPagingToken):
        SIGNER.result_position(token, tenant=tenant, query_id=status)


@given(NUMBERS, NUMBERS, st.data())
def test_a_token_that_was_altered_anywhere_is_refused(row: int, byte_offset: int, data: st.DataObject) -> None:
    token = SIGNER.result_token(ResultPosition(row, byte_offset), tenant="t", query_id="q")
    index = data.draw(st.integers(0, len(token) - 1))
    character = data.draw(st.characters(exclude_characters=token[index]))
    for altered in (
        token[:index] + character + token[index + 1 :],
        token[:index] + token[index + 1 :],
        token[:index] + character + token[index:],
        token[:index],
    ):
        if altered != token:
            with pytest.raises(InvalidPagingToken):
                SIGNER.result_position(altered, tenant="t", query_id="q")


@given(st.text(), st.text(), st.text(), st.text())
def test_a_token_is_bound_to_tenant_query_and_secret(
    tenant: str, query_id: str, tenant_2: str, query_id_2: str
) -> None:
    token = SIGNER.result_token(ResultPosition(1, 2), tenant=tenant, query_id=query_id)
    if (tenant, query_id) != (tenant_2, query_id_2):
        with pytest.raises(InvalidPagingToken):
            SIGNER.result_position(token, tenant=tenant_2, query_id=query_id_2)
    with pytest.raises(InvalidPagingToken):
        OTHER_SIGNER.result_position(token, tenant=tenant, query_id=query_id)


@given(st.text())
def test_text_that_is_no_token_is_refused(text: str) -> None:
    with pytest.raises(InvalidPagingToken):
        SIGNER.result_position(text, tenant="t", query_id="q")
