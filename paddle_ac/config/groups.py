"""The groups of hyper-parameters that configurations are composed of.

Every group stands by itself: none derives from another, and no two of a configuration declare the same field. A
property of a group answers for all configurations that have it; its answer without the group is in ``base.py``.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, model_validator

from paddle_ac.config.fields import (
    LARGEST_SEED,
    Arguments,
    Device,
    LayerSizes,
    NetworkPlace,
    PathText,
    Wrappers,
    Writers,
    field,
)
from paddle_ac.cores import default_num_workers
from paddle_ac.errors import quoted
from paddle_ac.nn.images import parse_conv_layers

# Hyper-parameters that describe a built-in network, and mean nothing to one of the user's own.
BUILT_IN_NETWORK = {
    "encoder",
    "conv_layers",
    "hidden_sizes",
    "activation",
    "shared_torso",
    "initialization",
    "state_dependent_std",
    "initial_log_std",
    "recurrent",
    "recurrent_size",
}

LEARNING_RATES = {"low": 1e-5, "high": 1e-2, "log": True}  # that are searched for off-policy algorithms
Schedule = Literal["constant", "linear", "step"]
SynchronousOptimizer = Literal["rmsprop", "rmsprop_torch", "adam"]
SharedOptimizer = Literal["shared_rmsprop", "rmsprop", "shared_rmsprop_torch", "shared_adam"]
OPTIMIZERS = (
    "TF-style RMSProp (mean square starts at 1, epsilon inside the root), PyTorch's RMSProp (starts at 0, epsilon "
    "outside), or Adam"
)


class Group(BaseModel):
    """Hyper-parameters that belong together."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    def __hash__(self) -> int:
        return hash(self.model_dump_json())  # a dictionary, such as env_kwargs, has no hash


class RunGroup(Group):
    """Algorithm, environment and length of a run. Steps are steps of single environments, summed over all of them."""

    algo: str
    env: str = field(
        "run",
        "CartPole-v1",
        "environment: a Gymnasium id, module:id, module:name of a class or function, or gym:id for one of classic gym",
        min_length=1,
        max_length=200,
    )
    env_kwargs: Arguments = field(
        "run",
        {},
        "arguments of the environment, as name=value with values as in YAML; max_episode_steps is its time limit",
    )
    wrappers: Wrappers = field(
        "run",
        (),
        "a wrapper around each environment, module:Class or module:Class(name=value); given several times, the first "
        "is the innermost",
    )
    frame_stack: int = field(
        "run",
        1,
        "last observations that the policy sees; frames of an image become its channels (Atari games: 4)",
        ge=1,
        le=1000,
    )
    action_masks: bool = field(
        "run",
        False,
        "take only the actions that info['action_mask'] or the method action_masks() of the environment allows",
    )
    seed: int = field("run", 0, "seed of parameters, actions and environments", ge=0, le=LARGEST_SEED)
    total_steps: int = field("run", 500_000, "steps to train for", ge=1, changeable=True)
    init_from: PathText | None = field(
        "run",
        None,
        "start from the parameters and the normalisation of this run folder, or of a file of agent.save",
        min_length=1,
        max_length=4096,
    )
    num_threads: int = field(
        "run",
        1,
        "threads of this process's matrix products: small networks take no more, workers want the cores (Atari games: "
        "as many as cores, up to 4, where one process learns)",
        ge=1,
        le=1024,
    )


class AtariGroup(Group):
    """Options of the protocol of Atari games; its fixed part is in ``envs/atari.py``."""

    sticky_actions: float = field(
        "run",
        0.0,
        "Atari games: probability that a frame repeats the action before (Machado et al. 2018, ALE's v5: 0.25)",
        ge=0,
        lt=1,
    )
    terminal_on_life_loss: bool = field(
        "run", True, "Atari games: losing a life ends the episode in training; returns are still of whole games"
    )
    fire_on_reset: bool = field(
        "run", False, "Atari games: press FIRE in the first frame of a game that has such an action"
    )


