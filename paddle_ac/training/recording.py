"""Episodes of a trained policy to look at: in a window, or in a file."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from multiprocessing_env import DummyVecEnv, get_env_attr
from paddle_ac.envs.make import FINAL_EVALUATION, make_rendered_env
from paddle_ac.envs.wrappers import Recorder, SeededEpisodes
from paddle_ac.errors import ConfigError, needs
from paddle_ac.files import write_atomically
from paddle_ac.training.evaluate import open_policy
from paddle_ac.training.showing import without_screen

MAX_GIF_WIDTH = 400  # pixels: what a page shows
MIN_GIF_DELAY = 20  # ms: of less, browsers make 100
PALETTE_PICTURES = 16  # that the colours of a GIF are chosen from

Take = Callable[[np.ndarray], object]


def watch_run(
    record: str | None,
    run: str | Path,
    checkpoint: str | None = None,
    episodes: int = 1,
    seed: int | None = None,
    sampled: bool | None = None,
) -> dict[str, Any]:
    """Play episodes one after another where they can be seen; the first is the first of ``evaluate_run``'s.

    (But for environments that their maker vectorised, which are seeded in another way.)

    Args:
        record: a file ending in ``.gif`` or ``.mp4``, written when the last episode has ended; None for a window.
        run: the run's folder, or a file of ``agent.save``.
        checkpoint: of a run: ``"best"``, the default, or ``"latest"``.
        episodes: how many.
        seed: of the environment; the run's own by default.
        sampled: draw the actions, rather than take the most probable ones; as the run's evaluations by default.

    Returns:
        as ``evaluate_run``.

    Raises:
        ConfigError: neither a run folder nor a file, an environment that has no pictures, no screen for a window, or
            a package that is missing.
        CheckpointError: as ``evaluate_run``.
    """
    policy = open_policy(run, checkpoint)
    config = policy.config
    chosen_seed = config.seed if seed is None else seed

    def play(env: Any) -> dict[str, Any]:
        with DummyVecEnv([lambda: SeededEpisodes(env, (chosen_seed, FINAL_EVALUATION, 0))]) as envs:
            return policy.play(envs, episodes, chosen_seed, sampled)

    path = None if record is None else Path(record).absolute()  # an environment may call os.chdir
    if path is None:
        _check_screen()
        return play(make_rendered_env(config, "human"))
    with without_screen():
        env = make_rendered_env(config, "rgb_array")
        with open_film(path, get_env_attr(env, "metadata").get("render_fps") or 30) as take:
            return play(Recorder(env, take, episodes))


def _check_screen() -> None:
    """Raise ``ConfigError`` without a screen, where SDL would draw a window nowhere without an error."""
    if sys.platform == "linux" and not {"DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER"} & os.environ.keys():
        raise ConfigError("there is no screen for a window (DISPLAY is not set): use --record FILE.gif")


@contextmanager
def open_film(path: Path, fps: float) -> Iterator[Take]:
    """A file of moving pictures: what it gives takes the pictures ``[H, W, 3]`` uint8, one by one.

    The file is there when all has gone well, and one of the same name is left as it was if not.

    Args:
        path: ends in ``.gif`` or ``.mp4``.
        fps: pictures a second.

    Raises:
        ConfigError: the package that writes MP4 is not installed.
    """
    with {".gif": _open_gif, ".mp4": _open_mp4}[path.suffix.lower()](path, fps) as take:
        yield take


@contextmanager
def _open_gif(path: Path, fps: float) -> Iterator[Take]:
    kept: list[io.BytesIO] = []  # compressed: an episode of thousands of pictures would fill the memory

    def take(picture: np.ndarray) -> None:
        image = Image.fromarray(picture)
        if image.width > MAX_GIF_WIDTH:
            image = image.resize((MAX_GIF_WIDTH, round(image.height * MAX_GIF_WIDTH / image.width)))
        kept.append(io.BytesIO())
        image.save(kept[-1], "PNG", compress_level=1)

    yield take
    palette = _common_palette([Image.open(kept[i]) for i in np.linspace(0, len(kept) - 1, PALETTE_PICTURES, dtype=int)])
    images = (Image.open(picture).quantize(palette=palette, dither=Image.Dither.NONE) for picture in kept)
    content = io.BytesIO()
    delay = max(MIN_GIF_DELAY, 10 * round(100 / fps))  # GIF counts in hundredths of a second
    next(images).save(content, "GIF", save_all=True, append_images=images, duration=delay, loop=0)
    write_atomically(path, content.getvalue())


def _common_palette(images: list[Image.Image]) -> Image.Image:
    """256 colours for all pictures: with one palette a picture holds no more than what has changed."""
    width, height = images[0].size
    sheet = Image.new("RGB", (width, height * len(images)))
    for row, image in enumerate(images):
        sheet.paste(image, (0, row * height))
    return sheet.quantize(256)


@contextmanager
def _open_mp4(path: Path, fps: float) -> Iterator[Take]:
    try:
        import imageio_ffmpeg
    except ImportError:
        raise ConfigError(f"{needs('MP4', 'imageio-ffmpeg')}, or record a .gif") from None
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.mp4")
    writer: Any = None

    def take(picture: np.ndarray) -> None:
        nonlocal writer
        if writer is None:
            height, width, _ = picture.shape
            # Sides of whole blocks of 2, of which H.264 has a colour each; its own 16 would stretch the picture.
            writer = imageio_ffmpeg.write_frames(str(temporary), (width, height), fps=fps, macro_block_size=2)
            writer.send(None)
        writer.send(np.ascontiguousarray(picture))

    try:
        yield take
        writer.close()
        temporary.replace(path)
    finally:
        if writer is not None:
            writer.close()
        temporary.unlink(missing_ok=True)
