"""What the curves and figures of a report mean, for those who see them first."""

from __future__ import annotations

STAGES = {
    "rollouts": "Recording",
    "vae": "V",
    "mdnrnn": "M",
    "controller": "C",
    "images": "Image model",
    "vae-gan": "V, sharpened",
}
#: What stands below the horizontal axis.
AXES = {
    ("vae", "frames"): "pictures shown to V",
    ("mdnrnn", "frames"): "latents shown to M",
    ("controller", "steps"): "generation",
    ("controller", "frames"): "steps in the world or the dream",
    ("images", "frames"): "pictures shown to it",
    ("vae-gan", "frames"): "pictures shown to V",
}
#: Titles and captions of curves that are known; others have their names.
CURVES: dict[tuple[str, str], tuple[str, str]] = {
    ("vae", "reconstruction"): (
        "How far V's pictures are from the recorded ones",
        "Squared error, summed over the pixels of a picture: 0 would be a perfect copy. On held-out episodes it is "
        "measured without noise, so it may lie below the line of the training.",
    ),
    ("vae", "kl"): (
        "How much V writes down",
        "Nats (1.44 bits) that the numbers z say of a picture. More of them make better copies; fewer are easier to "
        "foresee for M.",
    ),
    ("vae", "loss"): ("V's loss", "What training makes small: the error of the copies, plus what z costs."),
    ("vae", "active_units"): ("Numbers of z that carry something", "The others have gone to sleep."),
    ("mdnrnn", "z_nll_per_dim"): (
        "How surprised M is by what comes next",
        "Negative log likelihood of the next z, in nats for each of its numbers. Below zero is possible: it is a "
        "density. Held-out episodes are those that M never learns from.",
    ),
    ("mdnrnn", "reward_error"): (
        "How far M's rewards are off",
        "Half the squared error of the predicted reward, in units of the rewards' own spread.",
    ),
    ("mdnrnn", "termination_nats"): (
        "How surprised M is by the end",
        "Cross entropy of the predicted end of the episode, in nats per step.",
    ),
    ("mdnrnn", "mixture_entropy"): (
        "How many futures M sees",
        "Entropy of the weights of its mixture: 0 is one future, 1.6 are five equally likely ones.",
    ),
    ("mdnrnn", "window_return/teacher_forced_r2"): (
        "How well M foresees returns",
        "R² of the return over the next steps, on held-out episodes: 1 is perfect, 0 as good as the mean.",
    ),
    ("mdnrnn", "termination/recall"): (
        "Ends that M foresees",
        "Share of the held-out ends to which M gave a probability above one half.",
    ),
    ("images", "diversity"): (
        "How unlike each other the samples are",
        "Their mean distance as a share of the data's: near 0 the model makes one picture only.",
    ),
    ("images", "active_units"): ("Numbers of z that carry something", "The others have gone to sleep."),
    ("mdnrnn", "loss"): ("M's loss", "What training makes small: all of M's surprises together."),
    ("controller", "fitness"): (
        "Returns of the candidates",
        "Every generation tries some controllers, each on some episodes. The line is their mean, the band reaches "
        "from the worst to the best.",
    ),
    ("controller", "validation"): (
        "Validation in the real world",
        "Every so often the controller as it stands is scored on episodes that are kept for that. The band is one "
        "standard deviation of its returns; the best mean decides which controller is the agent.",
    ),
    ("controller", "sigma"): (
        "How widely the search casts about",
        "The step size of the evolution. It shrinks when the search has found its place.",
    ),
}
USUAL = "As it was logged while it learned."


def axis(stage: str, name: str) -> str:
    """What stands below a curve."""
    return AXES.get((stage, name), {"steps": "training step", "frames": "samples", "hours": "hours of work"}[name])


def curve(stage: str, name: str) -> tuple[str, str]:
    """Title and caption."""
    return CURVES.get((stage, name), (name.replace("_", " ").replace("/", ": "), USUAL))
