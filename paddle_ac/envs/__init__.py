"""Environments by name, ready to be checkpointed. Worker processes import this: it must never import Paddle."""
