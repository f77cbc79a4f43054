"""Hints for names of other libraries: the hyper-parameter, argument, flag or call of this package to write instead."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable
from typing import ParamSpec, TypeVar

from paddle_ac.errors import ConfigError
from paddle_ac.registry import CONFIGS

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

_LEARNING_RATES = ("learning_rate", "actor_learning_rate", "critic_learning_rate", "alpha_learning_rate")
_NETWORK = ("encoder", "hidden_sizes", "activation", "recurrent", "network")

# Names of Stable-Baselines3 and its zoo, CleanRL, OpenAI baselines, and the A2C and A3C repositories for PyTorch. The
# hint shows the names on the right that the algorithm or command has; "name=value" is one value of a hyper-parameter.
_OURS: dict[str, tuple[str, ...]] = {
    # length of a run and environments
    "total_timesteps": ("total_steps",),
    "num_timesteps": ("total_steps",),
    "n_timesteps": ("total_steps",),
    "max_timesteps": ("total_steps",),
    "timesteps": ("total_steps",),
    "num_env_steps": ("total_steps",),
    "max_steps": ("total_steps",),
    "env_id": ("env",),
    "env_name": ("env",),
    "gym_id": ("env",),
    "environment": ("env",),
    "n_envs": ("num_envs",),
    "num_env": ("num_envs",),
    "nenv": ("num_envs",),
    "nenvs": ("num_envs",),
    "n_e": ("num_envs",),
    "num_processes": ("num_envs", "num_workers"),
    "n_workers": ("num_workers",),
    "workers": ("num_workers",),
    "vec_env": ("vec",),
    "vec_env_type": ("vec",),
    "n_stack": ("frame_stack",),
    "num_stack": ("frame_stack",),
    "stack_frames": ("frame_stack",),
    "framestack": ("frame_stack",),
    "alg": ("algo",),
    "algorithm": ("algo",),
    # Atari games
    "episodic_life": ("terminal_on_life_loss",),
    "episode_life": ("terminal_on_life_loss",),
    "done_on_life_loss": ("terminal_on_life_loss",),
    "clip_rewards": ("reward_clip",),
    "reward_clipping": ("reward_clip",),
    "repeat_action_probability": ("sticky_actions",),
    "repeat_action_prob": ("sticky_actions",),
    "action_repeat_probability": ("sticky_actions",),
    "sticky_action_prob": ("sticky_actions",),
    "sticky": ("sticky_actions",),
    "fire_reset": ("fire_on_reset",),
    "use_fire_reset": ("fire_on_reset",),
    # estimator and loss
    "n_steps": ("num_steps", "num_step_returns"),
    "nsteps": ("num_steps",),
    "n_step": ("num_steps", "num_step_returns"),
    "t_max": ("num_steps",),
    "rollout_length": ("num_steps",),
    "discount": ("gamma",),
    "lam": ("gae_lambda",),
    "lambda": ("gae_lambda",),
    "gae": ("gae_lambda",),
    "use_gae": ("gae_lambda",),
    "ent_coef": ("entropy_coef", "init_alpha", "auto_alpha", "temperature"),
    "entropy_coef": ("entropy_coef", "init_alpha", "temperature"),
    "entropy_coeff": ("entropy_coef", "init_alpha", "temperature"),
    "vf_coef": ("value_coef",),
    "value_loss_coef": ("value_coef",),
    "clip_coef": ("clip_range",),
    "cliprange": ("clip_range",),
    "clip_param": ("clip_range",),
    "clip_vloss": ("clip_range_vf",),
    "n_epochs": ("num_epochs",),
    "noptepochs": ("num_epochs",),
    "update_epochs": ("num_epochs",),
    "ppo_epoch": ("num_epochs",),
    "batch_size": ("minibatch_size",),
    "num_minibatches": ("minibatch_size",),
    "nminibatches": ("minibatch_size",),
    "num_mini_batch": ("minibatch_size",),
    "norm_adv": ("normalize_advantages",),
    "normalize_advantage": ("normalize_advantages",),
    "normalize": ("normalize_observations", "normalize_rewards"),
    "norm_obs": ("normalize_observations",),
    "norm_reward": ("normalize_rewards",),
    "clip_reward": ("reward_clip",),
    "alpha": ("init_alpha", "temperature", "rmsprop_decay"),
    "autotune": ("auto_alpha",),
    "exploration_initial_eps": ("initial_epsilon",),
    "exploration_final_eps": ("final_epsilon",),
    "epsilon": ("initial_epsilon", "final_epsilon", "optimizer_epsilon"),
    "eps": ("initial_epsilon", "final_epsilon", "optimizer_epsilon"),
    "start_e": ("initial_epsilon",),
    "end_e": ("final_epsilon",),
    "epsilon_decay": ("exploration_fraction", "exploration_steps"),
    "target_update_interval": ("target_interval",),
    "target_network_frequency": ("target_interval",),
    "target_update_freq": ("target_interval",),
    "double_q": ("double",),
    "prioritized_replay": ("prioritized",),
    "prioritized_replay_alpha": ("priority_exponent",),
    "prioritized_replay_beta0": ("importance_exponent",),
    "policy_freq": ("policy_delay",),
    "policy_frequency": ("policy_delay",),
    "target_policy_noise": ("target_noise",),
    "policy_noise": ("target_noise",),
    "target_noise_std": ("target_noise",),
    "noise_clip": ("target_noise_clip",),
    "expl_noise": ("action_noise",),
    "exploration_noise": ("action_noise",),
    "noise_std": ("action_noise",),
    "n_critics": ("num_critics",),
    # network and optimiser
    "lr": _LEARNING_RATES,
    "learning_rate": _LEARNING_RATES,
    "policy_lr": ("actor_learning_rate",),
    "pi_lr": ("actor_learning_rate",),
    "q_lr": ("critic_learning_rate",),
    "qf_learning_rate": ("critic_learning_rate",),
    "lrschedule": ("lr_schedule",),
    "anneal_lr": ("lr_schedule=linear",),
    "use_linear_lr_decay": ("lr_schedule=linear",),
    "use_rms_prop": ("optimizer=rmsprop",),
    "rms_prop_eps": ("optimizer_epsilon",),
    "policy": _NETWORK,
    "policy_kwargs": _NETWORK,
    "net_arch": ("hidden_sizes",),
    "hidden_size": ("hidden_sizes",),
    "activation_fn": ("activation",),
    "recurrent_policy": ("recurrent=lstm",),
    "ortho_init": ("initialization",),
    "cuda": ("device=gpu",),
    "gpu": ("device=gpu",),
    # runs, evaluations and checkpoints
    "tensorboard_log": ("log_to=tensorboard",),
    "tensorboard": ("log_to=tensorboard",),
    "track": ("log_to=wandb",),
    "wandb": ("log_to=wandb",),
    "use_wandb": ("log_to=wandb",),
    "wandb_project": ("log_to=wandb",),
    "wandb_project_name": ("log_to=wandb",),
    "reward_threshold": ("stop_at_return",),
    "target_return": ("stop_at_return",),
    "wrapper": ("wrappers",),
    "env_wrapper": ("wrappers",),
    "eval_freq": ("eval_interval",),
    "n_eval_episodes": ("eval_episodes", "episodes"),
    "n_episodes": ("episodes",),
    "save_freq": ("checkpoint_interval",),
    "save_interval": ("checkpoint_interval",),
    "log_freq": ("log_interval",),
    "exp_name": ("run_dir",),
    "log_dir": ("run_dir",),
    "logdir": ("run_dir",),
    "log_folder": ("run_dir",),
    "log_path": ("run_dir",),
    "save_path": ("run_dir",),
    "save_dir": ("run_dir",),
    "folder": ("run_dir",),
    "load": ("resume", "init_from"),
    "load_path": ("resume", "init_from"),
    "trained_agent": ("resume", "init_from"),
    "pretrained": ("init_from",),
    "stochastic": ("sampled", "eval_sampled"),
    "capture_video": ("record",),
    "video": ("record",),
    "n_trials": ("trials",),
    "n_jobs": ("jobs",),
    "study_name": ("study_dir",),
    "verbose": ("no_progress", "progress=False"),
    "progress_bar": ("progress",),
    "tb_log_name": ("run_dir",),
    "callback": ("callbacks",),
    # arguments of functions
    "model": ("agent",),
    "obs": ("observations",),
    "observation": ("observations",),
    "action_masks": ("action_mask",),
    "lstm_states": ("state",),
}

_ATARI = "Atari games have it by their protocol: 4 frames an action, 84 x 84 pixels, up to 30 frames without action"

# For names that no single name of ours replaces: the names of which one must be there, and a text, with that one as {}.
_ADVICE: dict[str, tuple[tuple[str, ...], str]] = {
    "atari_wrapper": ((), "--env ALE/Pong-v5 plays a game by the protocol of Atari games"),
    "full_action_space": ((), "--env-kwargs full_action_space=true"),
    **dict.fromkeys(("noop_max", "noops", "frame_skip", "frameskip", "action_repeat", "screen_size"), ((), _ATARI)),
    "capture_video": (
        (),
        "VisualDL shows frames of an episode after each evaluation, and evaluate RUN --record FILE writes a video",
    ),
    "render": ((), "evaluate RUN --render shows episodes of a trained policy in a window"),
    "play": ((), "evaluate RUN --render shows episodes of a trained policy in a window"),
    "optimize_hyperparameters": ((), "the command tune searches hyper-parameters"),
    "torch_deterministic": ((), "runs with the same seed are the same"),
    "deterministic": (
        ("generator", "sampled", "eval_sampled"),
        "leave it out: actions are the most probable ones, unless {} draws them",
    ),
    "episode_start": (("state",), "write zeros to the rows of {} where an episode starts"),
    "mask": (("action_mask",), "write zeros to the rows of state where an episode starts; {} excludes actions"),
    "env": (("checkpoint",), "environments come from the configuration of the agent or the run"),
    "reset_num_timesteps": ((), "train starts a run, and resume continues one"),
}

_TRAIN = (
    "paddle_ac.train(algo=..., env=..., total_steps=...) trains in a run folder, agent.update() a rollout at a time"
)
_MAKE_ENVS = "agents make their environments themselves: num_envs=8, vec='subproc' or 'serial'"

# Names that are looked for in the package or in an agent, and what does the same.
_CALLS = {
    # of the package
    "recurrentppo": "paddle_ac.make('ppo', env, recurrent='lstm')",
    "maskableppo": "paddle_ac.make('ppo', env, action_masks=True)",
    "ppo2": "paddle_ac.make('ppo', env)",
    **dict.fromkeys(
        ("acer", "acktr", "ars", "crossq", "her", "qrdqn", "tqc", "trpo"),
        f"the algorithms are {', '.join(CONFIGS)}, as in paddle_ac.make('a2c', env)",
    ),
    "evaluate_policy": "paddle_ac.evaluate(agent, episodes=100)",
    **dict.fromkeys(("make_vec_env", "vecenv", "dummyvecenv", "subprocvecenv"), _MAKE_ENVS),
    "make_atari_env": "env='ALE/Pong-v5', num_envs=16: Atari games have their wrappers already",
    "vecnormalize": "normalize_observations=True, normalize_rewards=True",
    "vecframestack": "frame_stack=4",
    "monitor": "returns and lengths of episodes are always recorded",
    "vecmonitor": "returns and lengths of episodes are always recorded",
    "basecallback": "paddle_ac.Callback",
    "evalcallback": "eval_interval=..., eval_episodes=...",
    "checkpointcallback": "checkpoint_interval=...",
    "stoptrainingonrewardthreshold": "stop_at_return=...",
    # of an agent
    **dict.fromkeys(("learn", "train", "fit"), _TRAIN),
    "act": "agent.predict(observations)",
    "select_action": "agent.predict(observations)",
    "get_action": "agent.predict(observations)",
    "evaluate": "paddle_ac.evaluate(agent, episodes=100)",
    "load": "paddle_ac.load(path)",
    "set_env": "paddle_ac.make(..., init_from=path) starts an agent in another environment",
    "get_env": "agent.observation_space and agent.action_space are those of its environments",
    "get_parameters": "agent.policy.parameter_arrays()",
    "set_parameters": "agent.policy.load_parameters(...), or init_from=path of a new agent",
    "num_timesteps": "agent.env_steps",
}


def hint_of_call(name: str) -> str:
    """The call of this package in place of a name of another library in Python; empty for other names."""
    key = _plain(name)
    return f"paddle_ac.make({key!r}, env)" if key in CONFIGS else _CALLS.get(key, "")


def explain_arguments(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Let a function of the package answer an argument of another library with the name to write instead.

    Without a hint, Python or the configuration reports the unknown argument.
    """
    parameters = inspect.signature(function).parameters.values()
    known = [parameter.name for parameter in parameters if parameter.kind is not parameter.VAR_KEYWORD]
    takes_hyper_parameters = len(known) < len(parameters)

    @functools.wraps(function)
    def call(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        for name in kwargs:
            if name in known or (takes_hyper_parameters and _is_hyper_parameter(name)):
                continue
            hint = hint_of_other_library(name, known)
            if hint:
                error = ConfigError if takes_hyper_parameters else TypeError
                raise error(f"{function.__name__} takes no argument {name!r}{hint}")
        return function(*args, **kwargs)

    return call


def _is_hyper_parameter(name: str) -> bool:
    return any(name in config_class.model_fields for config_class in CONFIGS.values())


def hint_of_other_library(name: str, known: Iterable[str]) -> str:
    """Hint at what to write instead of a name of another library, to end an error message; empty for other names.

    Args:
        name: a hyper-parameter, an argument or a flag, such as ``"ent_coef"`` or ``"--ent-coef"``.
        known: the names that may be written, in the same form.
    """
    key = _plain(name)
    spelling = {_plain(known_name): known_name for known_name in known}
    ours = (candidate.partition("=") for candidate in _OURS.get(key, ()))
    found = [f"'{spelling[ours_name]}{equals}{value}'" for ours_name, equals, value in ours if ours_name in spelling]
    if found:
        last = f" or {found[-1]}" if len(found) > 1 else found[-1]
        return f" (did you mean {', '.join(found[:-1])}{last}?)"
    needed, advice = _ADVICE.get(key, ((), ""))
    there = [spelling[ours_name] for ours_name in needed if ours_name in spelling]
    return f": {advice.format(*there)}" if advice and (there or not needed) else ""


def _plain(name: str) -> str:
    return name.lstrip("-").replace("-", "_").lower()
