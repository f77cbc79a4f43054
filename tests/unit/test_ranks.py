"""Ranks of a synchronous training, in threads: they learn what one process with all their environments learns."""

from __future__ import annotations

import signal
import socket
import struct
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress
from pathlib import Path
from queue import SimpleQueue

import numpy as np
import pytest

from paddle_ac.commands import train
from paddle_ac.config import make_config
from paddle_ac.errors import CheckpointError, ConfigError, RankError
from paddle_ac.nn.moments import RunningMoments
from paddle_ac.processes import linked_ranks
from paddle_ac.processes import links as links_module
from paddle_ac.processes.linked_ranks import LinkedRanks
from paddle_ac.processes.links import Links, Place, place_of_launch
from paddle_ac.processes.ranks import ALONE, BY_PROGRAM
from paddle_ac.registry import ALGORITHMS
from paddle_ac.training.followers import check_ranks, make_algorithm, state_of_rank
from tests.tool_calls import run_main

SECONDS = 20  # after which a thread that waits for another one gives up


class QueueLinks:
    """``Links`` between threads; only what an update needs."""

    def __init__(self, rank, num_ranks, queues):
        self.rank, self.num_ranks, self.queues = rank, num_ranks, queues
        self.others = range(1, num_ranks) if rank == 0 else [0]

    def send(self, rank, kind, data=b""):
        self.queues[self.rank].put((kind, data))

    def receive(self, rank, timeout):
        return self.queues[rank].get(timeout=SECONDS)


def in_ranks(num_ranks, function):
    """What a function of ``LinkedRanks`` returns in each rank, each in a thread of its own."""
    queues = [SimpleQueue() for _ in range(num_ranks)]
    barrier, arrays = threading.Barrier(num_ranks, timeout=SECONDS), [None] * num_ranks

    def run(rank):
        ranks = LinkedRanks(QueueLinks(rank, num_ranks, queues))

        def sum_in_place(array):
            arrays[rank] = array.copy()
            barrier.wait()
            array[...] = sum(arrays[1:], arrays[0])
            barrier.wait()

        ranks._all_reduce = sum_in_place
        return function(ranks)

    with ThreadPoolExecutor(num_ranks) as pool:
        return list(pool.map(run, range(num_ranks)))


def state_after(config, num_updates, ranks=ALONE):
    """What an agent has learned after some updates, and their metrics."""
    with ALGORITHMS[config.algo].from_config(config, ranks) as agent:
        metrics = [agent.update() for _ in range(num_updates)]
        state = agent.state_dict()
        return {**state, "gradient": agent.learner.gradient.copy()}, metrics


def flat(values, path=""):
    """Nested dictionaries as one, by path."""
    if not isinstance(values, dict):
        return {path: values}
    return {key: value for name, part in values.items() for key, value in flat(part, f"{path}/{name}").items()}


CASES = {
    "a2c": {"algo": "a2c", "num_steps": 8},
    "a2c, 3 ranks": {"algo": "a2c", "num_steps": 8, "num_ranks": 3},
    "a2c, LSTM": {"algo": "a2c", "num_steps": 8, "recurrent": "lstm", "recurrent_size": 8},
    "a2c, Box": {"algo": "a2c", "num_steps": 8, "env": "Pendulum-v1"},
    "paac": {"algo": "paac", "learning_rate": 0.01},
    "td_ac": {"algo": "td_ac"},
    "q_ac": {"algo": "q_ac"},
    "ppo": {"algo": "ppo", "num_steps": 16, "num_epochs": 3, "minibatch_size": 32},
    "ppo, LSTM": {"algo": "ppo", "num_steps": 16, "minibatch_size": 32, "recurrent": "lstm", "recurrent_size": 8},
    "ppo, early stop": {"algo": "ppo", "num_steps": 16, "num_epochs": 10, "minibatch_size": 32, "target_kl": 1e-4},
}


