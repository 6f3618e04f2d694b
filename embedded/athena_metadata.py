"""Data catalogs, databases and tables, as Athena shows what Glue holds."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

from botocore.exceptions import ClientError

from embedded.athena_client import with_token
from embedded.athena_saved_queries import SavedQueryOperations
from embedded.aws_shape import ACCOUNT_ID, Answer, Request, operation

CATALOG_NAME = "AwsDataCatalog"


class MetadataOperations(SavedQueryOperations):
    """The operations on data catalogs, databases and table metadata. There is one catalog: AwsDataCatalog."""

    def _check_catalog(self, operation_name: str, name: str) -> None:
        if name.lower() != CATALOG_NAME.lower():
            message = f"DataCatalog {name} was not found"
            raise self.error(operation_name, "InvalidRequestException", message, Message=message)

    @operation("GetDataCatalog")
    def get_data_catalog(self, request: Request) -> Answer:
        self._check_catalog("GetDataCatalog", request["Name"])
        return {
            "DataCatalog": {
                "Name": CATALOG_NAME,
                "Type": "GLUE",
                "Parameters": {"catalog-id": ACCOUNT_ID},
                "Status": "CREATE_COMPLETE",
            }
        }

    @operation("ListDataCatalogs")
    def list_data_catalogs(self, request: Request) -> Answer:
        catalogs, token = self.page("ListDataCatalogs", [{"CatalogName": CATALOG_NAME, "Type": "GLUE"}], request)
        return with_token({"DataCatalogsSummary": catalogs}, token)

    @operation("GetDatabase")
    def get_database(self, request: Request) -> Answer:
        self._check_catalog("GetDatabase", request["CatalogName"])
        try:
            found = self._glue.get_database(Name=request["DatabaseName"].lower())["Database"]
        except ClientError as error:
            raise self._metadata_error("GetDatabase", error) from None
        return {"Database": _database(found)}

    @operation("ListDatabases")
    def list_databases(self, request: Request) -> Answer:
        self._check_catalog("ListDatabases", request["CatalogName"])
        databases = [_database(found) for found in self._all("get_databases", "DatabaseList")]
        page, token = self.page("ListDatabases", databases, request)
        return with_token({"DatabaseList": page}, token)

    @operation("GetTableMetadata")
    def get_table_metadata(self, request: Request) -> Answer:
        self._check_catalog("GetTableMetadata", request["CatalogName"])
        try:
            found = self._glue.get_table(
                DatabaseName=request["DatabaseName"].lower(), Name=request["TableName"].lower()
            )["Table"]
        except ClientError as error:
            raise self._metadata_error("GetTableMetadata", error) from None
        return {"TableMetadata": table_metadata(found)}

    @operation("ListTableMetadata")
    def list_table_metadata(self, request: Request) -> Answer:
        self._check_catalog("ListTableMetadata", request["CatalogName"])
        expression = request.get("Expression")
        try:
            pattern = re.compile(expression, re.IGNORECASE) if expression else None
        except re.error as error:
            raise self.invalid("ListTableMetadata", f"Invalid expression: {error}") from None
        try:
            tables = [
                table_metadata(found)
                for found in self._all("get_tables", "TableList", DatabaseName=request["DatabaseName"].lower())
                if pattern is None or pattern.fullmatch(found["Name"])
            ]
        except ClientError as error:
            raise self._metadata_error("ListTableMetadata", error) from None
        page, token = self.page("ListTableMetadata", tables, request)
        return with_token({"TableMetadataList": page}, token)

    def _all(self, method_name: str, member: str, **arguments: Any) -> Iterator[Mapping[str, Any]]:
        for page in self._glue.get_paginator(method_name).paginate(**arguments):
            yield from page[member]

    def _metadata_error(self, operation_name: str, error: ClientError) -> ClientError:
        if error.response["Error"]["Code"] != "EntityNotFoundException":
            return error
        message = (
            f"{error.response['Error']['Message']} (Service: AmazonDataCatalog; Status Code: 400;"
            f" Error Code: EntityNotFoundException; Request ID: {uuid.uuid4()}; Proxy: null)"
        )
        return self.error(operation_name, "MetadataException", message, Message=message)


def _database(found: Mapping[str, Any]) -> dict[str, Any]:
    database: dict[str, Any] = {"Name": found["Name"]}
    if found.get("Description"):
        database["Description"] = found["Description"]
    if found.get("Parameters"):
        database["Parameters"] = dict(found["Parameters"])
    return database


def _columns(columns: Any) -> list[dict[str, Any]]:
    described = []
    for column in columns or ():
        item = {"Name": column["Name"], "Type": column.get("Type", "string")}
        if column.get("Comment"):
            item["Comment"] = column["Comment"]
        described.append(item)
    return described


def table_metadata(found: Mapping[str, Any]) -> dict[str, Any]:
    """A Glue table as TableMetadata: formats and SerDe appear among its parameters, as Athena shows them."""
    descriptor = found.get("StorageDescriptor", {})
    serde = descriptor.get("SerdeInfo", {})
    parameters = dict(found.get("Parameters") or {})
    shown = {
        "inputformat": descriptor.get("InputFormat"),
        "location": descriptor.get("Location"),
        "outputformat": descriptor.get("OutputFormat"),
        "serde.serialization.lib": serde.get("SerializationLibrary"),
    }
    parameters.update({name: value for name, value in shown.items() if value})
    parameters.update({f"serde.param.{name}": value for name, value in (serde.get("Parameters") or {}).items()})
    metadata: dict[str, Any] = {
        "Name": found["Name"],
        "TableType": found.get("TableType", ""),
        "Columns": _columns(descriptor.get("Columns")),
        "PartitionKeys": _columns(found.get("PartitionKeys")),
        "Parameters": parameters,
    }
    for member in ("CreateTime", "LastAccessTime"):
        if found.get(member) is not None:
            metadata[member] = found[member]
    return metadata
