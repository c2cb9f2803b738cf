// What every scene is called and what one sees there.

export const SCENES = {
  real: {
    sentence: ({ latents }) => `The real game. V squeezes every picture into ${latents} numbers, M foretells the next ones, and C steers by both. Hold a key to drive yourself.`,
    caption: "the real world",
  },
  dream: {
    sentence: () => "No game runs here. M imagines what comes next, V paints it, and the agent drives in its own imagination. You can, too.",
    caption: "the dream",
    total: "predicted return",
  },
  wake: {
    sentence: () => "Two worlds, the same actions: the real game, and a dream that began in it. Watch how long they stay alike.",
    caption: "the real world",
    twin: "the dream of it",
  },
  game: {
    sentence: () => "Reality turns into a dream, and nobody tells you when. Drive, and press the button as soon as you notice.",
    caption: "real, or a dream?",
    twin: "the dream",
  },
  ghost: {
    sentence: () => "Your lap against the agent's, on the same track at the same time. Where you do not drive, the agent does: then you stay level.",
    caption: "your lap",
    twin: "the agent's lap",
  },
  latents: {
    sentence: ({ latents }) => `All that the agent sees of a picture are ${latents} numbers, z. Drag one and see what it paints.`,
  },
  episodes: {
    sentence: () => "What was recorded, played again: the pictures V and M learn from, with what they make of them now.",
    caption: "recorded",
  },
  images: { sentence: () => "Image models of your own training: samples, the way from one to another, and what changes with an attribute." },
};

export const watched = (scene) => !["latents", "images"].includes(scene);
