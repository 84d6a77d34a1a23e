"""A simulated second device: tensors report it as theirs and are computed on the CPU.

An operation on tensors of both devices is refused, as a GPU would. So a machine without
a GPU can test that code moves its tensors; what a GPU computes it cannot.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

ELSEWHERE = torch.device("meta")
"""It has no kernels of its own, and gradients of it need no driver."""

_aten = torch.ops.aten
_MOVES = {_aten._to_copy.default, _aten.copy_.default}  # noqa: SLF001  # the operator's name
_INDEXES = {_aten.index.Tensor, _aten.index_put_.default, _aten._index_put_impl_.default}


class TwoPlacesError(AssertionError):
    """An operation was asked for on tensors of two devices."""


class _There(Tensor):
    """Says that it is elsewhere; `here` is what it holds."""

    here: Tensor

    @staticmethod
    def __new__(cls: type["_There"], here: Tensor) -> "_There":  # noqa: PYI034  # made by torch
        made: _There = torch.Tensor._make_wrapper_subclass(  # noqa: SLF001  # torch's hook for this
            cls,
            here.size(),
            strides=here.stride(),
            storage_offset=here.storage_offset(),
            dtype=here.dtype,
            device=ELSEWHERE,
        )
        made.here = here
        return made

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]  # as torch documents it
        cls,
        function: Any,
        types: Any,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        return _run(function, args, kwargs or {})


class _Elsewhere(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Also sees what is made elsewhere or goes there."""

    def __torch_dispatch__(
        self,
        function: Any,
        types: Any,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        return _run(function, args, kwargs or {})


@contextmanager
def device_elsewhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[torch.device]:
    """Let there be a device `ELSEWHERE`, and yield it.

    Automatic half precision does not know it.
    """
    overwrites = torch.__future__.get_overwrite_module_params_on_conversion()
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    try:
        with monkeypatch.context() as patch, _Elsewhere():  # type: ignore[no-untyped-call]
            patch.setattr(torch, "autocast", lambda *_, **__: nullcontext())
            patch.setattr(torch, "is_autocast_enabled", lambda _: False)
            yield ELSEWHERE
    finally:
        torch.__future__.set_overwrite_module_params_on_conversion(overwrites)


def _run(function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
    there = [tensor for tensor in tensors if isinstance(tensor, _There)]
    _check_places(function, args, tensors)
    stays = bool(there)
    if kwargs.get("device") is not None:
        stays = torch.device(kwargs["device"]) == ELSEWHERE
        kwargs = {**kwargs, "device": torch.device("cpu")}
    elif function in _MOVES:
        stays = isinstance(args[0], _There)
    result = function(*tree_map(_here, args), **tree_map(_here, kwargs))
    known = {id(tensor.here): tensor for tensor in there}

    def place(leaf: Any) -> Any:
        if id(leaf) in known:  # an operation in place returns what it was given
            return known[id(leaf)]
        return _There(leaf) if stays and isinstance(leaf, Tensor) else leaf

    return tree_map(place, result)


def _check_places(
    function: Callable[..., Any], args: Sequence[Any], tensors: Sequence[Tensor]
) -> None:
    """Refuse what CUDA does: only scalars, and indexes into what is
    there, may be here.
    """
    if function in _MOVES:
        return
    if function in _INDEXES:
        own, values = args[0], [each for each in args[2:] if isinstance(each, Tensor)]
        tensors = [own, *values] if isinstance(own, _There) else tensors
    places = {
        isinstance(tensor, _There)
        for tensor in tensors
        if isinstance(tensor, _There) or tensor.dim()
    }
    if len(places) > 1:
        shapes = ", ".join(
            f"{list(each.shape)} {'there' if isinstance(each, _There) else 'here'}"
            for each in tensors
        )
        raise TwoPlacesError(f"{function} of {shapes}")


def _here(leaf: Any) -> Any:
    return leaf.here if isinstance(leaf, _There) else leaf
