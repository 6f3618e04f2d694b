"""A Terraform provider `aws` that needs no AWS: the real provider's schema, resources made through boto3.

    terraform (init, validate, plan, apply, destroy)
      -> gRPC, tfplugin6 (Terraform plugin protocol 6), reached through TF_REATTACH_PROVIDERS
      -> Resources: a function per type that calls boto3 (aws_resources.py), against whatever answers it (moto)

The provider's own binary cannot be had everywhere, its schema can: aws_provider_schema.json has the types that
deploy/terraform uses, with attributes, blocks and what is required, taken from the published bindings of
hashicorp/aws 6.25. So Terraform itself checks every argument, evaluates every expression and validation, orders and
wires the resources; only the making of each is ours. An attribute that the schema does not have is an error of
`terraform validate`, as with the real provider. What the real provider checks in code (enumerations, lengths) is not.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from concurrent import futures
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import grpc
import msgpack

messages, protocol = grpc.protos_and_services("tests/project/terraform/tfplugin6.proto")  # compiled by grpcio-tools

SCHEMA_FILE = Path(__file__).with_name("aws_provider_schema.json")
#: A value that is known only after apply, in the protocol's encoding (msgpack extension 0).
UNKNOWN = msgpack.ExtType(0, b"\x00")
_PROVIDER_BLOCK: dict[str, Any] = {
    "attributes": {"region": {"type": "string"}, "allowed_account_ids": {"type": ["list", "string"]}},
    "blocks": {"default_tags": {"attributes": {"tags": {"type": ["map", "string"]}}}},
}

_NOTHING: Mapping[str, Any] = {"number": 0, "boolean": False}

Values = dict[str, Any]


class Resources(Protocol):
    """What makes the resources; every method gives the attributes that are known only now."""

    def create(self, type_name: str, config: Values) -> Values: ...
    def update(self, type_name: str, prior: Values, config: Values) -> Values: ...
    def delete(self, type_name: str, state: Values) -> None: ...
    def read_data(self, type_name: str, config: Values) -> Values: ...


def provider_schema() -> dict[str, dict[str, Any]]:
    """`resource` and `data`: type -> {attributes: {name: {type, required?, computed?}}, blocks: {...}}."""
    schema: dict[str, dict[str, Any]] = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
    return schema


@contextmanager
def serving(resources: Resources) -> Iterator[Mapping[str, str]]:
    """Serves the provider on a free loopback port; the environment variables that make Terraform use it."""
    server = grpc.server(
        futures.ThreadPoolExecutor(max_workers=4),
        options=[("grpc.max_receive_message_length", 1 << 26), ("grpc.max_send_message_length", 1 << 26)],
    )
    protocol.add_ProviderServicer_to_server(StandInProvider(resources), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        address = {"Network": "tcp", "String": f"127.0.0.1:{port}"}
        reattach = {"Protocol": "grpc", "ProtocolVersion": 6, "Pid": os.getpid(), "Test": True, "Addr": address}
        yield {"TF_REATTACH_PROVIDERS": json.dumps({"registry.terraform.io/hashicorp/aws": reattach})}
    finally:
        server.stop(grace=None).wait()


class StandInProvider(protocol.ProviderServicer):
    """The protocol's methods; their names are the protocol's."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self._schema = provider_schema()

    def GetMetadata(self, request: Any, context: Any) -> Any:  # noqa: N802  the protocol's name
        return messages.GetMetadata.Response(
            server_capabilities=messages.ServerCapabilities(plan_destroy=True),
            resources=[messages.GetMetadata.ResourceMetadata(type_name=name) for name in self._schema["resource"]],
            data_sources=[messages.GetMetadata.DataSourceMetadata(type_name=name) for name in self._schema["data"]],
        )

    def GetProviderSchema(self, request: Any, context: Any) -> Any:  # noqa: N802  the protocol's name
        return messages.GetProviderSchema.Response(
            provider=_schema_message(_PROVIDER_BLOCK),
            resource_schemas={name: _schema_message(block) for name, block in self._schema["resource"].items()},
            data_source_schemas={name: _schema_message(block) for name, block in self._schema["data"].items()},
            server_capabilities=messages.ServerCapabilities(plan_destroy=True),
        )

    def ValidateProviderConfig(self, request: Any, context: Any) -> Any:  # noqa: N802  the protocol's name
        return messages.ValidateProviderConfig.Response()

    def ValidateResourceConfig(self, request: Any, context: Any) -> Any:  # noqa: N802  the protocol's name
        return messages.ValidateResourceConfig.Response()

    def ValidateDataResourceConfig(self, request: Any, context: Any) -> Any:  # noqa: N802  the protocol's name
        return messages.ValidateDataResourceConfig.Response()

    def ConfigureProvider(self, request: Any, context: Any) -> Any:  # noqa: N802  the protocol's name
        return messages.ConfigureProvider.Response()

    def UpgradeResourceState(self, request: Any, context: Any) -> Any:  # noqa: N802  the protocol's name
        state = json.loads(request.raw_state.json)
        return messages.UpgradeResourceState.Response(upgraded_state=_encoded(state))

    def ReadResource(self, request: Any, context: Any) -> Any:  # noqa: N802  the protocol's name
        return messages.ReadResource.Response(new_state=request.current_state)

    def PlanResourceChange(self, request: Any, context: Any) -> Any:  # noqa: N802  the protocol's name
        proposed = _decoded(request.proposed_new_state)
        if proposed is not None and _decoded(request.prior_state) is None:
            proposed = _with_unknowns(proposed, self._schema["resource"][request.type_name])
        return messages.PlanResourceChange.Response(planned_state=_encoded(proposed), legacy_type_system=True)

    def ApplyResourceChange(self, request: Any, context: Any) -> Any:  # noqa: N802  the protocol's name
        prior, planned = _decoded(request.prior_state), _decoded(request.planned_state)
        try:
            if planned is None:
                self._resources.delete(request.type_name, prior)
                return messages.ApplyResourceChange.Response(new_state=_encoded(None))
            if prior is None:
                known = self._resources.create(request.type_name, _without_unknowns(planned))
            else:
                known = self._resources.update(request.type_name, prior, _without_unknowns(planned))
        except Exception as error:
            return messages.ApplyResourceChange.Response(
                new_state=request.prior_state, diagnostics=[_diagnostic(request.type_name, error)]
            )
        return messages.ApplyResourceChange.Response(
            new_state=_encoded(_filled(planned, known, self._schema["resource"][request.type_name])),
            legacy_type_system=True,
        )

    def ReadDataSource(self, request: Any, context: Any) -> Any:  # noqa: N802  the protocol's name
        config = _decoded(request.config)
        try:
            known = self._resources.read_data(request.type_name, config)
        except Exception as error:
            return messages.ReadDataSource.Response(diagnostics=[_diagnostic(request.type_name, error)])
        return messages.ReadDataSource.Response(state=_encoded({**config, **known}))

    def StopProvider(self, request: Any, context: Any) -> Any:  # noqa: N802  the protocol's name
        return messages.StopProvider.Response()


