"""Adam, for a network whose gradients are all dense.

`torch.optim.Adam` does the same, but imports torch's compiler when it is made, which takes longer than
training a small shop does.
"""

from collections.abc import Iterable

import torch
from torch import Tensor

_BETA1, _BETA2, _EPSILON = 0.9, 0.999, 1e-8


class Adam:
    """Adam with bias correction (Kingma and Ba, ICLR 2015, algorithm 1).

    Args:
        parameters: what to optimise; those without a gradient in a step are left alone.
        learning_rate: step size; may be set between steps.
    """

    def __init__(self, parameters: Iterable[Tensor], learning_rate: float) -> None:
        self.learning_rate = learning_rate
        self._parameters = list(parameters)
        self._means = [torch.zeros_like(parameter) for parameter in self._parameters]
        self._squares = [torch.zeros_like(parameter) for parameter in self._parameters]
        self._steps = [0] * len(self._parameters)

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for parameter in self._parameters:
            parameter.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """Move every parameter against its gradient."""
        for place, parameter in enumerate(self._parameters):
            if parameter.grad is not None:
                self._steps[place] += 1
                self._move(parameter, parameter.grad, place)

    def _move(self, parameter: Tensor, gradient: Tensor, place: int) -> None:
        mean, square, step = self._means[place], self._squares[place], self._steps[place]
        mean.lerp_(gradient, 1.0 - _BETA1)
        square.mul_(_BETA2).addcmul_(gradient, gradient, value=1.0 - _BETA2)
        scale = (square / (1.0 - _BETA2**step)).sqrt_().add_(_EPSILON)
        parameter.addcdiv_(mean, scale, value=-self.learning_rate / (1.0 - _BETA1**step))