@pytest.mark.parametrize("case", CASES)
def test_update_of_ranks_equals_one_process_with_all_environments(case):
    values = {"num_ranks": 2, "vec": "serial", "hidden_sizes": (8,), "num_envs": 2, **CASES[case]}
    num_ranks = values.pop("num_ranks")
    if values["algo"] != "ppo":
        values.update(normalize_observations=True, normalize_rewards=True)
    of_all = {name: values[name] * num_ranks for name in ("num_envs", "minibatch_size") if name in values}
    expected, metrics = state_after(make_config({**values, **of_all}), 6)
    together = in_ranks(num_ranks, lambda ranks: state_after(make_config(values), 6, ranks))

    found, found_metrics = together[0]
    for state, _ in together:
        for name in ("env_steps", "num_updates", "generator"):
            assert state[name] == expected[name], name
        for name in ("parameters", "encoder", "optimizer", "gradient"):
            for path, array in flat(state[name]).items():
                np.testing.assert_array_equal(array, flat(found[name])[path], err_msg=f"ranks differ in {name}{path}")
        for name in ("parameters", "encoder", "gradient"):
            for path, array in flat(expected[name]).items():
                np.testing.assert_allclose(flat(state[name])[path], array, rtol=2e-4, atol=2e-6, err_msg=name + path)
        for path, array in flat(expected["reward_normalizer"].get("moments", {})).items():
            np.testing.assert_allclose(state["reward_normalizer"]["moments"][path[1:]], array, rtol=1e-8)
    if "target_kl" in values:
        assert expected["num_updates"] < 6 * values["num_epochs"], "an update ended early"
    observations = np.concatenate([state["collector"]["observations"] for state, _ in together])
    np.testing.assert_allclose(observations, expected["collector"]["observations"], rtol=1e-4, atol=1e-5)
    for one, other in zip(metrics, found_metrics, strict=True):
        assert sorted(one["charts/episode_return"]) == pytest.approx(sorted(other["charts/episode_return"]), rel=1e-5)
        for name in ("losses/actor", "losses/critic", "losses/entropy", "diagnostics/grad_norm"):
            assert other[name] == pytest.approx(one[name], rel=1e-3, abs=1e-4)


def test_minibatches_of_ranks_are_parts_of_one_order():
    num_envs, num_steps, num_ranks = 3, 4, 2
    order = np.random.default_rng(0).permutation(num_steps * num_envs * num_ranks)
    own = in_ranks(num_ranks, lambda ranks: ranks.own_rows(order, num_envs))
    for rank, rows in enumerate(own):
        assert sorted(rows) == list(range(num_steps * num_envs))
        steps, envs = np.divmod(rows, num_envs)
        as_rows_of_all = steps * num_envs * num_ranks + rank * num_envs + envs
        np.testing.assert_array_equal(as_rows_of_all, order[np.isin(order, as_rows_of_all)])


def test_moments_of_ranks_are_those_of_all_rows():
    rows = np.random.default_rng(0).normal(5, 3, (3, 7, 4))
    expected = RunningMoments((4,))
    expected.update(rows.reshape(-1, 4))
    expected.update(2 * rows.reshape(-1, 4))

    def run(ranks):
        moments = RunningMoments((4,))
        moments.pool = ranks.pool
        moments.update(rows[ranks.rank])
        moments.update(2 * rows[ranks.rank])
        return moments.state_dict()

    for found in in_ranks(3, run):
        assert found["count"] == 42
        np.testing.assert_allclose(found["mean"], expected.mean, rtol=1e-14)
        np.testing.assert_allclose(found["variance"], expected.variance, rtol=1e-14)


@pytest.mark.parametrize(
    "draw",
    [
        lambda generator, rows: generator.gumbel(size=(rows, 3)),
        lambda generator, rows: generator.logistic(size=(rows, 2)),
        lambda generator, rows: generator.standard_normal((rows, 4), np.float32),
    ],
)
def test_draws_of_ranks_are_rows_of_the_draws_of_one_process(draw):
    generator = np.random.default_rng(3)
    expected = [draw(generator, 6) for _ in range(3)]

    def draws(ranks):
        own = ranks.draw_rows(np.random.default_rng(3))
        return [draw(own, 2) for _ in range(3)]

    for step, rows in enumerate(zip(*in_ranks(3, draws), strict=True)):
        np.testing.assert_array_equal(np.concatenate(rows), expected[step])


@pytest.mark.parametrize("stop_request", [BY_PROGRAM, signal.SIGINT, signal.SIGTERM])
def test_all_ranks_stop_after_the_update_in_which_one_has_asked(stop_request):
    def run(ranks):
        vector, answers = ranks.zeros(5), []
        for update in range(3):
            answers.append(ranks.agree_to_stop(stop_request if ranks.rank == 1 and update == 1 else None))
            ranks.mean_in_place(vector, np.zeros(2))
        return [*answers, ranks.agree_to_stop(None)]

    assert in_ranks(2, run) == [[None, None, stop_request, stop_request]] * 2


def test_ranks_agree_on_one_of_two_requests():
    def run(ranks):
        ranks.agree_to_stop([BY_PROGRAM, signal.SIGTERM, signal.SIGTERM][ranks.rank])
        ranks.mean_in_place(ranks.zeros(5), np.zeros(2))
        return ranks.agree_to_stop(None)

    assert in_ranks(3, run) == [signal.SIGTERM] * 3


