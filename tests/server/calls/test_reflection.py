"""Reflection under both names, as tools ask."""

from typing import Any

import grpc
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc_reflection.v1alpha import reflection_pb2

from server.service import SERVICE_NAME
from testing.retrieval_server import DEADLINE_SECONDS, Call, RunningServer, Serve

VERSIONS = ["v1", "v1alpha"]


def reflect(server: RunningServer, version: str, **question: str) -> Any:
    """Ask one question, in a stream of its own."""
    with grpc.insecure_channel(server.address) as channel:
        stream: Call = channel.stream_stream(
            f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
            request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
            response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
        )
        request = reflection_pb2.ServerReflectionRequest(**question)  # type: ignore[arg-type]
        (answer,) = stream(iter([request]), timeout=DEADLINE_SECONDS)
        return answer


@pytest.mark.parametrize("version", VERSIONS)
def test_every_listed_service_is_described(serve: Serve, version: str) -> None:
    """Under either name both are listed, and each file comes with what it imports."""
    server = serve()

    listed = reflect(server, version, list_services="").list_services_response.service

    names = {each.name for each in listed}
    assert names == {
        SERVICE_NAME,
        "grpc.health.v1.Health",
        *(f"grpc.reflection.{each}.ServerReflection" for each in VERSIONS),
    }
    for name in names:
        answer = reflect(server, version, file_containing_symbol=name)
        files = [
            FileDescriptorProto.FromString(each)
            for each in answer.file_descriptor_response.file_descriptor_proto
        ]
        services = {f"{file.package}.{each.name}" for file in files for each in file.service}
        assert name in services
        assert {needed for file in files for needed in file.dependency} <= {
            file.name for file in files
        }


@pytest.mark.parametrize("version", VERSIONS)
def test_reflection_can_be_switched_off(serve: Serve, version: str) -> None:
    """Then nobody learns what methods there are."""
    with pytest.raises(grpc.RpcError) as caught:
        reflect(serve(reflection=False), version, list_services="")

    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
