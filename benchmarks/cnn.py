"""Networks for images beside PyTorch's: `python benchmarks/cnn.py --peer-python build/peers/bin/python`.

Milliseconds of a forward pass at batches of 1, 8 and 16, and of a forward and backward pass at a batch of 80, of the
NumPy backend and of the same network in PyTorch: uint8 images of 4x84x84 from 0 to 255, an encoder, its dense layer, a
head with 6 logits and one with a value; 1 and 2 threads. The programs are run in turn, `--rounds` times each; a ratio
is that of medians within a round, ours divided by PyTorch's. `--peer-python` is the interpreter of an environment with
`torch`.

The kernel of the BLAS library decides: OPENBLAS_CORETYPE, which some machines set, can cost half of the speed.
"""

from __future__ import annotations

import argparse
import time
from statistics import median

import numpy as np
from gymnasium.spaces import Box, Discrete
from side_by_side import run_peer, tell
from threadpoolctl import threadpool_info, threadpool_limits

from paddle_ac.nn.actions import action_distribution
from paddle_ac.nn.description import describe_network
from paddle_ac.nn.encoding import ObservationEncoder
from paddle_ac.nn.numpy_network import NumpyActorCritic
from paddle_ac.nn.parameters import FlatParameters
from paddle_ac.nn.unroll import Unroll

CASES = {"forward, batch 1": (1, False), "forward, batch 8": (8, False), "forward, batch 16": (16, False)}
CASES["forward and backward, batch 80"] = (80, True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer-python", metavar="FILE", required=True, help="interpreter with torch")
    parser.add_argument("--encoders", nargs="+", default=["nature", "a3c", "impala"])
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0)
    arguments = parser.parse_args()
    kernels = {str(library.get("architecture")) for library in threadpool_info() if library["user_api"] == "blas"}
    print(f"BLAS kernel of NumPy: {', '.join(kernels)}")
    for encoder in arguments.encoders:
        for threads in arguments.threads:
            for case, (batch_size, with_backward) in CASES.items():
                ours, peers = [], []
                for _ in range(arguments.rounds):
                    with threadpool_limits(threads, user_api="blas"):
                        ours.append(measure_ours(encoder, threads, batch_size, with_backward, arguments.seconds))
                    peers.append(
                        run_peer(
                            arguments.peer_python,
                            "pytorch_cnn.py",
                            encoder=encoder,
                            threads=threads,
                            batch_size=batch_size,
                            backward=int(with_backward),
                            seconds=arguments.seconds,
                        )
                    )
                print(f"{encoder}, {threads} thread{'s' * (threads > 1)}, {case}")
                tell("  paddle_ac", ours, "ms")
                tell("  PyTorch", peers, "ms")
                tell("  ratio", [one / other for one, other in zip(ours, peers, strict=True)])


def measure_ours(encoder: str, threads: int, batch_size: int, with_backward: bool, seconds: float) -> float:
    """Median milliseconds of a pass."""
    generator = np.random.default_rng(0)
    space, actions = Box(0, 255, (4, 84, 84), np.uint8), Discrete(6)
    description = describe_network(space, actions, encoder=encoder)
    parameters = FlatParameters(description.initial_parameters(generator))
    encode = ObservationEncoder(space, images=description.images)
    network = NumpyActorCritic(description, parameters, encode, action_distribution(actions), threads)
    observations = generator.integers(0, 256, (batch_size, *space.shape), np.uint8)
    gradient = parameters.layout.views(np.empty_like(parameters.vector))
    unroll = Unroll.of_one_step(network.initial_state(batch_size))

    def run() -> None:
        outputs, values, tape = network.forward(observations, unroll)
        if with_backward:
            network.backward(tape, np.ones_like(outputs), np.ones_like(values), gradient)

    return median_milliseconds(run, seconds)


def median_milliseconds(run, seconds: float) -> float:
    """Median time of a call, in milliseconds, over some seconds of calls."""
    for _ in range(3):
        run()
    times, end = [], time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) < 5:
        started = time.perf_counter()
        run()
        times.append(time.perf_counter() - started)
    return 1e3 * median(times)


if __name__ == "__main__":
    main()
