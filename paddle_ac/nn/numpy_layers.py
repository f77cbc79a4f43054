"""Layers in NumPy, forward and backward, on parameters that somebody else holds."""

from __future__ import annotations

import numpy as np

from paddle_ac.nn.threads import RowThreads


class Linear:
    """``inputs @ weight + bias``, of one layer or of K that are stacked.

    Args:
        parameters: name to array; ``NAME.weight`` ``[I, O]`` and ``NAME.bias`` ``[O]``, or ``[K, I, O]`` and
            ``[K, O]``, are read at every call, never copied.
        name: of the layer.
    """

    def __init__(self, parameters: dict[str, np.ndarray], name: str):
        self.weight_name, self.bias_name = f"{name}.weight", f"{name}.bias"
        self.weight, self.bias = parameters[self.weight_name], parameters[self.bias_name]
        self._bias_row = self.bias[..., np.newaxis, :]

    def __call__(self, inputs: np.ndarray) -> np.ndarray:
        """``[B, I]`` to ``[B, O]``; of stacked layers ``[B, I]`` or ``[K, B, I]`` to ``[K, B, O]``."""
        outputs = inputs @ self.weight
        outputs += self._bias_row
        return outputs

    def backward(self, inputs: np.ndarray, grad_outputs: np.ndarray, gradient: dict[str, np.ndarray]) -> None:
        """The gradient at the parameters, from that at the outputs ``[..., B, O]``; overwrites their arrays."""
        np.matmul(inputs.swapaxes(-1, -2), grad_outputs, out=gradient[self.weight_name])
        np.add.reduce(grad_outputs, axis=-2, out=gradient[self.bias_name])  # faster than np.sum for few rows

    def grad_inputs(self, grad_outputs: np.ndarray) -> np.ndarray:
        """The gradient at the inputs ``[..., B, I]``, from that at the outputs ``[..., B, O]``."""
        transposed = self.weight.swapaxes(-1, -2)
        if self.bias.shape[-1] == 1:
            return grad_outputs * transposed  # a product with one column: no sum to take
        return grad_outputs @ transposed


class ThreadedLinear(Linear):
    """``Linear`` of one layer, whose products several threads share.

    Args:
        parameters: as in ``Linear``.
        name: of the layer.
        threads: that share the rows of a batch.
    """

    def __init__(self, parameters: dict[str, np.ndarray], name: str, threads: RowThreads):
        super().__init__(parameters, name)
        self.threads = threads

    def __call__(self, inputs: np.ndarray) -> np.ndarray:
        """As ``Linear.__call__``."""
        # Each thread takes some of the inputs and of the rows of the weights, which are most of what there is to read.
        parts = self.threads.parts(len(self.weight))
        products = np.empty((len(parts), len(inputs), len(self.bias)), np.float32)

        def multiply(index: int) -> None:
            np.matmul(inputs[:, parts[index]], self.weight[parts[index]], out=products[index])

        self.threads.share(multiply, range(len(parts)))
        outputs = products[0]
        outputs += self.bias
        for others in products[1:]:
            outputs += others
        return outputs

    def backward(self, inputs: np.ndarray, grad_outputs: np.ndarray, gradient: dict[str, np.ndarray]) -> None:
        """As ``Linear.backward``; each thread computes some rows of the weights' gradient."""
        grad_weight = gradient[self.weight_name]

        def multiply(rows: slice) -> None:
            np.matmul(inputs[:, rows].T, grad_outputs, out=grad_weight[rows])

        self.threads.run(multiply, len(grad_weight))
        np.add.reduce(grad_outputs, axis=0, out=gradient[self.bias_name])

    def grad_inputs(self, grad_outputs: np.ndarray) -> np.ndarray:
        """As ``Linear.grad_inputs``."""
        grads = np.empty((len(grad_outputs), len(self.weight)), np.float32)

        def multiply(rows: slice) -> None:
            np.matmul(grad_outputs[rows], self.weight.T, out=grads[rows])

        self.threads.run(multiply, len(grads))
        return grads


class HiddenLayers:
    """Linear layers, each followed by an activation.

    Args:
        parameters: name to array.
        torso: the beginning of the layers' names; there may be none.
        activation: ``"tanh"`` or ``"relu"``.
        threads: that share the rows of a batch, if there are several.
    """

    def __init__(
        self, parameters: dict[str, np.ndarray], torso: str, activation: str, threads: RowThreads | None = None
    ):
        names = [name.removesuffix(".weight") for name in parameters if name.startswith(f"{torso}.")]
        names = [name for name in names if not name.endswith(".bias")]
        self.layers = [
            Linear(parameters, name) if threads is None else ThreadedLinear(parameters, name, threads) for name in names
        ]
        self.activation = activation

    def __call__(self, inputs: np.ndarray) -> list[np.ndarray]:
        """The inputs ``[B, I]``, and what each layer makes of them."""
        outputs = [inputs]
        for layer in self.layers:
            output = layer(outputs[-1])
            outputs.append(np.tanh(output, output) if self.activation == "tanh" else np.maximum(output, 0, out=output))
        return outputs

    def backward(
        self,
        outputs: list[np.ndarray],
        grad_last: np.ndarray,
        gradient: dict[str, np.ndarray],
        wants_inputs: bool = False,
    ) -> np.ndarray:
        """Compute the gradient with respect to the parameters; overwrites their arrays.

        Args:
            outputs: as a call returned them.
            grad_last: the gradient with respect to the last of them, ``[B, O]``; overwritten.
            gradient: name to array in the parameter's shape.
            wants_inputs: whether the gradient with respect to the inputs is needed.

        Returns:
            that gradient ``[B, I]``, if it is needed.
        """
        grad_output = grad_last
        for index in reversed(range(len(self.layers))):
            grad_output *= self._slope(outputs[index + 1])
            self.layers[index].backward(outputs[index], grad_output, gradient)
            if index or wants_inputs:
                grad_output = self.layers[index].grad_inputs(grad_output)
        return grad_output

    def grad_inputs(self, outputs: list[np.ndarray], grad_last: np.ndarray) -> np.ndarray:
        """Gradient at the inputs ``[..., B, I]``, from that at the last of the outputs; overwrites ``grad_last``."""
        grad_output = grad_last
        for layer, output in zip(reversed(self.layers), reversed(outputs), strict=False):
            grad_output *= self._slope(output)
            grad_output = layer.grad_inputs(grad_output)
        return grad_output

    def _slope(self, output: np.ndarray) -> np.ndarray:
        return 1 - output * output if self.activation == "tanh" else output > 0
