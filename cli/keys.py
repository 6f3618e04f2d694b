"""`data-hist keys`: who may call the service of a data directory, what for, and whose rows they see."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.failure import Failure
from cli.options import DEFAULT_DATA_DIR, AsJson, DataDir
from cli.output import say, write_json, write_table, write_text

if TYPE_CHECKING:
    from service.keys import ApiKey, ApiKeys

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
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: AsJson = False,
) -> int:
    """Make a key and print it, once. Without --customer it sees the rows of all customers.

    As soon as one key exists every call but health needs one.
    """
    scopes = [item.value for item in scope or [Scope.query]]
    with _api_keys(data_dir) as api_keys:
        created = api_keys.create(customers=customer or None, scopes=scopes, name=name)
    if as_json:
        write_json({**_document(created.key), "key": created.secret})
    else:
        write_text(created.secret)
        say(f"This is key {created.key.key_id}, shown only now. Send it as X-API-Key, or set DATA_HIST_API_KEY.")
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
        ("revoked", False),
    ]
    rows = [
        (
            d["id"],
            d["name"],
            "all" if d["customers"] is None else ", ".join(map(str, d["customers"])),
            ", ".join(d["scopes"]),
            d["created_at"],
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
    from cli.lake import now
    from service.keys import ApiKeys

    api_keys = ApiKeys(data_dir / "keys.sqlite", clock=now)
    try:
        yield api_keys
    finally:
        api_keys.close()


def _document(key: ApiKey) -> dict[str, Any]:
    return {
        "id": key.key_id,
        "name": key.name,
        "tenant": key.tenant,
        "customers": None if key.customers is None else sorted(key.customers),
        "scopes": sorted(key.scopes),
        "created_at": key.created_at.isoformat(timespec="seconds").replace("+00:00", "Z"),
        "revoked_at": key.revoked_at and key.revoked_at.isoformat(timespec="seconds").replace("+00:00", "Z"),
    }
