"""Looking at a run while it trains: a few pictures restored, scored, and laid side by side."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from accelerate import Accelerator
from PIL import Image

from train.config import TrainConfig
from train.data import Samples
from train.export import as_pipeline
from train.loop import State
from train.networks import Networks
from train.photos import open_data
from train.scores import NAMES, better, scores_of
from train.validate import read_setting

FOLDER = "validation"
LEFT_OUT = (
    "caption_dropout",
    "original_image_ratio",
    "trust_ratio",
    "sharpen_targets",
    "detail_ratio",
    "claim_ratio",
)


@dataclass(frozen=True)
class Check:
    """The pictures of a run's validation; the same ones every time."""

    samples: Samples
    config: TrainConfig

    @classmethod
    def of(cls, config: TrainConfig, networks: Networks) -> "Check":
        read_setting(config.validate_setting)  # refused before the work
        folder = config.validate_data or config.data
        plain = config.model_copy(update=dict.fromkeys(LEFT_OUT, 0.0))
        data = open_data(folder, networks.tokenizer, plain, config.seed, config.degradation)
        return cls(data, config)

    def run(self, state: State, networks: Networks, accelerator: Accelerator) -> dict[str, float]:
        """Restore with the averaged weights if there are any; means of the scores.

        Writes `validation/step-….png`: a row a picture, low-resolution, restored, clean.
        """
        rows, scores = [], []
        with averaged(state), accelerator.autocast():
            pipe = as_pipeline(networks, self.config)
            for index in range(min(self.config.validate_pictures, len(self.samples))):
                pair = self.samples.pair(index, np.random.default_rng(index))
                clean, shown, low = map(Image.fromarray, (pair.clean, pair.enlarged(), pair.low))
                texts = {"prompt": pair.prompt, "lowlevel_prompt": pair.lowlevel_prompt}
                options = texts | read_setting(self.config.validate_setting)
                restored = pipe(low, **options, upscale=clean.width // low.width).images[0]
                before, after = scores_of(shown, clean, low), scores_of(restored, clean, low)
                scores.append((before, after))
                rows.append((shown, restored, clean))
        sheet(rows, Path(self.config.out) / FOLDER / f"step-{state.step:08d}.png")
        return means(scores)


@contextmanager
def averaged(state: State) -> Iterator[None]:
    """The averaged weights in place of the trained ones, for a while; no gradients, no dropout."""
    training = state.model.training
    state.model.eval()
    if state.ema is not None:
        state.ema.store(state.trained)
        state.ema.copy_to(state.trained)
    try:
        yield
    finally:
        if state.ema is not None:
            state.ema.restore(state.trained)
        state.model.train(training)


def means(scores: list[tuple[dict, dict]]) -> dict[str, float]:
    """Mean of each score of the restored pictures, and on how many it beats the input's."""
    found = {}
    for name in NAMES:
        both = [(b[name], a[name]) for b, a in scores if None not in (b[name], a[name])]
        if both:
            found[name] = float(np.mean([a for _, a in both]))
            found[f"{name}_better"] = sum(better(name, a, b) for b, a in both) / len(both)
    return found


def sheet(rows: list[tuple[Image.Image, ...]], path: Path) -> None:
    """All pictures in one, a row each."""
    width, height = (max(picture.size[k] for row in rows for picture in row) for k in (0, 1))
    canvas = Image.new("RGB", (width * len(rows[0]), height * len(rows)))
    for y, row in enumerate(rows):
        for x, picture in enumerate(row):
            canvas.paste(picture, (x * width, y * height))
    path.parent.mkdir(parents=True, exist_ok=True)
    canvas.save(path)
