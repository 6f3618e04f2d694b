"""Bearer tokens (RFC 6750): a signed JWT of the configured identity provider becomes a Caller.

A token is believed when its signature is right by a key of the provider's set, and `iss`, `aud`, `exp`, `nbf` and
`iat` are (RFC 7519, RFC 8725). The algorithm comes from an allow-list of asymmetric ones, and must be the key's own:
`none` and HMAC with a public key for a secret are no algorithms here. Nothing is fetched for a token whose header is
not acceptable.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx
import jwt

from api.claims import ClaimMapping, ClaimReader, InvalidMapping, load_mapping
from api.key_sets import FETCH_SECONDS, IdentityProvider, KeySets, UnknownSigningKey, is_safe_url
from api.problems import AuthenticationRequired
from api.settings import Settings, SettingsError
from service.model import Caller

MAXIMUM_TOKEN_CHARACTERS = 16_384
MAXIMUM_KID_CHARACTERS = 512
REQUIRED_CLAIMS = ("exp", "iss", "sub")

_REASONS: Sequence[tuple[type[jwt.InvalidTokenError], str]] = (
    (jwt.ExpiredSignatureError, "has expired"),
    (jwt.ImmatureSignatureError, "is not valid yet"),
    (jwt.InvalidAudienceError, "is for another audience"),
    (jwt.InvalidIssuerError, "is of another issuer"),
    (jwt.InvalidSignatureError, "has a signature that does not fit"),
    (jwt.InvalidAlgorithmError, "is signed with an algorithm that is not accepted"),
)


class InvalidToken(AuthenticationRequired):
    """A bearer token that is not believed; `reason` continues "The token "."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"The token {reason}.")
        challenge = f'Bearer realm="data-hist", error="invalid_token", error_description="the token {reason}"'
        self.headers["WWW-Authenticate"] = challenge


@dataclass(frozen=True)
class TokenRules:
    """What a token has to be. `audience_claim` is `aud`, or what access tokens have in its place (`client_id`)."""

    issuer: str
    audiences: tuple[str, ...]
    audience_claim: str = "aud"
    algorithms: tuple[str, ...] = ("RS256", "ES256", "EdDSA")
    leeway_seconds: int = 30


class BearerTokens:
    """See the module."""

    def __init__(self, rules: TokenRules, key_sets: KeySets, reader: ClaimReader) -> None:
        self._rules = rules
        self._key_sets = key_sets
        self._reader = reader

    async def caller(self, token: str) -> Caller:
        """The caller of this token. Raises InvalidToken, CustomerMissing, IdentityProviderUnavailable."""
        kid, algorithm = self._header(token)
        try:
            key = await self._key_sets.key(kid, algorithm)
        except UnknownSigningKey:
            raise InvalidToken("is signed with a key that its issuer does not have") from None
        return self._reader.caller(self._claims(token, key))

    def _header(self, token: str) -> tuple[str | None, str]:
        if len(token) > MAXIMUM_TOKEN_CHARACTERS:
            raise InvalidToken(f"is over {MAXIMUM_TOKEN_CHARACTERS} characters")
        try:
            header = jwt.get_unverified_header(token)
        except (jwt.InvalidTokenError, RecursionError):
            raise InvalidToken("is no JSON Web Token") from None
        kid, algorithm = header.get("kid"), header.get("alg")
        if algorithm not in self._rules.algorithms:
            raise InvalidToken("is signed with an algorithm that is not accepted")
        if kid is not None and not (isinstance(kid, str) and len(kid) <= MAXIMUM_KID_CHARACTERS):
            raise InvalidToken("names its key in a way that is not understood")
        return kid, algorithm

    def _claims(self, token: str, key: jwt.PyJWK) -> Mapping[str, Any]:
        rules = self._rules
        has_audience = rules.audience_claim == "aud"
        try:
            claims: Mapping[str, Any] = jwt.decode(
                token,
                key,
                algorithms=list(rules.algorithms),
                audience=list(rules.audiences) if has_audience else None,
                issuer=rules.issuer,
                leeway=rules.leeway_seconds,
                options={
                    "require": [*REQUIRED_CLAIMS, rules.audience_claim],
                    "verify_aud": has_audience,
                    "enforce_minimum_key_length": True,
                },
            )
        except jwt.MissingRequiredClaimError as error:
            raise InvalidToken(f"lacks the claim {error.claim}") from None
        except jwt.InvalidTokenError as error:
            reason = next((reason for kind, reason in _REASONS if isinstance(error, kind)), "is not valid")
            raise InvalidToken(reason) from None
        except (jwt.PyJWTError, ValueError, RecursionError):
            raise InvalidToken("is not valid") from None
        if not has_audience and claims[rules.audience_claim] not in rules.audiences:
            raise InvalidToken("is for another audience")
        return claims


def bearer_tokens(settings: Settings) -> BearerTokens | None:
    """What the settings say of bearer tokens; None when no issuer is configured. Raises SettingsError."""
    if settings.jwt_issuer is None:
        return None
    if not settings.jwt_audience:
        raise SettingsError("DATA_HIST_JWT_ISSUER needs DATA_HIST_JWT_AUDIENCE: tokens for others must not do here")
    for variable, url in (("ISSUER", settings.jwt_issuer), ("JWKS_URL", settings.jwt_jwks_url)):
        if url is not None and not is_safe_url(url):
            raise SettingsError(f"DATA_HIST_JWT_{variable}={url!r}: has to be https (http only for this machine's own)")
    rules = TokenRules(
        issuer=settings.jwt_issuer,
        audiences=settings.jwt_audience,
        audience_claim=settings.jwt_audience_claim,
        algorithms=settings.jwt_algorithms,
        leeway_seconds=settings.jwt_leeway_seconds,
    )
    mapping = ClaimMapping()
    if settings.jwt_mapping_file is not None:
        try:
            mapping = load_mapping(settings.jwt_mapping_file)
        except (InvalidMapping, OSError) as error:
            raise SettingsError(f"DATA_HIST_JWT_MAPPING_FILE: {error}") from error
    client = httpx.Client(timeout=FETCH_SECONDS, follow_redirects=False)
    provider = IdentityProvider(settings.jwt_issuer, settings.jwt_jwks_url, client)
    reader = ClaimReader(settings.jwt_customer_claim, settings.jwt_scope_claim, mapping)
    return BearerTokens(rules, KeySets(provider.keys), reader)
