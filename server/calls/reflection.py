"""Reflection under both of its names: v1, which newer tools ask for, and v1alpha.

The library has v1alpha alone; the messages of the two are the same on the wire.
"""

from typing import Any, Final

import grpc
from google.protobuf import descriptor_pb2
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health, health_pb2
from grpc_reflection.v1alpha import reflection, reflection_pb2, reflection_pb2_grpc

from protos import retrieval_v1_pb2 as retrieval_pb

METHOD: Final = "ServerReflectionInfo"
"""The one method of reflection."""

_V1, _ALPHA = "grpc.reflection.v1", "grpc.reflection.v1alpha"
_V1_SERVICE: Final = f"{_V1}.ServerReflection"


def make_reflector(service_name: str) -> Any:
    """Return what answers reflection, of a service, health and itself.

    Args:
        service_name: the service, of the retrieval contract.
    """
    names = (service_name, health.SERVICE_NAME, _V1_SERVICE, reflection.SERVICE_NAME)
    return reflection.ReflectionServicer(names, pool=_pool())


def add_reflection(reflector: Any, server: grpc.Server) -> None:
    """Have a server answer reflection under both names."""
    reflection_pb2_grpc.add_ServerReflectionServicer_to_server(reflector, server)  # type: ignore[no-untyped-call]
    handler = grpc.stream_stream_rpc_method_handler(
        getattr(reflector, METHOD),
        request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
        response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(_V1_SERVICE, {METHOD: handler}),)
    )


def _pool() -> DescriptorPool:
    """Return the contracts of what is served: not the process's own pool, in which a
    later library may have v1, too.
    """
    pool = DescriptorPool()
    wanted: tuple[Any, ...] = (
        retrieval_pb.DESCRIPTOR,
        health_pb2.DESCRIPTOR,
        reflection_pb2.DESCRIPTOR,
    )
    added: set[str] = set()
    for file in wanted:
        _add(pool, file, added)
    v1 = descriptor_pb2.FileDescriptorProto()
    reflection_pb2.DESCRIPTOR.CopyToProto(v1)
    v1.name = v1.name.replace("v1alpha", "v1")
    v1.package = _V1
    for message in v1.message_type:
        for each in message.field:
            if each.HasField("type_name"):
                each.type_name = each.type_name.replace(f".{_ALPHA}.", f".{_V1}.")
    for service in v1.service:
        for method in service.method:
            method.input_type = method.input_type.replace(f".{_ALPHA}.", f".{_V1}.")
            method.output_type = method.output_type.replace(f".{_ALPHA}.", f".{_V1}.")
    pool.Add(v1)
    return pool


def _add(pool: DescriptorPool, file: Any, added: set[str]) -> None:
    """Add a file and what it imports, which must come first."""
    if file.name in added:
        return
    added.add(file.name)
    for each in file.dependencies:
        _add(pool, each, added)
    pool.AddSerializedFile(file.serialized_pb)
