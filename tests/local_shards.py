"""The shards of a parameter server in the process of the test."""

from __future__ import annotations

from paddle_ac.processes.parameter_server import ParameterServer


class LocalShards:
    """Shards in this process; ``on_push`` is called while a push is under way."""

    def __init__(self, *shards: ParameterServer):
        self.shards = shards
        self.on_push = lambda: None

    def push(self, pushes):
        self.on_push()
        return [shard.push(push) for shard, push in zip(self.shards, pushes, strict=True)]

    def pull(self):
        return [shard.pull() for shard in self.shards]
