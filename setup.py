"""What is installed, and what it needs."""

from setuptools import find_packages, setup

# There is no paddle2onnx for Python 3.13 yet.
ONNX = ["onnx>=1.16", "onnxruntime>=1.17", "paddle2onnx>=2.1; python_version < '3.13'"]

setup(
    name="paddle-ac",
    version="0.2.0.dev0",
    description="The actor-critic family on PaddlePaddle",
    license="Apache-2.0",
    python_requires=">=3.10",
    packages=find_packages(include=["paddle_ac", "paddle_ac.*"]),
    py_modules=["multiprocessing_env"],
    entry_points={"console_scripts": ["paddle-ac = paddle_ac.__main__:main"]},
    install_requires=[
        "paddlepaddle>=3.0",
        "gymnasium[classic-control]>=1.0",  # with what draws CartPole and its like
        "gym==0.26.2",
        "numpy>=1.26",
        "cloudpickle>=3.0",
        "visualdl>=2.5",
        "matplotlib>=3.8",
        "pillow>=10.0",
        "portalocker>=2.8",
        "pydantic>=2.7",
        "PyYAML>=6.0",
        "safetensors>=0.4",
        "setuptools",  # paddle and visualdl import it without asking for it
        "threadpoolctl>=3.0",
        "tqdm>=4.66",
    ],
    extras_require={
        "onnx": ONNX,
        "atari": ["ale-py>=0.11"],
        "box2d": ["gymnasium[box2d]"],
        "docs": ["furo>=2024.8", "myst-parser>=4.0", "sphinx>=8.1"],
        "envpool": ["envpool>=1.0; sys_platform == 'linux'"],
        "mp4": ["imageio-ffmpeg>=0.5"],
        "mujoco": ["gymnasium[mujoco]"],
        "test": [
            *ONNX,
            "ale-py>=0.11",
            "envpool>=1.0; sys_platform == 'linux'",
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
            "ruff",
            "scipy",
            "selenium>=4.20",
            "sphinx>=8.1",
            "tensorboardX>=2.6",
            "types-PyYAML",
            "types-tqdm",
        ],
        "tensorboard": ["tensorboard>=2.14", "tensorboardX>=2.6"],
        "tune": ["optuna>=4.0"],
        "wandb": ["wandb>=0.16"],
    },
)
