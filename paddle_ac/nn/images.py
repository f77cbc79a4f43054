"""Image encoders as plain data: the layers between an image and its features, for both backends.

An encoder is a sequence of layers that each backend builds. Images are ``[B, height, width, channels]`` in between;
``images_of`` finds the images in an observation space.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from multiprocessing_env import space_kind, space_parts

NUMBER = re.compile(r"[0-9]{1,4}")
PIXEL_SCALE = np.float32(1 / 255)


class ImageShape(NamedTuple):
    """Height, width and channels."""

    height: int
    width: int
    channels: int


@dataclass(frozen=True)
class Convolution:
    """Convolution with square kernels, and optionally a ReLU.

    Attributes:
        channels: of the result.
        kernel: side of the kernel, in pixels.
        stride: in pixels.
        padding: rows and columns of zeros on each side.
        relu: whether a ReLU follows.
    """

    channels: int
    kernel: int
    stride: int = 1
    padding: int = 0
    relu: bool = True

    def output_shape(self, shape: ImageShape) -> ImageShape:
        """Shape of the result for an image of ``shape``; sides below 1 if it is too small."""
        height, width = (_output_side(side, self.kernel, self.stride, self.padding) for side in shape[:2])
        return ImageShape(height, width, self.channels)

    def parameter_shapes(self, num_channels: int) -> list[tuple[str, tuple[int, ...]]]:
        """Names and shapes of its parameters for images of ``num_channels``."""
        return [("weight", (self.kernel, self.kernel, num_channels, self.channels)), ("bias", (self.channels,))]


@dataclass(frozen=True)
class MaxPool:
    """Largest value of each window of 3x3 pixels, every 2 pixels, with a padding of 1 (IMPALA)."""

    kernel: int = 3
    stride: int = 2
    padding: int = 1

    def output_shape(self, shape: ImageShape) -> ImageShape:
        """As ``Convolution.output_shape``."""
        height, width = (_output_side(side, self.kernel, self.stride, self.padding) for side in shape[:2])
        return ImageShape(height, width, shape.channels)

    def parameter_shapes(self, num_channels: int) -> list[tuple[str, tuple[int, ...]]]:
        """It has no parameters."""
        return []


@dataclass(frozen=True)
class Residual:
    """``x + conv(relu(conv(relu(x))))`` with kernels of 3x3 pixels and as many channels as ``x`` (IMPALA)."""

    def output_shape(self, shape: ImageShape) -> ImageShape:
        """The shape of the image itself."""
        return shape

    def parameter_shapes(self, num_channels: int) -> list[tuple[str, tuple[int, ...]]]:
        """As ``Convolution.parameter_shapes``, of both convolutions."""
        kernel = (3, 3, num_channels, num_channels)
        shapes: list[tuple[str, tuple[int, ...]]] = []
        for part in ("first", "second"):
            shapes += [(f"{part}.weight", kernel), (f"{part}.bias", (num_channels,))]
        return shapes


@dataclass(frozen=True)
class Relu:
    """``max(x, 0)``."""

    def output_shape(self, shape: ImageShape) -> ImageShape:
        """The shape of the image itself."""
        return shape

    def parameter_shapes(self, num_channels: int) -> list[tuple[str, tuple[int, ...]]]:
        """It has no parameters."""
        return []


ImageLayer: TypeAlias = Convolution | MaxPool | Residual | Relu


@dataclass(frozen=True)
class Encoder:
    """Layers of an image encoder, and the hidden layers that follow by default.

    Attributes:
        layers: from the image on.
        hidden_sizes: units of the dense layers behind them.
    """

    layers: tuple[ImageLayer, ...]
    hidden_sizes: tuple[int, ...]


def _impala() -> tuple[ImageLayer, ...]:
    layers: list[ImageLayer] = []
    for channels in (16, 32, 32):
        layers += [Convolution(channels, 3, padding=1, relu=False), MaxPool(), Residual(), Residual()]
    return (*layers, Relu())


ENCODERS = {
    # Mnih et al. 2016, arXiv:1602.01783, section 8 (the network of Mnih et al. 2013, arXiv:1312.5602)
    "a3c": Encoder((Convolution(16, 8, 4), Convolution(32, 4, 2)), (256,)),
    # Mnih et al. 2015, doi:10.1038/nature14236, methods
    "nature": Encoder((Convolution(32, 8, 4), Convolution(64, 4, 2), Convolution(64, 3)), (512,)),
    # Espeholt et al. 2018, arXiv:1802.01561, figure 3, the large architecture without its LSTM
    "impala": Encoder(_impala(), (256,)),
    # Young and Tian 2019, arXiv:1903.03176, for MinAtar's grids of 10x10 cells
    "small": Encoder((Convolution(16, 3),), (128,)),
}


class ImageInput(NamedTuple):
    """An image in an observation.

    Attributes:
        part: its place in a Dict or Tuple observation; ``None`` if the observation is the image.
        shape: height, width and channels.
        channels_first: the observation is ``[channels, height, width]``.
        scale: factor of the pixels before the first layer: 1/255 for uint8 from 0 to 255, else 1.
    """

    part: str | None
    shape: ImageShape
    channels_first: bool
    scale: float

    def of(self, observations: np.ndarray) -> np.ndarray:
        """These images ``[B, *shape of the part]`` in a batch of observations."""
        return observations if self.part is None else observations[self.part]


def is_pixels(space: Any) -> bool:
    """Whether a space is a Box of uint8 from 0 to 255: images of any layout, stacks of them, and the RAM of ALE."""
    is_bytes = space_kind(space) == "Box" and space.dtype == np.uint8
    return is_bytes and bool(np.all(space.low == 0) and np.all(space.high == 255))


def has_unscaled_pixels(space: Any) -> bool:
    """Whether a space is an image whose values go up to 255 in another dtype than uint8: nothing scales them."""
    return space_kind(space) == "Box" and len(space.shape) == 3 and space.dtype != np.uint8 and space.high.max() == 255


def image_input(space: Any, part: str | None = None) -> ImageInput | None:
    """The image that a space describes; ``None`` if it describes something else.

    A Box with three dimensions is an image with the channels first or last. If two neighbouring sides are equal, the
    third dimension is the channels; otherwise whichever of the first and the last is smaller; the last if they are
    equal. A Box of pixels with two dimensions is an image with one channel. Sides below 3 pixels make no image.

    Raises:
        ValueError: four dimensions or more.
    """
    if space_kind(space) != "Box":
        return None
    shape = tuple(map(int, space.shape))
    pixels = is_pixels(space)
    if len(shape) == 2 and pixels:
        shape = (*shape, 1)
    if len(shape) != 3:
        if len(shape) > 3:
            raise ValueError(
                f"images must have 2 or 3 dimensions, and these have {len(shape)}, {shape}: put all frames into the "
                "channels of one image, or flatten them with --encoder mlp"
            )
        return None
    channels_first = len(space.shape) == 3 and _has_channels_first(shape)
    image = ImageShape(*(shape[1], shape[2], shape[0]) if channels_first else shape)
    if min(image.height, image.width) < 3:
        return None
    return ImageInput(part, image, channels_first, float(PIXEL_SCALE) if pixels else 1.0)


def image_inputs(space: Any) -> tuple[ImageInput, ...]:
    """The images in an observation space; ``ValueError`` as ``image_input``."""
    parts = space_parts(space)
    images = [image_input(part, path) for path, part in parts.items()] if parts else [image_input(space)]
    return tuple(image for image in images if image is not None)


def choose_encoder(shape: ImageShape) -> str:
    """The encoder for images of a size: ``nature`` where it fits, else ``small``."""
    return "nature" if min(shape.height, shape.width) >= smallest_side(ENCODERS["nature"].layers) else "small"


def parse_conv_layers(text: str) -> tuple[Convolution, ...]:
    """Layers of a text such as ``"32x8x4,64x4x2"``: channels, kernel and stride of each.

    Raises:
        ValueError: another text.
    """
    layers = []
    for part in text.split(","):
        numbers = part.strip().split("x")
        if len(numbers) != 3 or not all(NUMBER.fullmatch(number) and 0 < int(number) <= 4096 for number in numbers):
            raise ValueError("must be CHANNELSxKERNELxSTRIDE of each layer, such as 32x8x4,64x4x2")
        channels, kernel, stride = map(int, numbers)
        layers.append(Convolution(channels, kernel, stride))
    return tuple(layers)


def output_shapes(layers: Sequence[ImageLayer], shape: ImageShape) -> list[ImageShape]:
    """Shapes before the first layer and after each.

    Raises:
        ValueError: the image is too small.
    """
    shapes = [shape]
    for layer in layers:
        shapes.append(layer.output_shape(shapes[-1]))
        if min(shapes[-1]) < 1:
            side = smallest_side(layers)
            raise ValueError(f"needs images of at least {side}x{side} pixels, these are {shape.height}x{shape.width}")
    return shapes


def smallest_side(layers: Sequence[ImageLayer]) -> int:
    """Pixels of the smallest square image that the layers take."""
    side = 1
    for layer in reversed(layers):  # the smallest input with an output of at least ``side``
        if isinstance(layer, (Convolution, MaxPool)):
            side = max((side - 1) * layer.stride + layer.kernel - 2 * layer.padding, 1)
    return side


def _has_channels_first(shape: tuple[int, ...]) -> bool:
    first, middle, last = shape
    if first == middle or middle == last:  # square
        return first != middle
    return first < last


def _output_side(side: int, kernel: int, stride: int, padding: int) -> int:
    return (side + 2 * padding - kernel) // stride + 1