def test_request_of_rank_0_takes_effect_at_once_while_the_others_wait():
    ranks = LinkedRanks(QueueLinks(0, 2, []))
    assert ranks.agree_to_stop(None, others_wait=True) is None
    assert ranks.agree_to_stop(BY_PROGRAM, others_wait=False) is None
    assert ranks.agree_to_stop(BY_PROGRAM, others_wait=True) == BY_PROGRAM


def test_mean_in_place_averages_vector_and_figures():
    def run(ranks):
        vector = ranks.zeros(3)
        vector[:] = [ranks.rank, 1, -2 * ranks.rank]
        return vector, ranks.mean_in_place(vector, np.array([4.0 * ranks.rank, 1.0]))

    for vector, figures in in_ranks(2, run):
        np.testing.assert_array_equal(vector, np.float32([0.5, 1, -1]))
        np.testing.assert_array_equal(figures, [2.0, 1.0])


class SilentLinks:
    """Links of rank 1, which hear nothing of rank 0, or that it has failed."""

    rank, num_ranks = 1, 2

    def __init__(self, failure=None):
        self.failure = failure

    def raise_failure(self):
        if self.failure:
            raise self.failure


@pytest.mark.parametrize(
    ("links", "message"),
    [
        (SilentLinks(), r"^rank 1 cannot reach Paddle at 127\.0\.0\.1:{port} within 0\.2 s$"),
        (SilentLinks(RankError("rank 0 of 2 has ended")), r"^rank 0 of 2 has ended$"),
    ],
    ids=["unreachable", "failed"],
)
def test_rank_that_cannot_reach_paddle_on_rank_0_gives_up_and_says_where(monkeypatch, links, message):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    monkeypatch.setenv("PADDLE_MASTER", f"127.0.0.1:{port}")
    monkeypatch.setattr(linked_ranks, "JOIN_SECONDS", 0.2)
    with pytest.raises(RankError, match=message.format(port=port)):
        LinkedRanks(links).connect()


def test_algorithm_without_ranks_is_rejected_before_the_others_hear_of_it():
    links = QueueLinks(0, 2, [SimpleQueue(), SimpleQueue()])
    with pytest.raises(ConfigError, match=r"--algo sac trains in one process, not in 2 ranks: .* one of a2c"):
        make_algorithm(make_config({"algo": "sac", "env": "Pendulum-v1"}), LinkedRanks(links))
    assert links.queues[0].empty()


def test_seeds_are_rejected_in_ranks(monkeypatch, capsys):
    ranks = LinkedRanks(QueueLinks(0, 2, []))
    monkeypatch.setattr(train, "ranks_of_launch", lambda arguments: nullcontext(ranks))
    code, _, error = run_main(capsys, "train.py", "--seeds", "0,1")
    assert code == 2
    assert error == ("error: --seeds starts the processes of its runs itself: leave out paddle.distributed.launch\n")


@pytest.mark.parametrize(("saved", "num_ranks"), [(2, 1), (2, 3), (1, 2)])
def test_running_episodes_of_another_number_of_ranks_are_rejected(saved, num_ranks):
    state = {"other_ranks": {str(rank): {} for rank in range(1, saved)}}
    ranks = LinkedRanks(QueueLinks(0, num_ranks, []))
    config = make_config({"algo": "a2c"})
    with pytest.raises(ConfigError, match=rf"of {saved} ranks?, and {num_ranks} resumes? it: --resume-episodes new"):
        check_ranks(config, state, ranks, Path("latest"))
    check_ranks(config.model_copy(update={"resume_episodes": "new"}), state, ranks, Path("latest"))


def test_checkpoint_without_a_rank_is_rejected():
    with pytest.raises(CheckpointError, match="latest is damaged: it does not hold every rank"):
        check_ranks(make_config({"algo": "a2c"}), {"other_ranks": {"2": {}}}, ALONE, Path("latest"))


def test_state_of_a_rank_takes_nothing_but_its_own_parts_from_it():
    state = {
        "algorithm": {"parameters": 1, "collector": 2, "reward_normalizer": 3},
        "other_ranks": {"1": {"collector": 4, "parameters": 5}},
    }
    assert state_of_rank(state, 1) == {"algorithm": {"parameters": 1, "collector": 4, "reward_normalizer": None}}
    assert state_of_rank(state, 2) == {"algorithm": {"parameters": 1, "collector": None, "reward_normalizer": None}}