class EvaluationGroup(Group):
    """Evaluation and logging."""

    eval_interval: int = field("evaluation and logging", 25_000, "steps between two evaluations", ge=1, changeable=True)
    eval_episodes: int = field(
        "evaluation and logging",
        20,
        "episodes in an evaluation, on environments of its own",
        ge=1,
        changeable=True,
    )
    eval_sampled: bool = field(
        "evaluation and logging",
        False,
        "evaluations draw the actions from the policy, rather than take the most probable ones",
        changeable=True,
    )
    stop_at_return: float | None = field(
        "evaluation and logging",
        None,
        "stop when the mean return of an evaluation reaches this [never]",
        changeable=True,
    )
    log_to: Writers = field(
        "evaluation and logging",
        (),
        "write the curves also to tensorboard, wandb or both, as in tensorboard,wandb [VisualDL and CSV only]",
        changeable=True,
    )
    eval_max_steps: int = field(
        "evaluation and logging",
        10_000,
        "steps after which an evaluation's episode is cut (Atari games: 27,000, their own limit)",
        ge=1,
        changeable=True,
    )
    log_interval: int = field("evaluation and logging", 2_000, "steps between two points of a curve", ge=1)
    checkpoint_interval: int = field(
        "evaluation and logging", 50_000, "steps between two checkpoints", ge=1, changeable=True
    )


class VectorEnvGroup(Group):
    """Environments that are stepped side by side."""

    num_envs: int = field("run", 8, "environments side by side (rl-baselines3-zoo, A2C: 8)", ge=1)
    vec: Literal["auto", "serial", "subproc", "ray", "native", "envpool"] = field(
        "run",
        "auto",
        "environments one by one in this process, in worker processes, in workers on a Ray cluster (that of "
        "RAY_ADDRESS, else one on this machine), vectorised by their maker (native) or of envpool (ids of its own); "
        "auto takes what is fastest on this machine, as measured",
        changeable=True,
    )
    num_workers: int | None = field(
        "run",
        None,
        "worker processes of subproc, workers of ray, threads of envpool; must divide num_envs [as many as cores "
        "allow; ray: num_envs]",
        ge=1,
        le=1024,
        changeable=True,
    )
    step_timeout: float = field(
        "run", 60.0, "seconds after which a worker that gives no answer is stuck", gt=0, le=1e6, changeable=True
    )
    start_timeout: float = field(
        "run",
        600.0,
        "seconds that workers may take to start and to make their environments",
        gt=0,
        le=1e6,
        changeable=True,
    )

    resume_episodes: Literal["replay", "new"] = field(
        "run",
        "replay",
        "what a resumed run does with episodes that were running: replay them, which continues the run exactly, or "
        "begin new ones, for environments that do not repeat themselves",
        changeable=True,
    )

    @model_validator(mode="after")
    def _workers_divide_environments(self) -> VectorEnvGroup:
        if self.num_workers is not None and self.num_envs % self.num_workers:
            raise ValueError(f"num_workers={self.num_workers} must divide num_envs={self.num_envs}")
        return self

    @property
    def vector_envs(self) -> VectorEnvGroup:
        """This group."""
        return self

    @property
    def num_other_workers(self) -> int:
        """Worker processes, or threads of envpool, that step the environments; 0 if this process does."""
        if self.vec not in ("subproc", "ray", "envpool"):
            return 0
        return self.num_workers or self.default_num_workers(self.num_envs)

    def default_num_workers(self, num_envs: int) -> int:
        """The number of workers for ``num_envs`` environments, such as those of an evaluation, that have no flag.

        The cores of this machine limit only workers that run on it. On a cluster, there are no more than in training.
        """
        limit = (self.num_workers or self.num_envs) if self.vec == "ray" else None
        return default_num_workers(num_envs, limit)


