"""`data-hist keys`: who may call the service of a data directory, what for, and whose rows they see."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.failure import Failure
from cli.options import DEFAULT_DATA_DIR, AsJson, DataDir, duration
from cli.output import say, shown_time, write_json, write_table, write_text

if TYPE_CHECKING:
    from service.key_store import ApiKey
    from service.keys import ApiKeys, CreatedKey

app = typer.Typer(help="API keys.", no_args_is_help=True)


class Scope(StrEnum):
    """What a key is for."""

    query = "query"
    operate = "operate"


@app.callback()
def keys() -> None:
    """Who may call the service, what for, and whose rows they see."""


@app.command()
def create(
    customer: Annotated[
        list[int] | None,
        typer.Option("--customer", metavar="N", help="See only this customer's rows; may be repeated."),
    ] = None,
    scope: Annotated[
        list[Scope] | None, typer.Option("--scope", help="query (default) or operate; may be repeated.")
    ] = None,
    name: Annotated[str, typer.Option("--name", help="What the key is for, in your words.")] = "",
    expires: Annotated[
        str | None,
        typer.Option("--expires", metavar="WHEN", help="When it ends: 90d, 12h, 30m from now, or a time (UTC)."),
    ] = None,
    max_bytes: Annotated[
        int | None, typer.Option("--max-bytes", min=1, help="Most bytes one query of this key may read.")
    ] = None,
    rate_limit: Annotated[
        str | None,
        typer.Option("--rate-limit", metavar="N/UNIT", help="Requests it may make, such as 600/minute."),
    ] = None,
    max_queries: Annotated[
        int | None, typer.Option("--max-queries", min=1, help="Queries it may have waiting or running at a time.")
    ] = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: AsJson = False,
) -> int:
    """Make a key and print it, once. Without --customer it sees the rows of all customers.

    As soon as one key exists every call but health needs one.
    """
    from service.errors import InvalidRequest

    scopes = [item.value for item in scope or [Scope.query]]
    with _api_keys(data_dir) as api_keys:
        try:
            created = api_keys.create(
                customers=customer or None,
                scopes=scopes,
                name=name,
                maximum_scan_bytes=max_bytes,
                rate_limit=None if rate_limit is None else _rate(rate_limit),
                maximum_queries=max_queries,
                expires_at=None if expires is None else _moment(expires),
            )
        except InvalidRequest as error:
            raise Failure(f"{error.detail} ({error.field})", code=error.code) from error
    _write_secret(created, as_json=as_json)
    if not as_json:
        say(f"This is key {created.key.key_id}, shown only now. Send it as X-API-Key, or set DATA_HIST_API_KEY.")
    return 0


@app.command()
def rotate(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="The key's id, as `keys list` shows it.")],
    overlap: Annotated[
        str, typer.Option("--overlap", metavar="TIME", help="How long the old secret stays good: 24h, 30m, 0.")
    ] = "24h",
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: AsJson = False,
) -> int:
    """Give a key another secret and print it, once. The old one stays good for the overlap.

    Rotating again within the overlap ends the older secret. Id, name, customers and expiry stay as they are.
    """
    from service.errors import InvalidRequest, KeyNotFound

    with _api_keys(data_dir) as api_keys:
        try:
            rotated = api_keys.rotate(key_id, overlap=duration(overlap, "--overlap"))
        except KeyNotFound as error:
            raise Failure(f"there is no key {key_id!r}", code="KeyNotFound") from error
        except InvalidRequest as error:
            raise Failure(error.detail, code=error.code) from error
    _write_secret(rotated, as_json=as_json)
    if not as_json:
        ends = _time(rotated.key.previous_valid_until)
        say(f"Key {key_id} has this secret now, shown only once. The old one ends {ends}.")
    return 0


@app.command("list")
def listing(data_dir: DataDir = DEFAULT_DATA_DIR, as_json: AsJson = False) -> int:
    """List the keys, revoked ones too; the secrets are not kept."""
    with _api_keys(data_dir) as api_keys:
        documents = [_document(key) for key in api_keys.list_keys()]
    if as_json:
        write_json({"keys": documents})
        return 0
    columns = [
        ("id", False),
        ("name", False),
        ("customers", False),
        ("scopes", False),
        ("created", False),
        ("expires", False),
        ("last used", False),
        ("old secret until", False),
        ("revoked", False),
    ]
    rows = [
        (
            d["id"],
            d["name"],
            "all" if d["customers"] is None else ", ".join(map(str, d["customers"])),
            ", ".join(d["scopes"]),
            d["created_at"],
            d["expires_at"] or "never",
            d["last_used_at"] or "-",
            d["previous_valid_until"] or "-",
            d["revoked_at"] or "-",
        )
        for d in documents
    ]
    write_table(columns, rows)
    return 0


@app.command()
def revoke(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="The key's id, as `keys list` shows it.")],
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: AsJson = False,
) -> int:
    """End a key, at once. Revoking it again changes nothing; a service that had a key stays closed."""
    from service.errors import KeyNotFound

    with _api_keys(data_dir) as api_keys:
        try:
            key = api_keys.revoke(key_id)
        except KeyNotFound as error:
            raise Failure(f"there is no key {key_id!r}", code="KeyNotFound") from error
    if as_json:
        write_json(_document(key))
    else:
        say(f"Key {key.key_id} is revoked.")
    return 0


@contextmanager
def _api_keys(data_dir: Path) -> Iterator[ApiKeys]:
    from api.replication import open_key_store
    from api.settings import Settings, SettingsError
    from cli.lake import now
    from service.errors import StoreUnavailable
    from service.keys import ApiKeys

    try:
        api_keys = ApiKeys(open_key_store(data_dir, Settings.from_environment()), clock=now)
    except SettingsError as error:
        raise Failure(str(error), code="InvalidSettings") from error
    try:
        yield api_keys
    except StoreUnavailable as error:
        raise Failure(f"the keys cannot be reached: {error.detail}", code=error.code) from error
    finally:
        api_keys.close()


def _write_secret(created: CreatedKey, *, as_json: bool) -> None:
    if as_json:
        write_json({**_document(created.key), "key": created.secret})
    else:
        write_text(created.secret)


def _moment(text: str) -> datetime:
    """So long from now, or a time of the calendar; UTC where it has no offset."""
    from cli.lake import now

    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        return now() + duration(text, "--expires")
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


def _rate(text: str) -> str:
    from api.settings import rate

    try:
        return rate(text)
    except ValueError as error:
        raise Failure(f"--rate-limit {text!r} {error}") from error


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else shown_time(moment)


def _document(key: ApiKey) -> dict[str, Any]:
    return {
        "id": key.key_id,
        "name": key.name,
        "tenant": key.tenant,
        "customers": None if key.customers is None else sorted(key.customers),
        "scopes": sorted(key.scopes),
        "maximum_scan_bytes": key.maximum_scan_bytes,
        "rate_limit": key.rate_limit,
        "maximum_queries": key.maximum_queries,
        "created_at": _time(key.created_at),
        "expires_at": _time(key.expires_at),
        "last_used_at": _time(key.last_used_at),
        "rotated_at": _time(key.rotated_at),
        "previous_valid_until": _time(key.previous_valid_until),
        "revoked_at": _time(key.revoked_at),
    }