def _diagnostic(type_name: str, error: Exception) -> Any:
    return messages.Diagnostic(
        severity=messages.Diagnostic.ERROR, summary=f"{type_name}: {type(error).__name__}", detail=str(error)
    )


def _type_json(declared: Any) -> bytes:
    names = {"boolean": "bool", "any": "dynamic"}
    if isinstance(declared, list):
        return json.dumps([declared[0], json.loads(_type_json(declared[1]))]).encode()
    return json.dumps(names.get(declared, declared)).encode()


def _schema_message(block: Mapping[str, Any]) -> Any:
    return messages.Schema(version=0, block=_block_message(block))


def _block_message(block: Mapping[str, Any]) -> Any:
    attributes = [
        messages.Schema.Attribute(
            name=name,
            type=_type_json(told["type"]),
            required=bool(told.get("required")),
            optional=not told.get("required") and not told.get("computed"),
            computed=bool(told.get("computed")),
        )
        for name, told in block["attributes"].items()
    ]
    blocks = [
        messages.Schema.NestedBlock(
            type_name=name,
            block=_block_message(inner),
            nesting=messages.Schema.NestedBlock.LIST,
            min_items=1 if inner.get("required") else 0,
            max_items=0 if inner.get("many") else 1,
        )
        for name, inner in block.get("blocks", {}).items()
    ]
    return messages.Schema.Block(version=0, attributes=attributes, block_types=blocks)


def _with_unknowns(values: Values, block: Mapping[str, Any]) -> Values:
    """The plan of something new: what the provider computes is known after apply."""
    planned = dict(values)
    for name, told in block["attributes"].items():
        if told.get("computed") and planned.get(name) is None:
            planned[name] = UNKNOWN
    for name, inner in block.get("blocks", {}).items():
        if isinstance(planned.get(name), list):
            planned[name] = [_with_unknowns(item, inner) for item in planned[name]]
    return planned


def _without_unknowns(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_unknowns(item) for name, item in value.items() if item != UNKNOWN and item is not None}
    if isinstance(value, list):
        return [_without_unknowns(item) for item in value]
    return value


def _filled(planned: Values, known: Values, block: Mapping[str, Any]) -> Values:
    """The new state: what was unknown takes its value, or one of its type that says there is none here."""
    filled = dict(planned)
    for name, told in block["attributes"].items():
        if filled[name] == UNKNOWN:
            nothing = _NOTHING.get(told["type"]) if isinstance(told["type"], str) else []
            filled[name] = known.get(name, f"no {name} here" if nothing is None else nothing)
    for name, inner in block.get("blocks", {}).items():
        if isinstance(filled.get(name), list):
            filled[name] = [_filled(item, {}, inner) for item in filled[name]]
    return filled


def _decoded(value: Any) -> Any:
    return msgpack.unpackb(value.msgpack) if value.msgpack else json.loads(value.json or b"null")


def _encoded(value: Any) -> Any:
    return messages.DynamicValue(msgpack=msgpack.packb(value))
