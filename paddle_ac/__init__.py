"""paddle_ac: the actor-critic family on PaddlePaddle."""

import warnings

__version__ = "0.1.0"

# Paddle says at its import that it would compile extensions faster with ccache; nobody here compiles any.
warnings.filterwarnings("ignore", message="No ccache found")
