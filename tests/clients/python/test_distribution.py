"""The client as a distribution of its own: one import name, two dependencies, the same
contract.
"""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import freshet_client
from freshet_client import QueryPath, RetryPolicy
from freshet_client.protos import retrieval_v1_pb2 as client_pb
from protos import retrieval_v1_pb2 as retrieval_pb
from server import retrieve
from testing.retrieval_server import Serve
from testing.small_generations import Artifacts, make_catalogue

_ROOT = Path(__file__).resolve().parents[3]
_CLIENT = _ROOT / "clients" / "python"


def _project(folder: Path) -> dict[str, Any]:
    document = tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))
    project: dict[str, Any] = document["project"]
    return project


def test_the_face_is_what_it_says() -> None:
    """What may be imported is listed, and there."""
    assert set(freshet_client.__all__) == {
        "Access",
        "AnyOf",
        "AskedQueries",
        "BatchResult",
        "CallFailed",
        "ChannelAttention",
        "ClientError",
        "Condition",
        "Context",
        "DeadlineExceeded",
        "Evidence",
        "ExplainedPath",
        "Explanation",
        "Equals",
        "Filter",
        "FilterPath",
        "FilterReport",
        "Freshness",
        "GenerationInfo",
        "GenerationState",
        "GenerationsResult",
        "GroupBy",
        "Has",
        "Hit",
        "ItemState",
        "ItemUnknown",
        "InRange",
        "NewerClicks",
        "NoGeneration",
        "Not",
        "NotAuthenticated",
        "NotFreshEnough",
        "OverlayState",
        "PathKind",
        "Query",
        "QueryPath",
        "QueryRefused",
        "Receipt",
        "RetrievalClient",
        "RetrieveResult",
        "RetryPolicy",
        "ServerBusy",
        "ServerUnreachable",
        "SettingsInvalid",
        "SimilarResult",
        "VectorSource",
        "parse_condition",
    }
    assert all(hasattr(freshet_client, name) for name in freshet_client.__all__)


def test_it_loads_nothing_of_the_server() -> None:
    """Importing the client loads neither Freshet's packages nor what those need."""
    code = (
        "import sys, freshet_client\n"
        "print(sorted({'server', 'protos', 'stream', 'model', 'freshet', 'numpy', 'annoy', "
        "'prometheus_client'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=_ROOT
    )

    assert done.stdout.strip() == "[]"


def test_it_calls_from_a_folder_with_modules_of_the_same_names(
    tmp_path: Path, artifacts: Artifacts, serve: Serve
) -> None:
    """A user's own server.py, protos.py and client.py are left alone, and do not stop
    the client.
    """
    artifacts.publish(make_catalogue(30, ["lamp"]))
    address = serve().address
    own = tmp_path / "own"
    own.mkdir()
    for name in ("server", "protos", "client", "model", "stream", "errors"):
        (own / f"{name}.py").write_text("raise RuntimeError('not asked for')\n", "utf-8")
    (own / "search.py").write_text(
        "from freshet_client import RetrievalClient\n"
        f"with RetrievalClient({address!r}, timeout_seconds=60) as client:\n"
        "    print(len(client.retrieve('lamp', 4).hits))\n",
        "utf-8",
    )

    done = subprocess.run(
        [sys.executable, "search.py"], cwd=own, capture_output=True, text=True, check=False
    )

    assert (done.stdout, done.stderr) == ("4\n", "")


def test_both_copies_of_the_contract_are_equal() -> None:
    """One process may load the server's stubs and the client's: their descriptors are
    the same bytes.
    """
    assert client_pb.DESCRIPTOR.serialized_pb == retrieval_pb.DESCRIPTOR.serialized_pb


def test_the_enums_say_the_same() -> None:
    """The client's query paths are those of the server."""
    assert {path.name: path.value for path in QueryPath} == {
        path.name: path.value for path in retrieve.QueryPath
    }


def test_versions_and_bounds_are_those_of_freshet() -> None:
    """The client has Freshet's version, is required in it exactly, and has the same
    lower bounds.
    """
    main, client = _project(_ROOT), _project(_CLIENT)
    known = [*main["dependencies"], *main["optional-dependencies"]["server"]]

    assert client["version"] == main["version"]
    assert main["optional-dependencies"]["client"] == [f"freshet-client=={main['version']}"]
    assert set(client["dependencies"]) <= set(known)
    assert {name.partition(">")[0] for name in client["dependencies"]} == {"grpcio", "protobuf"}
    assert client["requires-python"] == main["requires-python"]


def test_the_license_goes_along() -> None:
    """The client carries the license of the repository."""
    assert (_CLIENT / "LICENSE").read_bytes() == (_ROOT / "LICENSE").read_bytes()


def test_the_readme_shows_the_service_config() -> None:
    """The README's service config is the one that a client sets."""
    readme = (_CLIENT / "README.md").read_text("utf-8")
    (shown,) = re.findall(r"```json\n(.+?)```", readme, re.DOTALL)

    assert json.loads(shown) == json.loads(
        RetryPolicy().service_config("freshet.retrieval.v1.RetrievalService")
    )