def environment_of(rank, **changes):
    return {
        "PADDLE_TRAINERS_NUM": "3",
        "PADDLE_TRAINER_ID": str(rank),
        "PADDLE_TRAINER_ENDPOINTS": "10.0.0.1:6070,10.0.0.1:6071,10.0.0.2:6070",
        "PADDLE_MASTER": "10.0.0.1:6379",
        "PADDLE_NNODES": "2",
        "PADDLE_LOG_DIR": "log",
        **changes,
    }


def test_place_is_that_of_the_launch():
    assert place_of_launch({}) is None
    assert place_of_launch(environment_of(0, PADDLE_TRAINERS_NUM="1")) is None
    assert place_of_launch(environment_of(2)) == Place(2, 3, ("10.0.0.1", 6070), "")
    assert place_of_launch(environment_of(1, PADDLE_NNODES="1")).log == "log/workerlog.{}"


@pytest.mark.parametrize(
    "name,value", [("PADDLE_TRAINERS_NUM", "x"), ("PADDLE_TRAINER_ID", "-1"), ("PADDLE_TRAINER_ENDPOINTS", "10.0.0.1")]
)
def test_launch_with_a_damaged_variable_is_rejected_by_its_name(name, value):
    with pytest.raises(ConfigError, match=f"^{name} .* unset it, or start with the launcher$"):
        place_of_launch(environment_of(0, **{name: value}))


def test_launch_without_addresses_is_rejected(monkeypatch, capsys):
    for name in ("PADDLE_TRAINER_ID", "PADDLE_TRAINER_ENDPOINTS", "PADDLE_MASTER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PADDLE_TRAINERS_NUM", "2")
    code, _, error = run_main(capsys, "train.py")
    assert code == 2
    assert error == (
        "error: PADDLE_TRAINERS_NUM is 2 without PADDLE_TRAINER_ID, PADDLE_TRAINER_ENDPOINTS, PADDLE_MASTER: "
        "start several processes with python -m paddle.distributed.launch, or unset PADDLE_TRAINERS_NUM to train in "
        "one\n"
    )


@pytest.fixture
def address(monkeypatch):
    """A free address; whoever waits for news gives up soon."""
    for name, seconds in {"NEWS_SECONDS": 0.5, "VERDICT_SECONDS": 5.0, "UPDATE_SECONDS": 5.0}.items():
        monkeypatch.setattr(links_module, name, seconds)
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()


def linked(address, *functions, arguments=((),)):
    """What a function of ``Links`` returns or raises in each rank."""
    num_ranks = len(functions)

    def run(rank):
        try:
            own = list(arguments[min(rank, len(arguments) - 1)])
            links = Links(Place(rank, num_ranks, address, ""), own)
        except Exception as error:
            return error
        try:
            return functions[rank](links)
        except Exception as error:
            return error
        finally:
            links.close()

    with ThreadPoolExecutor(num_ranks) as pool:
        return list(pool.map(run, range(num_ranks)))


def explained(links):
    return str(links.explain())


def test_killed_rank_is_named_in_every_rank(address):
    for text in linked(address, explained, explained, lambda links: "")[:2]:
        assert text.startswith("rank 2 of 3 has ended without a message")


def test_reason_of_a_failed_rank_reaches_every_rank(address):
    def fail(links):
        return links.report(OSError("the simulator is gone\nTraceback ..."), 1)

    for text in linked(address, explained, fail, explained)[::2]:
        assert text == "rank 1 of 3 failed: the simulator is gone"


def test_stuck_rank_is_named_in_every_rank(address):
    done = threading.Event()
    texts = linked(
        address,
        lambda links: (explained(links), done.set())[0],
        lambda links: done.wait(SECONDS),
        explained,
    )
    assert texts[0] == texts[2]
    assert texts[0].startswith("rank 1 of 3 gave no answer within 5 s")


def test_lost_rank_0_is_named(address):
    (_, text) = linked(address, lambda links: None, explained)
    assert text.startswith("rank 0 of 2 has ended without a message")


def test_waiting_rank_is_patient_while_rank_0_shows_that_it_works(address, monkeypatch):
    monkeypatch.setattr(links_module, "SIGN_OF_LIFE_SECONDS", 0.02)

    def work(links):
        until = time.monotonic() + 0.6  # longer than the other rank waits for one sign
        while time.monotonic() < until:
            links.check()
        links.send_all("go")
        links.receive(1, SECONDS)

    def wait(links):
        kind, _ = links.receive(0, timeout=0.3)
        links.send(0, "done")
        return kind

    assert linked(address, work, wait) == [None, "go"]