class ScalingGroup(Group):
    """Scaling of observations and rewards; rewards are normalised, then scaled, then clipped."""

    reward_scale: float = field("algorithm", 1.0, "what rewards are multiplied by before they are learned from", gt=0)
    reward_clip: float | None = field(
        "algorithm",
        None,
        "largest reward, either way, that is learned from, after the scaling [no limit; Atari games: 1]",
        gt=0,
    )

    normalize_observations: bool = field(
        "algorithm", False, "Box observations by their running mean and deviation, kept with the model"
    )
    normalize_rewards: bool = field(
        "algorithm",
        False,
        "rewards by the running deviation of the discounted return",
        search=[False, True],
    )


class ValueLossGroup(Group):
    """The loss of value estimates."""

    gamma: float = field(
        "algorithm",
        0.99,
        "discount factor (Mnih et al. 2016, baselines: 0.99)",
        ge=0,
        le=1,
        search=[0.9, 0.95, 0.98, 0.99, 0.995, 0.999],
    )
    critic_loss: Literal["squared", "smooth_l1"] = field(
        "algorithm", "squared", "the critic's loss: squared error, or smooth L1 (half of it up to 1, linear beyond)"
    )


class LossGroup(Group):
    """The weights of the actor-critic loss."""

    value_coef: float = field(
        "algorithm",
        0.5,
        "weight of the critic's loss in the total (baselines: 0.5)",
        ge=0,
        search={"low": 0.1, "high": 1.0},
    )
    entropy_coef: float = field(
        "algorithm",
        0.001,
        "weight of the entropy bonus in the total (baselines: 0.01; measured: 0.001)",
        ge=0,
        search={"low": 1e-5, "high": 1e-1, "log": True},
    )


class EncoderGroup(Group):
    """Image encoder of the built-in networks."""

    encoder: Literal["auto", "mlp", "a3c", "nature", "impala", "small"] = field(
        "network",
        "auto",
        "convolutions for images: of the A3C paper, of Nature's DQN, of IMPALA, or one for grids of cells; mlp "
        "flattens images; auto takes nature where images are large enough, else small",
    )
    conv_layers: str | None = field(
        "network", None, "convolutions as channels x kernel x stride, such as 32x8x4,64x4x2 [those of encoder]"
    )

    @model_validator(mode="after")
    def _conv_layers_replace_the_encoder(self) -> EncoderGroup:
        if self.conv_layers is not None:
            if self.encoder != "auto":
                raise ValueError(f"conv_layers={self.conv_layers} replaces the encoder: leave out {self.encoder}")
            try:
                parse_conv_layers(self.conv_layers)
            except ValueError as error:
                raise ValueError(f"conv_layers: {error}, got {quoted(self.conv_layers)}") from None
        return self


class NetworkGroup(Group):
    """The network: a built-in one, or a layer of the user's own."""

    hidden_sizes: LayerSizes | None = field(
        "network",
        None,
        "units of each hidden layer, as in 64,64 [64,64 (baselines); for images those of the encoder's paper: 256 of "
        "a3c and impala, 512 of nature, 128 of small]",
    )
    activation: Literal["tanh", "relu"] | None = field(
        "network", None, "activation of the hidden layers [tanh (baselines), relu for images]"
    )
    initialization: Literal["orthogonal", "xavier"] = field(
        "network",
        "orthogonal",
        "initial weights (orthogonal: gain sqrt 2 hidden, 0.01 policy, 1 values and Q values, as baselines)",
    )

    network: NetworkPlace | None = field(
        "network", None, "a network of your own, module:Class of a paddle.nn.Layer [the built-in one]"
    )
    network_kwargs: Arguments = field("network", {}, "arguments of network, as name=value with values as in YAML")
    backend: Literal["auto", "numpy", "paddle"] = field(
        "network",
        "auto",
        "what networks compute with; auto takes numpy for built-in networks on the CPU, else paddle",
        changeable=True,
    )
    device: Device = field("network", "cpu", "device of the paddle backend: cpu, gpu, gpu:N or xpu", changeable=True)

    @model_validator(mode="after")
    def _network_options_are_of_one_kind(self) -> NetworkGroup:
        if self.network is None:
            if self.network_kwargs:
                raise ValueError("network_kwargs: are arguments of a network of your own, and no network is given")
            if self.backend == "numpy" and self.device != "cpu":
                raise ValueError(f"backend=numpy computes on the CPU only, not on device={self.device}")
            return self
        for name in BUILT_IN_NETWORK & type(self).model_fields.keys():
            if getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"{name} is of built-in networks; one of your own takes arguments by network_kwargs")
        if self.backend == "numpy":
            raise ValueError("backend=numpy knows built-in networks only: network takes paddle or auto")
        return self

    @property
    def uses_paddle(self) -> bool:
        """Whether networks compute with Paddle."""
        if self.backend == "auto":
            return self.network is not None or self.device != "cpu"
        return self.backend == "paddle"


