"""Record whole updates of Stable-Baselines3's SAC: `python benchmarks/peers/sb3_sac_update.py`.

It writes the initial weights, every batch and all noise of 20 gradient steps, and the losses and final weights that
follow from them, to `tests/data/sb3_sac_update.npz`, under the names and in the shapes that paddle_ac uses.
`tests/runs/test_sac.py` repeats these updates. It needs `stable-baselines3`, and nothing of paddle_ac.
"""

from __future__ import annotations

from pathlib import Path
from unittest import mock

import gymnasium
import numpy as np
import torch
from gymnasium.spaces import Box
from stable_baselines3 import SAC
from stable_baselines3.common.buffers import ReplayBufferSamples
from stable_baselines3.common.logger import Logger

OUTPUT = Path(__file__).parents[2] / "tests" / "data" / "sb3_sac_update.npz"
STEPS, BATCH_SIZE, NUM_FEATURES, NUM_ACTIONS = 20, 16, 3, 2


class Spaces(gymnasium.Env):
    """Spaces only: nothing is played."""

    observation_space = Box(-1, 1, (NUM_FEATURES,))
    action_space = Box(-1, 1, (NUM_ACTIONS,))


def main() -> None:
    model = SAC(
        "MlpPolicy",
        Spaces(),
        learning_rate=1e-2,
        buffer_size=1,
        batch_size=BATCH_SIZE,
        tau=0.1,
        gamma=0.9,
        policy_kwargs={"net_arch": [8, 16]},
        seed=0,
        device="cpu",
    )
    model.set_logger(Logger(None, []))
    recorded = {f"initial/{name}": array for name, array in weights(model).items()}
    generator = np.random.default_rng(0)
    draws = {
        "features": generator.standard_normal((STEPS, BATCH_SIZE, NUM_FEATURES)),
        "actions": generator.uniform(-1, 1, (STEPS, BATCH_SIZE, NUM_ACTIONS)),
        "next_features": generator.standard_normal((STEPS, BATCH_SIZE, NUM_FEATURES)),
        "rewards": generator.standard_normal((STEPS, BATCH_SIZE)),
        "terminated": generator.random((STEPS, BATCH_SIZE)) < 0.2,
        "noise": generator.standard_normal((STEPS, 2, BATCH_SIZE, NUM_ACTIONS)),  # for the observations, then the next
    }
    recorded |= {name: array.astype(np.float32) for name, array in draws.items()}
    metrics: dict[str, list[float]] = {name: [] for name in ("actor", "critic", "alpha")}
    for step in range(STEPS):
        batch = {name: torch.from_numpy(recorded[name][step]) for name in draws}
        samples = ReplayBufferSamples(
            batch["features"],
            batch["actions"],
            batch["next_features"],
            batch["terminated"][:, None],
            batch["rewards"][:, None],
        )
        noise = iter(batch["noise"])
        with (
            mock.patch.object(model.replay_buffer, "sample", lambda *_, samples=samples, **__: samples),
            mock.patch("torch.distributions.normal._standard_normal", lambda *_, noise=noise, **__: next(noise)),
        ):
            model.train(gradient_steps=1, batch_size=BATCH_SIZE)
        logged = model.logger.name_to_value
        metrics["actor"].append(logged["train/actor_loss"])
        metrics["critic"].append(logged["train/critic_loss"])
        metrics["alpha"].append(logged["train/ent_coef_loss"])
    recorded |= {f"losses/{name}": np.array(values) for name, values in metrics.items()}
    recorded |= {f"final/{name}": array for name, array in weights(model).items()}
    np.savez_compressed(OUTPUT, **recorded)


def weights(model: SAC) -> dict[str, np.ndarray]:
    """All weights, as paddle_ac names and lays them out."""
    actor, arrays = model.actor, {"log_alpha": model.log_ent_coef}
    for index, layer in enumerate(actor.latent_pi):
        if isinstance(layer, torch.nn.Linear):
            arrays[f"actor/torso.{index}.weight"], arrays[f"actor/torso.{index}.bias"] = layer.weight.T, layer.bias
    arrays["actor/head.weight"] = torch.cat([actor.mu.weight.T, actor.log_std.weight.T], dim=1)
    arrays["actor/head.bias"] = torch.cat([actor.mu.bias, actor.log_std.bias])
    for critic_name, critic in (("critic", model.critic), ("target", model.critic_target)):
        for index, layers in enumerate(zip(*critic.q_networks, strict=True)):
            if not isinstance(layers[0], torch.nn.Linear):
                continue
            name = f"{critic_name}/" + ("head" if index == len(critic.q_networks[0]) - 1 else f"torso.{index}")
            arrays[f"{name}.weight"] = torch.stack([layer.weight.T for layer in layers])
            arrays[f"{name}.bias"] = torch.stack([layer.bias for layer in layers])
    return {name: tensor.detach().numpy().copy() for name, tensor in arrays.items()}


if __name__ == "__main__":
    main()
