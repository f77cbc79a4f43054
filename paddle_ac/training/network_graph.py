"""The networks of an algorithm as VisualDL draws them.

VisualDL's own ``add_graph`` needs the program format of Paddle 2, which Paddle 3 no longer saves. So a pass through the
networks is watched, layer by layer, and written down in that format; VisualDL makes its graph file of it.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

from paddle import Tensor, nn, utils
from paddle.base import core

from paddle_ac.process import imports_contained

OBSERVATIONS = "observations"

_drawing = threading.Lock()


def draw_networks(networks: dict[str, nn.Layer], observation_shape: tuple[int, ...], run: Callable[[], Any]) -> str:
    """A graph file of VisualDL, JSON: every layer, within the part of the network that it belongs to.

    A layer is joined to those whose outputs it computes with, as automatic differentiation knows them; what is computed
    between two layers is not drawn.

    Args:
        networks: by name.
        observation_shape: of one observation.
        run: computes with them once, and differentiably.
    """
    program = _Program(observation_shape)
    hooks = [
        layer.register_forward_post_hook(program.writer_of(f"{network_name}.{name}" if len(networks) > 1 else name))
        for network_name, network in networks.items()
        for name, layer in network.named_sublayers()
        if not layer.sublayers()
    ]
    try:
        run()
    finally:
        for hook in hooks:
            hook.remove()
    with imports_contained():
        from visualdl.component.graph import analyse_model
    # Names in the graph do not count for layers that are made later. Paddle has one generator of names for all threads.
    with _drawing, utils.unique_name.guard():
        return json.dumps(analyse_model(program.serialize()))


class _Program:
    """A program of Paddle 2 with an operation for each layer that has computed."""

    def __init__(self, observation_shape: tuple[int, ...]) -> None:
        self._description = core.ProgramDesc()
        self._block = self._description.block(0)
        self._made_by: dict[int, str] = {}  # nodes of automatic differentiation, and the layer's output each stands for
        self._unused: list[str] = []
        self._add_variable(OBSERVATIONS, [-1, *observation_shape])
        self._add_operation("feed", "/", {}, OBSERVATIONS)

    def writer_of(self, name: str) -> Callable[..., Any]:
        """A hook that writes down a layer each time when it has computed."""

        def write(layer: nn.Layer, inputs: Any, outputs: Any) -> None:
            if not _nodes(outputs):  # computed from observations alone: no parameter has a part in it
                return
            parameters = {}
            for parameter_name, parameter in layer.named_parameters():
                parameters[parameter_name] = [f"{name}.{parameter_name}"]
                self._add_variable(f"{name}.{parameter_name}", parameter.shape, is_parameter=True)
            sources = {source for node in _nodes(inputs) for source in self._sources_of(node)}
            output = utils.flatten(outputs)[0]
            self._add_variable(f"{name}.output", [-1, *output.shape[1:]])
            parts = [part for part in name.split(".")[:-1] + [name.rpartition(".")[2]] if not part.isdigit()]
            self._add_operation(
                type(layer).__name__.strip("_"),
                f"/{'/'.join(parts)}/",
                {"X": sorted(sources) or [OBSERVATIONS], **parameters},
                f"{name}.output",
            )
            for node in _nodes(outputs):
                self._made_by[node.node_ptr()] = f"{name}.output"

        return write

    def serialize(self) -> bytes:
        """The program, with what no layer computes with as its results."""
        for name in self._unused:
            self._add_operation("fetch", "/", {"X": [name]}, None)
        return self._description.serialize_to_string()

    def _sources_of(self, node: Any) -> set[str]:
        """The layers' outputs that a node of automatic differentiation was computed from."""
        if node is None:
            return set()
        if node.node_ptr() in self._made_by:
            return {self._made_by[node.node_ptr()]}
        if node.name() == "GradNodeAccumulation":  # a leaf that belongs to no layer: an input
            return {OBSERVATIONS}
        return {source for before in node.next_functions for source in self._sources_of(before)}

    def _add_variable(self, name: str, shape: list[int], is_parameter: bool = False) -> None:
        variable = self._block.var(name.encode())
        variable.set_type(core.VarDesc.VarType.DENSE_TENSOR)
        variable.set_dtype(core.VarDesc.VarType.FP32)
        variable.set_shape(shape)
        variable.set_persistable(is_parameter)

    def _add_operation(self, kind: str, scope: str, inputs: dict[str, list[str]], output: str | None) -> None:
        operation = self._block.append_op()
        operation.set_type(kind)
        operation._set_attr("op_namescope", scope)
        for slot, names in inputs.items():
            operation.set_input(slot, names)
            self._unused = [name for name in self._unused if name not in names]
        if output is not None:
            operation.set_output("Out", [output])
            self._unused.append(output)


def _nodes(values: Any) -> list[Any]:
    """The nodes of automatic differentiation of the tensors among some values that have a gradient."""
    tensors = [value for value in utils.flatten(values) if isinstance(value, Tensor)]
    return [tensor.grad_fn for tensor in tensors if not tensor.stop_gradient]
