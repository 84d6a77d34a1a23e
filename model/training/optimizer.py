"""Adam with a step size for each parameter, and the moving average of the weights.

`torch.optim.Adam` does the same as ours, but imports torch's compiler when it is made,
which takes longer than training a small shop does.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor

# As Kingma and Ba recommend, and as every library has them; not tuned here. Twice as
# long memories (0.95, 0.9995) suit noisier gradients and react later.
_BETA1, _BETA2, _EPSILON = 0.9, 0.999, 1e-8
# Steps: how slowly the average's memory grows. Chosen by hand; not tuned. With twice as
# many `model.average_decay` of 0.98 is reached after 930 steps in place of 440.
_AVERAGE_WARM_UP = 10


class Adam:
    """Adam with bias correction (Kingma and Ba, ICLR 2015, algorithm 1).

    Args:
        parameters: what to optimise, each with its own factor on the step size; those
            without a gradient in a step are left alone.
        learning_rate: step size; may be set between steps.
    """

    def __init__(self, parameters: Iterable[tuple[Tensor, float]], learning_rate: float) -> None:
        self.learning_rate = learning_rate
        self._parameters = list(parameters)
        self._means = [torch.zeros_like(parameter) for parameter, _ in self._parameters]
        self._squares = [torch.zeros_like(parameter) for parameter, _ in self._parameters]
        self._steps = torch.zeros(len(self._parameters), dtype=torch.int64)

    def tensors(self) -> dict[str, Tensor]:
        """Return what steps change besides the parameters, by name, to be read or
        written in place.
        """
        means = {f"mean.{place}": mean for place, mean in enumerate(self._means)}
        squares = {f"square.{place}": square for place, square in enumerate(self._squares)}
        return {"steps": self._steps, **means, **squares}

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for parameter, _ in self._parameters:
            parameter.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """Move every parameter against its gradient."""
        for place, (parameter, factor) in enumerate(self._parameters):
            if parameter.grad is not None:
                self._steps[place] += 1
                self._move(parameter, parameter.grad, place, factor * self.learning_rate)

    def _move(self, parameter: Tensor, gradient: Tensor, place: int, rate: float) -> None:
        """One pass over memory; what `torch.optim.Adam(fused=True)` calls."""
        torch._fused_adam_(
            [parameter],
            [gradient],
            [self._means[place]],
            [self._squares[place]],
            [],
            [self._steps[place].to(device=parameter.device, dtype=torch.float32)],
            lr=rate,
            beta1=_BETA1,
            beta2=_BETA2,
            weight_decay=0.0,
            eps=_EPSILON,
            amsgrad=False,
            maximize=False,
        )


class WeightAverage:
    """The exponential moving average of parameters over steps (Polyak and Juditsky,
    1992).

    It begins short, so that where training began is soon forgotten: step ``n`` has the
    decay ``min(decay, (1 + n) / (10 + n))``.

    Args:
        parameters: by name.
        decay: share of the average that each step keeps; 0: the average is what the
            last step made.
    """

    def __init__(self, parameters: Mapping[str, Tensor], decay: float) -> None:
        self._parameters = dict(parameters)
        self._decay = decay
        self.restart()

    def restart(self) -> None:
        """Begin again from what the parameters are now."""
        self._steps = torch.zeros((), dtype=torch.int64)
        self._average = {
            name: parameter.detach().clone() for name, parameter in self._parameters.items()
        }

    def tensors(self) -> dict[str, Tensor]:
        """Return the average and its steps, by name, to be read or written in place."""
        return {
            "steps": self._steps,
            **{f"of.{name}": average for name, average in self._average.items()},
        }

    @torch.no_grad()
    def update(self) -> None:
        """Take in what a step has made of the parameters."""
        self._steps += 1
        steps = int(self._steps)
        decay = min(self._decay, (1 + steps) / (_AVERAGE_WARM_UP + steps))
        for name, parameter in self._parameters.items():
            self._average[name].lerp_(parameter, 1.0 - decay)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Put the average in the parameters' place for as long as the context lasts."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def adopt(self) -> None:
        """Make the average the parameters' values."""
        for name, parameter in self._parameters.items():
            parameter.copy_(self._average[name])

    @torch.no_grad()
    def _swap(self) -> None:
        for name, parameter in self._parameters.items():
            kept = parameter.clone()
            parameter.copy_(self._average[name])
            self._average[name] = kept
