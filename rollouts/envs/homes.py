"""Where environments are registered: the modules that have to be imported before Gymnasium knows an id."""

from __future__ import annotations

import importlib
from dataclasses import dataclass

from rollouts.errors import UserError


@dataclass(frozen=True)
class Home:
    """A package whose environments Gymnasium does not find by itself."""

    start: str  #: of its ids
    module: str | None = None  #: to import; None where ``make`` does all that is needed
    package: str | None = None  #: to install
    make: str = "gymnasium:make"  #: see :class:`rollouts.envs.config.EnvPreset`


KNOWN = (
    Home("ALE/", "ale_py", "ale-py"),
    Home("MiniGrid-", "minigrid", "minigrid"),
    Home("BabyAI-", "minigrid", "minigrid"),
    Home("MiniWorld-", "miniworld", "miniworld"),
    Home("Vizdoom", "vizdoom.gymnasium_wrapper", "vizdoom", make="rollouts.envs.doom:make"),
)


def home_of(env_id: str) -> Home:
    """The home of an id: the module of ``MODULE:ID``, a well-known package, or none."""
    module, colon, _ = env_id.partition(":")
    if colon:
        return Home(env_id, module)
    return next((home for home in KNOWN if env_id.startswith(home.start)), Home(env_id))


def import_home(env_id: str) -> None:
    """Import the module that registers an environment.

    This is the only place that imports a module because of an environment's id.

    Raises:
        UserError: it cannot be imported.
    """
    home = home_of(env_id)
    if home.module is None:
        return
    try:
        importlib.import_module(home.module)
    except ImportError as error:
        if home.package is not None:
            raise UserError(
                f"{env_id} needs the package {home.package} ({error}): pip install {home.package}"
            ) from error
        raise UserError(
            f"The environment {env_id!r} could not be made: its module cannot be imported ({error}). Run the command "
            f"in the folder of {home.module.partition('.')[0]}.py with PYTHONPATH=. before it, or install it."
        ) from error
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        raise UserError(
            f"The environment {env_id!r} could not be made: its module raised {type(error).__name__} ({error})."
        ) from error
