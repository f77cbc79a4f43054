"""Starting a run from what another one has learned: parameters and normalisation, with a new optimiser."""

from __future__ import annotations

from typing import Any, NamedTuple

from paddle_ac.algorithms.algorithm import Algorithm
from paddle_ac.algorithms.saved_policy import read_policy, space_in_words
from paddle_ac.algorithms.state import different_policy
from paddle_ac.checkpoint import load_run_state
from paddle_ac.config import RunConfig
from paddle_ac.errors import CheckpointError, ConfigError, shortened
from paddle_ac.files import find_policy_file
from paddle_ac.nn.description import default_activation
from paddle_ac.nn.images import image_inputs
from paddle_ac.training.run_folder import RunFolder, check_path

# The parts of a run's checkpoint that another run can start from.
LEARNED = ("format", "parameters", "encoder", "critic", "target", "actor_target", "log_alpha")


class Source(NamedTuple):
    """Learned state of another agent that a run starts from.

    Attributes:
        path: as the user named it.
        config: hyper-parameters of that agent.
        learned: as ``Agent.learned_state`` returns it.
        spaces: as ``spaces_in_words`` returns them; empty of a run of an earlier version.
    """

    path: str
    config: RunConfig
    learned: dict[str, Any]
    spaces: dict[str, str]


def read_source(path: str | None) -> Source | None:
    """Read what ``init_from`` names: the latest checkpoint of a run folder, or a file of ``agent.save``.

    Raises:
        ConfigError: neither of the two.
        CheckpointError: it is damaged.
    """
    if path is None:
        return None
    file = find_policy_file(check_path(path))
    if file is not None:
        saved = read_policy(file)
        return Source(path, saved.config, saved.learned, spaces_in_words(saved))
    try:
        folder = RunFolder.open(path)
    except ConfigError as error:
        raise ConfigError(f"init_from: {error}, nor a file of agent.save") from None
    config = folder.read_config()
    run_state = load_run_state(folder.latest, config.algo)
    state = run_state["algorithm"]
    learned = {"encoder": {}, **{name: state[name] for name in LEARNED if name in state}}
    moments = state.get("rewards") or (state.get("reward_normalizer") or {}).get("moments")
    return Source(
        path, config, {**learned, **({"reward_moments": moments} if moments else {})}, run_state.get("spaces", {})
    )


def spaces_in_words(owner: Any) -> dict[str, str]:
    """The observation space and the action space of an agent or of a saved policy, in words."""
    return {"observation": space_in_words(owner.observation_space), "action": space_in_words(owner.action_space)}


def start_from(agent: Algorithm, config: RunConfig, source: Source | None) -> None:
    """Set the parameters and the normalisation of an agent that has learned nothing yet.

    Raises:
        CheckpointError: they are of other spaces, of another network, or of observations that are normalised in another
            way.
    """
    if source is None:
        return
    here = spaces_in_words(agent)
    try:
        for name, space in source.spaces.items():
            if space != here[name]:
                raise ValueError(f"the {name} space is {shortened(space)} there and {shortened(here[name])} here")
        if source.config.networks != config.networks:
            raise ValueError(f"{source.config.algo} learns {source.config.networks}, {config.algo} {config.networks}")
        reads_images = getattr(config, "encoder", "mlp") != "mlp" and bool(image_inputs(agent.observation_space))
        activation = default_activation(reads_images)
        problem = different_policy(vars(source.config), config, activation)
        if problem:
            raise ValueError(problem)
        agent.load_learned_state(source.learned)
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"init_from: {source.path}, of {source.config.algo} on {source.config.env}, does not fit {config.algo} on "
            f"{config.env}: {error}"
        ) from None
