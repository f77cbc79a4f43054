"""What is installed, and what it needs."""

import ast
import re
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent

# There is no paddle2onnx for Python 3.13 yet.
ONNX = ["onnx>=1.16", "onnxruntime>=1.17", "paddle2onnx>=2.1; python_version < '3.13'"]

# There are wheels of envpool 1 for Linux, from Python 3.11 on.
ENVPOOL = "envpool>=1.0; sys_platform == 'linux' and python_version >= '3.11'"


def requirements() -> list[str]:
    """The requirements other than Paddle."""
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    return [requirement for line in lines if (requirement := line.partition("#")[0].strip())]


def version() -> str:
    """``paddle_ac.__version__``, read without importing the package."""
    source = (ROOT / "paddle_ac" / "__init__.py").read_text(encoding="utf-8")
    return ast.literal_eval(re.search(r"^__version__ = (.+)$", source, re.MULTILINE)[1])


class BuildWithConfigs(build_py):
    """Puts ``configs/`` into the package, where ``--config configs/NAME.yaml`` finds it in every folder."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:  # an editable installation reads configs/ where it is
            shutil.copytree(ROOT / "configs", Path(self.build_lib, "paddle_ac", "configs"), dirs_exist_ok=True)


setup(
    name="paddle-ac",
    version=version(),
    description="The actor-critic family on PaddlePaddle",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.10",
    packages=find_packages(include=["paddle_ac", "paddle_ac.*"]),
    package_data={"paddle_ac": ["py.typed"]},
    cmdclass={"build_py": BuildWithConfigs},
    py_modules=["multiprocessing_env"],
    entry_points={"console_scripts": ["paddle-ac = paddle_ac.__main__:main"]},
    install_requires=["paddlepaddle>=3.0", *requirements()],
    extras_require={
        "onnx": ONNX,
        "atari": ["ale-py>=0.11", "opencv-python-headless>=4.8"],
        "box2d": ["gymnasium[box2d]"],
        "docs": ["furo>=2024.8", "myst-parser>=4.0", "sphinx>=8.1"],
        "envpool": [ENVPOOL],
        "mp4": ["imageio-ffmpeg>=0.5"],
        "mujoco": ["gymnasium[mujoco]"],
        "ray": ["ray>=2.40"],
        "test": [
            *ONNX,
            "ale-py>=0.11",
            "opencv-python-headless>=4.8",
            "build",
            ENVPOOL,
            "furo>=2024.8",
            "gymnasium[box2d]",
            "gymnasium[mujoco]",
            "imageio-ffmpeg>=0.5",
            "ipykernel",
            "mypy",
            "myst-parser>=4.0",
            "nbclient",
            "nbformat",
            "optuna>=4.0",
            "psutil",
            "pytest>=8",
            "pytest-timeout",
            "pytest-xdist",
            "ray>=2.40",
            "ruff",
            "scipy",
            "selenium>=4.20",
            "sphinx>=8.1",
            "tensorboardX>=2.6",
            "types-PyYAML",
            "types-tqdm",
            "wheel",
        ],
        "tensorboard": ["tensorboard>=2.14", "tensorboardX>=2.6"],
        "tune": ["optuna>=4.0"],
        "wandb": ["wandb>=0.16"],
    },
)