class ActorCriticNetworkGroup(Group):
    """The parts of a built-in network that only a policy and a critic have."""

    shared_torso: bool | None = field(
        "network",
        None,
        "actor and critic share their hidden layers [for images]; image encoders are always shared",
    )
    state_dependent_std: bool = field(
        "network", False, "Box actions: the actor outputs their deviation, rather than one parameter of each"
    )
    initial_log_std: float = field(
        "network", 0.0, "Box actions: initial logarithm of their standard deviation, in halves of the Box", ge=-20, le=2
    )


class QNetworkGroup(Group):
    """The head of a network of Q values."""

    dueling: bool = field(
        "network",
        False,
        "Q values as V + A - mean A, from two streams of hidden layers behind the image encoder (Wang et al. 2016)",
        search=[False, True],
    )

    @property
    def q_head(self) -> str:
        """Kind of the head, as in ``NetworkDescription``."""
        return "dueling" if self.dueling else "plain"


class TargetNetworkGroup(Group):
    """The target network of Q-learning."""

    target_interval: int = field(
        "algorithm",
        128,
        "gradient steps between two updates of the target network",
        ge=1,
        search={"low": 10, "high": 10_000, "log": True},
    )
    tau: float = field(
        "algorithm", 1.0, "step of the target network towards the network that learns; 1 copies it", gt=0, le=1
    )


class TemperatureGroup(Group):
    """The temperature alpha of an algorithm that learns it, and that is the weight of the entropy."""

    auto_alpha: bool = field("algorithm", True, "learn the temperature alpha, rather than keep it at init_alpha")
    init_alpha: float = field(
        "algorithm", 1.0, "weight of the entropy, at first or for good (Stable-Baselines3: 1)", gt=0, le=1e6
    )


class EpsilonGroup(Group):
    """Epsilon-greedy exploration: epsilon falls linearly, then stays."""

    initial_epsilon: float = field(
        "algorithm", 1.0, "probability of a random action at first (Mnih et al. 2015: 1)", ge=0, le=1
    )
    final_epsilon: float = field(
        "algorithm",
        0.04,
        "probability of a random action in the end, and in sampled evaluations",
        ge=0,
        le=1,
        search={"low": 0.01, "high": 0.2},
    )
    exploration_fraction: float = field(
        "algorithm",
        0.16,
        "part of the run in which epsilon falls",
        ge=0,
        le=1,
        search={"low": 0.05, "high": 0.5},
    )

    @model_validator(mode="after")
    def _epsilon_falls(self) -> EpsilonGroup:
        if self.final_epsilon > self.initial_epsilon:
            raise ValueError(
                f"final_epsilon={self.final_epsilon} must be at most initial_epsilon={self.initial_epsilon}"
            )
        return self


