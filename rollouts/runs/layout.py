"""Where everything of a run is: its rounds, their stages, and every file, by name.

::

    runs/NAME/                 Run(path): the first pass through all stages, which is round 0
        run.json               .note
        rollouts/episodes/     .episodes, of the stage .rollouts
        vae/ mdnrnn/           .vae, .mdnrnn
        controller/            .controller
        images/ vae-gan/       .images, .sharpened
        latents/               .latents
        restarts/0/            .restart(0), with a controller of its own
        teacher/               .teacher, with what another learner found before an evolution
        distilled/             .distilled, with the controller that imitated it, or another agent
        round-1/               .round(1), again with stages of its own
        human/                 .human, what people drove on the live page
        evaluation.json        .evaluation
        report.html            .page, which the pipeline writes at its end
        real.mp4 dream.mp4     .film("real"), .film("dream")
        comparison/            .report("comparison") lies in it, beside what it reports on

The files of a stage are attributes of :class:`rollouts.runs.stage.Stage`: ``Run(path).vae.weights``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rollouts.episodes import EpisodeStore
from rollouts.errors import UserError
from rollouts.runs.stage import Stage

#: Released agents: data, not code, which lie with the agents and can be loaded from every room.
PRETRAINED = Path(__file__).parents[2] / "agents" / "pretrained"


@dataclass(frozen=True)
class Run:
    """A run directory, or that of one of its rounds. Asking for a part neither makes nor reads it."""

    path: Path

    @classmethod
    def named(cls, name: str | Path) -> Run:
        """The run at a path, or ``pretrained/NAME``, which came with the package."""
        path = Path(name)
        if not path.exists() and path.parts and path.parts[0] == "pretrained":
            return cls(PRETRAINED.joinpath(*path.parts[1:]))
        return cls(path)

    @classmethod
    def of(cls, store: EpisodeStore) -> Run:
        """The run or the round that these episodes were recorded in."""
        return cls(store.path.parent.parent)

    @property
    def rollouts(self) -> Stage:
        """The recording of its episodes."""
        return Stage(self.path, "rollouts")

    @property
    def episodes(self) -> EpisodeStore:
        """What was recorded in it."""
        return EpisodeStore(self.rollouts.path / "episodes")

    @property
    def vae(self) -> Stage:
        """V."""
        return Stage(self.path, "vae")

    @property
    def mdnrnn(self) -> Stage:
        """M."""
        return Stage(self.path, "mdnrnn")

    @property
    def controller(self) -> Stage:
        """C."""
        return Stage(self.path, "controller")

    @property
    def images(self) -> Stage:
        """An image model."""
        return Stage(self.path, "images")

    @property
    def sharpened(self) -> Stage:
        """V, trained on against a critic."""
        return Stage(self.path, "vae-gan")

    def stage(self, name: str) -> Stage:
        """The one whose folder has this name."""
        return Stage(self.path, name)

    @property
    def model(self) -> tuple[Stage, Stage]:
        """V and M: its own, or those of the run that it lies in, if it has a controller alone."""
        return self.home.vae, self.home.mdnrnn

    @property
    def home(self) -> Run:
        """The run or the round that its controller sees with: another one if it is a restart, a teacher, a pupil."""
        if self.vae.path.exists():
            return self
        if self.path.name in ("teacher", "distilled"):
            return Run(self.path.parent)
        return Run(self.path.parents[1]) if self.path.parent.name == "restarts" else self

    @property
    def stages(self) -> tuple[Stage, Stage, Stage, Stage]:
        """Those of an agent, in the order in which they are made."""
        return self.rollouts, self.vae, self.mdnrnn, self.controller

    @property
    def manifests(self) -> list[Path]:
        """The manifest files of all its stages, also of those that are not finished."""
        return sorted(self.path.glob("*/manifest.json"))

    @property
    def note(self) -> Path:
        """The file that says which preset it began with."""
        return self.path / "run.json"

    @property
    def evaluation(self) -> Path:
        """Its score."""
        return self.path / "evaluation.json"

    @property
    def page(self) -> Path:
        """Its report: everything about it on one page."""
        return self.path / "report.html"

    @property
    def latents(self) -> Path:
        """The folder of what V sees in the episodes."""
        return self.path / "latents"

    def film(self, world: str) -> Path:
        """Its agent in the ``real`` world or in the ``dream``."""
        return self.path / f"{world}.mp4"

    def report(self, study: str) -> Path:
        """What a ``comparison`` or a sweep of ``temperatures`` found; its trials are folders beside it."""
        return self.path / study / f"{study}.json"

    @property
    def human(self) -> Run:
        """What people drove in its world, as a run of its own."""
        return Run(self.path / "human")

    def restart(self, number: int) -> Run:
        """One of the tries that came before its controller."""
        return Run(self.path / "restarts" / str(number))

    @property
    def teacher(self) -> Run:
        """Where another learner learned what its controller then imitated and evolved on."""
        return Run(self.path / "teacher")

    @property
    def distilled(self) -> Run:
        """Where its controller imitated another agent, before it was evolved."""
        return Run(self.path / "distilled")

    @property
    def restarts(self) -> list[Run]:
        """All tries, in their order."""
        numbered = [path for path in self.path.glob("restarts/*") if path.name.isdecimal()]
        return [Run(path) for path in sorted(numbered, key=lambda path: int(path.name))]

    @property
    def number(self) -> int:
        """Which round it is; 0 for any folder that is not called ``round-N``."""
        number = self.path.name.removeprefix("round-")
        return int(number) if number != self.path.name and number.isdecimal() else 0

    @property
    def whole(self) -> Run:
        """The run that it is a round of; round 0 is the run itself."""
        return Run(self.path.parent) if self.number else self

    def round(self, number: int) -> Run:
        """One of the run's rounds."""
        return self if number == 0 else Run(self.path / f"round-{number}")

    @property
    def rounds(self) -> list[Run]:
        """Those that there are, itself the first, in their order."""
        later = [round_ for path in self.path.glob("round-*") if (round_ := Run(path)).number]
        return [self, *sorted(later, key=lambda round_: round_.number)]

    def newest(self, stage: str) -> Run | None:
        """The newest round in which a stage is finished."""
        return next((round_ for round_ in reversed(self.rounds) if round_.stage(stage).complete), None)

    def trained(self, stage: str) -> Stage:
        """The finished stage of the newest round that has it.

        Raises:
            UserError: there is no such run, or none of its rounds has it.
        """
        if not self.path.exists():
            raise UserError(f"There is no run at {self.path}.")
        return (self.newest(stage) or self).stage(stage).require()


def runs_in(folder: Path) -> list[Run]:
    """Every folder in ``folder`` that may be a run, by name."""
    return [Run(path) for path in sorted(folder.glob("*")) if path.is_dir()]


def episodes_in(folder: Path) -> EpisodeStore | None:
    """The episodes of a run, of its stage, or in the folder itself; None where there are none."""
    for place in (folder, Run(folder).episodes.path, folder / "episodes"):
        if next(place.glob("episode-*.npz"), None):
            return EpisodeStore(place)
    return None
