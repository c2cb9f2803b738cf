"""What every M has to offer, held for each of those that there are, and for one from outside."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from rollouts import EpisodeStore, UserError
from rollouts.runs.files import read_json, read_json_lines, write_json
from rollouts.runs.layout import PRETRAINED
from rollouts.runs.options import config_from_dict
from tests.faults.helpers import fit_whole_and_in_parts
from tests.worldmodels.gru import GRU
from worldmodels import WorldModel
from worldmodels.configs import MDNRNNConfig
from worldmodels.cores import CORES, make_dynamics
from worldmodels.dream import Dream, feature_size
from worldmodels.dynamics import MANY, Dynamics, State, put, take, tile, where
from worldmodels.fit_mdn_rnn import fit_mdn_rnn
from worldmodels.mdn_rnn import MANY_STEPS
from worldmodels.mixture import sample_mixture
from worldmodels.starts import DreamStarts
from worldmodels.training.checkpoint import save_tensors

CPU = torch.device("cpu")
NAMES = ["lstm", "transformer", "gru"]


@pytest.fixture(autouse=True)
def from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one line that makes an M of one's own known."""
    monkeypatch.setitem(CORES, "gru", GRU)


def small(core: str, **options: int) -> Dynamics:
    """An M with random weights, those included that begin at zero."""
    torch.manual_seed(1)
    shape = MDNRNNConfig(core=core, hidden_size=16, mixtures=3, **options)
    dynamics = make_dynamics(shape.architecture(4, 2))
    for parameter in dynamics.parameters():
        if parameter.requires_grad and not parameter.any():
            torch.nn.init.normal_(parameter, std=0.5)
    return dynamics