class OptimizerGroup(Group):
    """Gradient steps and the schedule of their learning rate."""

    learning_rate: float = field(
        "optimizer",
        7e-4,
        "initial learning rate (baselines A2C: 7e-4)",
        gt=0,
        le=100,
        search={"low": 1e-4, "high": 5e-2, "log": True},
    )
    lr_schedule: Schedule = field(
        "optimizer",
        "step",
        "constant, linear to 0 over lr_decay_steps, or times lr_decay_factor every lr_decay_steps",
        search=["constant", "linear", "step"],
    )
    lr_decay_steps: int | None = field(
        "optimizer",
        None,
        "steps that the schedule counts in [the whole run for linear, 25000 for step]",
        ge=1,
        changeable=True,
    )
    lr_decay_factor: float = field("optimizer", 0.92, "factor of the step schedule (0.92 in the tutorial)", gt=0, le=1)
    optimizer_epsilon: float = field("optimizer", 1e-5, "epsilon of the optimiser (baselines: 1e-5)", gt=0)
    rmsprop_decay: float = field("optimizer", 0.99, "decay of RMSProp's mean square (A3C, baselines: 0.99)", ge=0, lt=1)
    max_grad_norm: float = field(
        "optimizer",
        0.5,
        "largest norm of the gradient (baselines: 0.5)",
        gt=0,
        search={"low": 0.3, "high": 5.0, "log": True},
    )


class SynchronousOptimizerGroup(Group):
    """The optimiser of the algorithms with one learner."""

    optimizer: SynchronousOptimizer = field("optimizer", "rmsprop", OPTIMIZERS)


class RolloutGroup(Group):
    """Rollouts of a fixed length."""

    num_steps: int = field(
        "algorithm",
        5,
        "rollout length T: steps of each environment between two updates (baselines: 5)",
        ge=1,
        search={"low": 4, "high": 128, "log": True},
    )
    gae_lambda: float = field(
        "algorithm",
        1.0,
        "lambda of generalised advantage estimation (arXiv:1506.02438); 1: n-step returns",
        ge=0,
        le=1,
        search=[0.0, 0.8, 0.9, 0.95, 0.98, 1.0],
    )

    @property
    def advantage_lambda(self) -> float:
        """``gae_lambda``."""
        return self.gae_lambda


class ReplayGroup(Group):
    """Off-policy learning from a replay buffer."""

    buffer_size: int = field("algorithm", 1_000_000, "transitions that the replay buffer holds (SAC: 1e6)", ge=1)
    batch_size: int = field(
        "algorithm", 256, "transitions in a gradient step (SAC: 256)", ge=1, search=[64, 128, 256, 512]
    )
    learning_starts: int = field(
        "algorithm", 100, "steps with uniform actions before anything is learned (Stable-Baselines3: 100)", ge=0
    )
    num_step_returns: int = field(
        "algorithm",
        1,
        "rewards in a return before it is bootstrapped from the values of a later observation (Rainbow: 3)",
        ge=1,
        le=1000,
        search=[1, 3, 5],
    )


class GradientRoundsGroup(Group):
    """Number of gradient steps in a round, and steps between two rounds."""

    train_freq: int = field(
        "algorithm", 1, "steps of each environment between two rounds of gradient steps (SAC: 1)", ge=1
    )
    gradient_steps: int = field("algorithm", 1, "gradient steps in a round (SAC: 1)", ge=1)


class PriorityGroup(Group):
    """Prioritised sampling from a replay buffer (Schaul et al. 2016, arXiv:1511.05952)."""

    prioritized: bool = field("algorithm", False, "sample transitions in proportion to their TD errors")
    priority_exponent: float = field(
        "algorithm", 0.6, "prioritized: exponent of the errors, 0 samples uniformly (the paper: 0.6)", ge=0, le=1
    )
    importance_exponent: float = field(
        "algorithm",
        0.4,
        "prioritized: exponent of the importance weights, linear to 1 over the run (the paper: 0.4)",
        ge=0,
        le=1,
    )

    @property
    def priorities(self) -> PriorityGroup | None:
        """This group if transitions are sampled by priority, else ``None``."""
        return self if self.prioritized else None


