"""Image models need no game: what a user imports brings no environment, no simulator, no window."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
HEAVY = ("gymnasium", "pygame", "Box2D", "cv2", "vizdoom", "ray")
CODE = f"""
import sys, types
for name in ("rollouts", "worldmodels"):  # what their own __init__ brings is not the image models' doing
    module = types.ModuleType(name)
    module.__path__ = [{str(ROOT)!r} + "/" + name]
    sys.modules[name] = module
import worldmodels.generative as generative
before = set(sys.modules)
assert not any(name.startswith("worldmodels.generative.") for name in before), "not lazy"
generative.MODELS, generative.fit_images, generative.load_trained
from worldmodels.generative import sampling
print(*sorted(set({HEAVY!r}) & set(sys.modules)))
"""


def test_image_models_are_lazy_and_bring_no_environment():
    done = subprocess.run([sys.executable, "-c", CODE], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
