"""V and M outside of this project compute what they compute in it, for batches of any size."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from rollouts import UserError
from worldmodels import WorldModel, exporting
from worldmodels.exporting import Foresee, export_model, parts_of, run_exported
from worldmodels.transformer import CausalTransformer

pytestmark = pytest.mark.slow  # compilers of other formats have to start

FORMS = [
    "torch",
    pytest.param(
        "onnx",
        marks=pytest.mark.skipif(
            not all(map(importlib.util.find_spec, ("onnx", "onnxruntime", "onnxscript"))),
            reason="ONNX is not installed: pip install onnx onnxruntime onnxscript",
        ),
    ),
]


@pytest.fixture(scope="module", params=FORMS)
def exported(request: pytest.FixtureRequest, make_model, tmp_path_factory: pytest.TempPathFactory):
    """A model, the form, and its files."""
    model = make_model(start_flag=True)
    return model, request.param, export_model(model, tmp_path_factory.mktemp("exported"), request.param)


def test_what_is_exported_computes_the_same(exported):
    model, form, files = exported
    suffix = exporting.SUFFIX[form]
    names = [f"encoder{suffix}", f"decoder{suffix}", f"dynamics{suffix}", "model.json"]
    assert [file.name for file in files] == names
    for part, file in zip(parts_of(model), files, strict=False):
        inputs = {name: value[:1] for name, value in part.inputs.items()}  # one lane
        with torch.no_grad():
            expected = part.module(*inputs.values())
        expected = expected if isinstance(expected, tuple) else (expected,)
        assert len(part.outputs) == len(expected)
        for ours, theirs in zip(expected, run_exported(file, form, inputs), strict=True):
            np.testing.assert_allclose(theirs, ours, atol=2e-5)


def test_an_exported_m_dreams_as_the_original(exported):
    """Three steps, each on the memory that the last one gave back."""
    model, form, (_, _, path, _) = exported
    foresee, state = Foresee(model.mdnrnn), model.initial_state(2)
    memory = [part.clone() for part in state.values()]
    rng = torch.Generator().manual_seed(1)
    for _ in range(3):
        z, action = torch.randn(2, model.latent_size, generator=rng), torch.rand(2, 1, generator=rng)
        answer = run_exported(path, form, {"z": z, "action": action, **dict(zip(foresee.names, memory, strict=True))})
        _, reward, end, state = model.step(z, action, state)
        found = dict(zip(foresee.outputs, answer, strict=True))
        np.testing.assert_allclose(found["reward"], reward, atol=1e-5)
        np.testing.assert_allclose(1 / (1 + np.exp(-found["termination"])), end, atol=1e-5)
        memory = [torch.from_numpy(found[f"next_{name}"]) for name in foresee.names]


def test_the_facts_say_what_goes_in_and_out(exported):
    facts = json.loads(exported[2][3].read_text())
    assert facts["networks"]["dynamics"]["inputs"] == {"z": [4], "action": [1], "h": [8], "c": [8]}
    heads = ["reward", "termination"]
    assert facts["networks"]["dynamics"]["outputs"] == ["logits", "mean", "log_std", *heads, "next_h", "next_c"]
    assert facts["memory_at_the_start"] == {"h": [8], "c": [8]}
    assert facts["env"]["id"] == "toy"


def test_what_differs_is_not_written(make_model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    exact = exporting.run_exported
    monkeypatch.setattr(exporting, "run_exported", lambda *arguments: [value + 1 for value in exact(*arguments)])
    with pytest.raises(UserError, match="The exported encoder differs from the original by"):
        export_model(make_model(), tmp_path, "torch")
    assert not list(tmp_path.iterdir())


def test_without_onnx_the_error_says_what_to_install(make_model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    with pytest.raises(UserError, match="pip install onnx onnxruntime onnxscript"):
        export_model(make_model(), tmp_path, "onnx")


def test_a_transformer_is_exported_too(make_model, tmp_path: Path):
    model = make_model()
    core = CausalTransformer(4, 1, 16, 3, layers=1, memory=4).eval()
    model = WorldModel(model.vae, core, model.env, model.action_spec, model.observation_hash)
    path = export_model(model, tmp_path, "torch")[2]
    foresee, state = Foresee(core), core.initial_state(2)
    z, action = torch.ones(2, 4), torch.ones(2, 1)
    with torch.no_grad():
        expected = foresee(z, action, *state.values())
    for ours, theirs in zip(expected, run_exported(path, "torch", {"z": z, "action": action, **state}), strict=True):
        np.testing.assert_allclose(theirs, ours, atol=1e-5)