def drawn(lanes: int, steps: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(lanes, steps, 4, generator=generator), torch.randn(lanes, steps, 2, generator=generator)


def after(dynamics: Dynamics, lanes: int, steps: int) -> State:
    return dynamics(*drawn(lanes, steps))[1]


@pytest.mark.parametrize("core", NAMES)
@torch.no_grad()
def test_dreaming_step_by_step_is_what_was_trained_on_whole_sequences(core: str):
    dynamics, (z, actions) = small(core, **({"memory": 5} if core == "transformer" else {})), drawn(3, 23)
    at_once, last = dynamics(z, actions)
    state = dynamics.initial_state(3)
    for t in range(23):
        state = dynamics.advance(z[:, t], actions[:, t], state)
        step = dynamics.predict(state)
        expected = (*(part[:, t] for part in at_once.mixture), at_once.reward[:, t], at_once.termination[:, t])
        for one, other in zip((*step.mixture, step.reward, step.termination), expected, strict=True):
            torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(state, last, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("core", NAMES)
@torch.no_grad()
def test_a_sequence_in_pieces_is_the_whole_sequence(core: str):
    dynamics, (z, actions) = small(core, **({"memory": 5} if core == "transformer" else {})), drawn(3, 23)
    whole, last = dynamics(z, actions)
    state: State | None = None
    for piece in (slice(0, 3), slice(3, 4), slice(4, 17), slice(17, 23)):
        prediction, state = dynamics(z[:, piece], actions[:, piece], state)
        torch.testing.assert_close(prediction.reward, whole.reward[:, piece], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(state, last, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("core", NAMES)
@torch.no_grad()
def test_lanes_are_independent_and_can_be_taken_tiled_replaced_and_chosen(core: str):
    dynamics, (z, actions) = small(core), drawn(4, 9)
    state, fresh = after(dynamics, 4, 8), dynamics.initial_state(4)
    assert all(not part.any() for part in fresh.values())
    assert all(part.dtype == torch.float32 and len(part) == 4 for part in state.values())
    whole = dynamics.advance(z[:, 8], actions[:, 8], state)
    kept, mask = torch.tensor([2, 0]), torch.tensor([False, True, True, False])
    torch.testing.assert_close(dynamics.advance(z[kept, 8], actions[kept, 8], take(state, kept)), take(whole, kept))
    torch.testing.assert_close(
        dynamics.advance(z[:, 8].repeat(3, 1), actions[:, 8].repeat(3, 1), tile(state, 3)), tile(whole, 3)
    )
    mixed = where(mask, state, fresh)
    torch.testing.assert_close(mixed, put(fresh, torch.tensor([1, 2]), take(state, mask)), rtol=0, atol=0)
    for lane in range(4):
        assert all(torch.equal(mixed[name][lane], (state if mask[lane] else fresh)[name][lane]) for name in state)


@pytest.mark.parametrize("core", NAMES)
@torch.no_grad()
def test_a_step_leaves_its_arguments_alone(core: str):
    dynamics, (z, actions) = small(core), drawn(4, 9)
    state = after(dynamics, 4, 8)
    before = {name: part.clone() for name, part in state.items()}
    dynamics.advance(z[:, 8], actions[:, 8], state)
    torch.testing.assert_close(state, before, rtol=0, atol=0)


@pytest.mark.parametrize("core", NAMES)
def test_a_step_can_be_learnt_from_as_a_sequence_can(core: str):
    dynamics, (z, actions) = small(core), drawn(2, 4)
    gradients = []
    for by_steps in (False, True):
        dynamics.zero_grad()
        if by_steps:
            state, rewards = dynamics.initial_state(2), []
            for t in range(4):
                state = dynamics.advance(z[:, t], actions[:, t], state)
                rewards.append(dynamics.predict(state).reward)
            torch.stack(rewards, 1).square().sum().backward()
        else:
            dynamics(z, actions)[0].reward.square().sum().backward()
        gradients.append([p.grad.clone() for p in dynamics.parameters() if p.grad is not None])
    torch.testing.assert_close(*gradients, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_a_transformer_looks_back_as_far_as_its_memory_and_no_further():
    dynamics, (z, actions) = small("transformer", memory=3, layers=2), drawn(1, 12)
    other = z.clone()
    other[:, 4] += 1
    changed = (dynamics(z, actions)[0].reward - dynamics(other, actions)[0].reward).abs()[0] > 1e-6
    assert changed.tolist() == [False] * 4 + [True] * 7 + [False]  # itself, and twice three steps


@torch.no_grad()
def test_a_transformer_in_bfloat16_predicts_nearly_the_same_and_remembers_in_float32():
    dynamics, half = small("transformer"), small("transformer").bfloat16()
    z, actions = drawn(20, 10)
    one, other = dynamics.initial_state(20), half.initial_state(20)
    for t in range(10):
        one, other = (d.advance(z[:, t], actions[:, t], s) for d, s in ((dynamics, one), (half, other)))
    for name, part in one.items():
        assert other[name].dtype == torch.float32
        if name != "filled":
            assert 0 < (part - other[name]).abs().max() < 0.1 * part.std()


@pytest.mark.parametrize("core", ["transformer", "gru"])
def test_it_trains_dreams_and_resumes_bit_for_bit(core: str, tiny_run: Path, tmp_path: Path):
    """On ``tiny``, with all that M's training has: memory that is carried along, dropout."""
    config = MDNRNNConfig(
        core=core,
        hidden_size=16,
        mixtures=2,
        steps=24,
        batch_size=8,
        sequence_length=10,
        carry_state=True,
        dropout=0.1,
        learning_rate=5e-3,
        starts=16,
        log_every=4,
        checkpoint_every=8,
    )
    run = fit_whole_and_in_parts(config, tiny_run, tmp_path, ("worldmodels.fit_mdn_rnn.mdn_rnn_loss", 14))
    losses = [record["loss"] for record in read_json_lines(run / "mdnrnn" / "metrics.jsonl", "step")]
    assert losses[-1] < losses[0]
    assert {"open_loop", "window_return"} <= read_json(run / "mdnrnn" / "diagnostics.json").keys()
    model = WorldModel.load(run)
    assert type(model.mdnrnn) is CORES[core]
    dream = Dream(model, horizon=5)
    dream.reset(range(12))
    assert dream.features().shape == (12, 4 + 16)
    for _ in range(5):
        *_, truncated = dream.step(torch.zeros(len(dream.z), 1))
    dream.restart(truncated)
    dream.keep(torch.tensor([3, 1]))
    assert dream.features().isfinite().all()
    with pytest.raises(UserError, match=r"outputs of M \(h\).*not 'zch'"):
        feature_size(model, "zch")


def test_starts_of_any_m_survive_their_file(tmp_path: Path):
    dynamics = small("transformer")
    starts = DreamStarts(torch.randn(5, 4), torch.randn(5, 4), after(dynamics, 5, 40), torch.ones(5, dtype=torch.bool))
    save_tensors(starts.tensors(), tmp_path / "starts.safetensors")
    loaded = DreamStarts.load(tmp_path / "starts.safetensors", CPU)
    torch.testing.assert_close(loaded.state, starts.state, atol=5e-3, rtol=1e-3)
    assert loaded.only("recorded").state.keys() == starts.state.keys()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"core": "lstmm"}, "no core 'lstmm' for M; --mdnrnn.core takes one of lstm, transformer, gru"),
        ({"memory": 5}, "--mdnrnn.memory is not an option of M's core 'lstm'"),
        ({"core": "gru", "start_flag": True, "carry_state": True}, "--mdnrnn.start-flag is not an option of M's core"),
        ({"core": "transformer", "layers": 0}, "--mdnrnn.layers must be positive"),
    ],
)
def test_what_a_core_does_not_have_is_refused(options: dict[str, object], message: str):
    with pytest.raises(UserError, match=message):
        replace(MDNRNNConfig(), **options).check()


@pytest.mark.parametrize("name", sorted(folder.name for folder in PRETRAINED.glob("*")))
def test_files_of_before_there_were_cores_are_those_of_an_lstm(name: str, tmp_path: Path):
    folder = PRETRAINED / name / "mdnrnn"
    config = config_from_dict(MDNRNNConfig, read_json(folder / "config.json"))
    assert config.core == "lstm"
    architecture = read_json(folder / "manifest.json")["architecture"]
    shape = config.architecture(architecture["latent_size"], architecture["action_size"])
    assert {name: shape[name] for name in architecture} == architecture
    model = WorldModel.load(f"pretrained/{name}")
    assert model.starts is not None
    assert set(model.starts.state) == set(model.outputs(model.starts.state)) == {"h", "c"}
    memory = next(iter(model.starts.state.values()))
    assert torch.equal(memory.any(1), model.starts.warm)


def test_a_run_of_before_there_were_cores_is_found_finished(tiny_run: Path, tmp_path: Path):
    run = shutil.copytree(tiny_run, tmp_path / "run")
    file = run / "mdnrnn" / "config.json"
    now = read_json(file)
    write_json(file, {name: value for name, value in now.items() if name not in ("core", "layers", "memory")})
    weights = (run / "mdnrnn" / "weights.safetensors").stat()
    path = fit_mdn_rnn(config_from_dict(MDNRNNConfig, now), run, [EpisodeStore(run / "rollouts" / "episodes")], CPU)
    assert path.stat() == weights
    assert np.isfinite(read_json(run / "mdnrnn" / "diagnostics.json")["z_nll_per_dim"])


@pytest.mark.parametrize("core", NAMES)
@pytest.mark.parametrize("heads", [(True, True), (False, True), (False, False)])
@torch.no_grad()
def test_many_lanes_at_once_are_many_times_a_few(core: str, heads: tuple[bool, bool]):
    """What is laid out for a thousand lanes says of each what would be said of it alone."""
    torch.manual_seed(1)
    shape = MDNRNNConfig(core=core, hidden_size=16, mixtures=3, reward_head=heads[0], termination_head=heads[1])
    dynamics, (z, actions) = make_dynamics(shape.architecture(4, 2)), drawn(150, 3)
    assert len(z) >= max(MANY, MANY_STEPS)
    together = dynamics(z[:, :2], actions[:, :2])[1]
    parts = [take(together, torch.arange(start, start + 50)) for start in (0, 50, 100)]
    together = dynamics.advance(z[:, 2], actions[:, 2], together)
    whole, noise = dynamics.predict(together), (torch.rand(150, 4), torch.randn(150, 4))
    drawn_together = sample_mixture(whole.mixture, 1.2, *noise)
    for start, part in zip((0, 50, 100), parts, strict=True):
        lanes = slice(start, start + 50)
        state = dynamics.advance(z[lanes, 2], actions[lanes, 2], part)
        torch.testing.assert_close(take(together, lanes), state, atol=1e-6, rtol=1e-5)
        alone = dynamics.predict(state)
        for one, other in zip((*whole.mixture, *whole[1:]), (*alone.mixture, *alone[1:]), strict=True):
            assert (one is None) == (other is None)
            if one is not None:
                torch.testing.assert_close(one[lanes], other, atol=1e-5, rtol=1e-5)
        own = sample_mixture(alone.mixture, 1.2, *(part[lanes] for part in noise))
        torch.testing.assert_close(drawn_together[lanes], own, atol=1e-5, rtol=1e-5)