def test_rank_that_fails_while_rank_0_works_ends_its_work(address, monkeypatch):
    monkeypatch.setattr(links_module, "SIGN_OF_LIFE_SECONDS", 0.0)

    def work(links):
        until = time.monotonic() + SECONDS
        while time.monotonic() < until:
            links.check()

    error, _ = linked(address, work, lambda links: links.report(ConfigError("no such game"), 2))
    assert isinstance(error, RankError)
    assert (str(error), error.exit_code) == ("rank 1 of 2 failed: no such game", 2)


def test_other_arguments_are_rejected_on_rank_0(address):
    error, other = linked(
        address, lambda links: None, lambda links: links.receive(0, SECONDS), arguments=[["--seed", "1"], []]
    )
    assert isinstance(error, ConfigError)
    assert str(error) == (
        "rank 1 of 2 was started with no flags, rank 0 with --seed 1: start the same command on every machine"
    )
    assert isinstance(other, RankError)
    assert other.exit_code == 2


def test_rank_that_does_not_start_is_named(address, monkeypatch):
    monkeypatch.setattr(links_module, "JOIN_SECONDS", 0.1)
    with pytest.raises(RankError, match=r"ranks 1 and 2 of 3 did not start within 0\.1 s"):
        Links(Place(0, 3, address, ""), [])
    with pytest.raises(RankError, match=rf"rank 2 cannot reach rank 0 at 127\.0\.0\.1:{address[1]} within 0\.1 s"):
        Links(Place(2, 3, address, ""), [])


@pytest.fixture
def rank_0(address, monkeypatch):
    """The future ``Links`` of rank 0 of 2, which listens."""
    monkeypatch.setattr(links_module, "HELLO_SECONDS", 0.1)
    listening = threading.Event()
    create_server = socket.create_server

    def create(*arguments, **options):
        server = create_server(*arguments, **options)
        listening.set()
        return server

    monkeypatch.setattr(socket, "create_server", create)
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(Links, Place(0, 2, address, ""), [])
        assert listening.wait(SECONDS)
        yield future
        future.result(SECONDS).close()


def hello(data):
    return struct.pack("!8sQ", b"hello", len(data)) + data


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"GET / HTTP/1.1\r\n\r\n" + bytes(64),
        struct.pack("!8sQ", b"hello", 1 << 40) + bytes(64),
        hello(b"\xff"),
        hello(b"[" * 100_000),
        *(
            hello(text)
            for text in (
                b"5",
                b"null",
                b"[1]",
                b"[[1], []]",
                b'["1", []]',
                b"[1.0, []]",
                b"[true, []]",
                b"[1, 5]",
                b"[1, [2]]",
            )
        ),
        *(hello(text) for text in (b"[0, []]", b"[2, []]", b"[7, []]", b"[-1, []]")),
    ],
    ids=lambda data: repr(data[16:40]),
)
def test_connection_of_a_stranger_is_closed_and_the_wait_goes_on(data, rank_0, address):
    with socket.create_connection(address, timeout=SECONDS) as stranger:
        stranger.sendall(data)
        with suppress(ConnectionResetError):  # closed before all was read
            assert stranger.recv(1) == b""
        rank_1 = Links(Place(1, 2, address, ""), [])
        assert rank_0.result(SECONDS).others == [1]
        rank_1.close()


def test_second_connection_of_a_rank_is_closed(address):
    def rank_1(links):
        with socket.create_connection(address, timeout=SECONDS) as second:
            second.sendall(hello(b"[1, []]"))
            with suppress(ConnectionResetError):
                assert second.recv(1) == b""
        is_closed.set()
        return links.receive(0, SECONDS)

    is_closed = threading.Event()
    with ThreadPoolExecutor(2) as pool:
        rank_0 = pool.submit(Links, Place(0, 3, address, ""), [])
        first = pool.submit(rank_1, Links(Place(1, 3, address, ""), []))
        assert is_closed.wait(SECONDS)
        links_2 = Links(Place(2, 3, address, ""), [])
        links = rank_0.result(SECONDS)
        links.send_all("go")
        assert first.result(SECONDS) == ("go", b"")
        links.close()
        links_2.close()


def test_messages_carry_bytes_of_any_size(address):
    data = np.random.default_rng(0).bytes(3_000_000)

    def echo(links):
        links.send(0, *links.receive(0, SECONDS))
        return links.receive(0, SECONDS)

    def ask(links):
        links.send(1, "state", data)
        answer = links.receive(1, SECONDS)
        links.send(1, "go")
        return answer

    assert linked(address, ask, echo) == [("state", data), ("go", b"")]