class ContinuousActionsGroup(Group):
    """An actor of continuous actions and critics of actions, each with an optimiser of its own."""

    gamma: float = field(
        "algorithm",
        0.99,
        "discount factor (the papers: 0.99)",
        ge=0,
        le=1,
        search=[0.9, 0.95, 0.98, 0.99, 0.995, 0.999],
    )
    tau: float = field(
        "algorithm",
        0.005,
        "step of the target networks towards the networks that learn (SAC, TD3: 0.005; DDPG: 0.001)",
        gt=0,
        le=1,
        search={"low": 1e-3, "high": 5e-2, "log": True},
    )
    noise_correlation: float = field(
        "algorithm",
        0.0,
        "correlation of an action's noise with that of the step before (SAC, TD3: 0; more explores further)",
        ge=0,
        lt=1,
    )
    hidden_sizes: LayerSizes = field(
        "network", (256, 256), "units of each hidden layer, as in 64,64 (SAC and the code of TD3's authors)"
    )
    activation: Literal["tanh", "relu"] = field("network", "relu", "activation of the hidden layers (the papers: relu)")
    actor_learning_rate: float = field(
        "optimizer", 3e-4, "learning rate of the actor (SAC)", gt=0, le=100, search=LEARNING_RATES
    )
    critic_learning_rate: float = field(
        "optimizer", 3e-4, "learning rate of the critics (SAC)", gt=0, le=100, search=LEARNING_RATES
    )


class DeterministicPolicyGroup(Group):
    """A deterministic policy that follows the gradient of its critics. Noise is in halves of the Box of actions."""

    num_critics: int = field(
        "algorithm", 2, "critics; targets take the smallest of their values (TD3: 2, DDPG: 1)", ge=1, le=100
    )
    policy_delay: int = field(
        "algorithm",
        2,
        "gradient steps of the critics for each of the actor and of the target networks (TD3: 2, DDPG: 1)",
        ge=1,
        search=[1, 2, 4],
    )
    target_noise: float = field(
        "algorithm",
        0.2,
        "deviation of the noise on the target policy's actions (TD3: 0.2, DDPG: 0)",
        ge=0,
        search={"low": 0.05, "high": 0.5},
    )
    target_noise_clip: float = field(
        "algorithm", 0.5, "largest noise on the target policy's actions, either way (TD3: 0.5)", ge=0
    )
    action_noise: float = field(
        "algorithm",
        0.1,
        "deviation of the noise that explores (TD3: 0.1)",
        ge=0,
        search={"low": 0.03, "high": 0.5, "log": True},
    )


class MemoryGroup(Group):
    """A recurrent layer."""

    recurrent: Literal["none", "lstm", "gru"] = field(
        "network", "none", "a layer after the hidden ones that remembers the episode (A3C-LSTM)"
    )
    recurrent_size: int = field("network", 64, "units of the recurrent layer", ge=1, le=65_536)

    @property
    def memory(self) -> tuple[str, int]:
        """Kind and units of the recurrent layer."""
        return self.recurrent, self.recurrent_size


class ActorLearnersGroup(Group):
    """Worker processes that play and learn, on shared parameters."""

    num_workers: int = field(
        "run", 2, "worker processes, each with environments and a copy of the network", ge=1, le=1024
    )
    num_envs: int = field("run", 1, "environments of each worker", ge=1)
    restart_workers: bool = field(
        "run", False, "replace a worker that was killed or is stuck, rather than stop", changeable=True
    )
    step_timeout: float = field(
        "run", 60.0, "seconds without a step after which a worker is stuck", gt=0, le=1e6, changeable=True
    )
    lock: bool = field(
        "run", False, "let one worker write at a time; without, they write as they come (Hogwild)", changeable=True
    )

    optimizer: SharedOptimizer = field(
        "optimizer",
        "shared_rmsprop",
        "statistics shared by the workers (RMSProp: the paper's best; PyTorch's RMSProp; Adam), or one set per worker",
    )

    @property
    def num_other_workers(self) -> int:
        """``num_workers``."""
        return self.num_workers


