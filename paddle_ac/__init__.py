"""paddle_ac: the actor-critic family on PaddlePaddle."""

__version__ = "0.1.0"