class AsyncQGroup(Group):
    """Rollouts, target network and exploration of asynchronous Q-learning."""

    num_steps: int = field(
        "algorithm",
        5,
        "steps of each environment between two updates: I_AsyncUpdate and t_max of the paper (both 5)",
        ge=1,
        search=[5, 10, 20, 40],
    )
    target_interval: int = field(
        "algorithm",
        2_000,
        "steps of all workers between two replacements of the target network (the paper: 10,000; measured: 2,000)",
        ge=1,
        search={"low": 100, "high": 20_000, "log": True},
    )
    exploration_steps: int = field(
        "algorithm",
        150_000,
        "steps of all workers in which epsilon falls from 1 to a final one of each environment (the paper: 1 million; "
        "measured: 150,000)",
        ge=0,
        search={"low": 5_000, "high": 200_000, "log": True},
    )


class GradientDroppingGroup(Group):
    """Gradients that a learner of a cluster drops (Nair et al. 2015, arXiv:1507.04296, "Stability")."""

    max_loss_deviations: float = field(
        "run",
        5.0,
        "cluster: drop a gradient whose loss exceeds its running mean by more than this many standard deviations (the "
        "paper: several)",
        gt=0,
    )


class ClusterGroup(Group):
    """Training on the machines of a Ray cluster."""

    cluster: str | None = field(
        "run",
        None,
        "train on a Ray cluster: auto for the one that this machine belongs to, or host:port of its head [this "
        "machine alone]",
        min_length=1,
        max_length=200,
        changeable=True,
    )
    num_nodes: int = field(
        "run",
        1,
        "cluster: nodes, each with a bundle: workers of A3C, or a learner of DQN with environments and a replay buffer",
        ge=1,
        le=1024,
        changeable=True,
    )
    min_nodes: int | None = field(
        "run",
        None,
        "cluster: fewest nodes that the run starts and continues with [num_nodes]",
        ge=1,
        le=1024,
        changeable=True,
    )
    num_servers: int = field(
        "run", 1, "cluster: shards of the parameter server, each on a node of its own", ge=1, le=64, changeable=True
    )
    push_interval: int = field(
        "run", 100, "cluster: updates of a bundle between two exchanges with the parameter server", ge=1
    )
    push_dtype: Literal["float32", "float16"] = field(
        "run", "float32", "cluster: numbers in which changes of parameters are sent"
    )
    max_staleness: int | None = field(
        "run",
        None,
        "cluster: drop a push that has missed this many more pushes of other bundles than those of its bundle usually "
        "do (Nair et al. 2015) [10 for each node]",
        ge=0,
        changeable=True,
    )
    node_timeout: float = field(
        "run",
        60.0,
        "cluster: seconds without an answer after which a bundle or a parameter server is lost",
        ge=3,
        le=1e6,
        changeable=True,
    )

    @model_validator(mode="after")
    def _cluster_options_are_of_a_cluster(self) -> ClusterGroup:
        fields = type(self).model_fields
        for name in (*ClusterGroup.model_fields, *(GradientDroppingGroup.model_fields.keys() & fields)):
            if self.cluster is None and getattr(self, name) != fields[name].default:
                raise ValueError(f"{name}: is for a cluster: give cluster=auto, or host:port of its head, too")
        if self.min_nodes is not None and self.min_nodes > self.num_nodes:
            raise ValueError(f"min_nodes={self.min_nodes} must be at most num_nodes={self.num_nodes}")
        return self

    @property
    def cluster_address(self) -> str | None:
        """``cluster``."""
        return self.cluster
