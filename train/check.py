"""Looking at a run while it trains: a few pictures restored, scored, and laid side by side."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from accelerate import Accelerator
from PIL import Image

from train.config import TrainConfig
from train.data import Pair, Samples
from train.disk import save_png
from train.export import as_pipeline
from train.networks import Networks
from train.photos import open_data
from train.scores import NAMES, better, scores_of
from train.state import State
from train.terminal import Bar
from train.validate import read_setting

# What asks for texts that the pairs of `validate_data` need not have; a pair itself is without it.
LEFT_OUT = ("original_image_ratio", "detail_ratio", "claim_ratio")
# Which values of `prompts` give which text.
GIVEN = {"prompt": ("both", "high"), "lowlevel_prompt": ("both", "low")}


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
        data = open_data(
            folder, networks.tokenizer, plain, config.seed, config.degradation, [config.sheets]
        )
        return cls(data, config)

    def run(self, state: State, networks: Networks, accelerator: Accelerator) -> dict[str, float]:
        """Restore with the averaged weights if there are any; means of the scores.

        Writes `validation/step-….png`: a row a picture, low-resolution, restored, clean.
        """
        rows, scores = [], []
        count = min(self.config.validate_pictures, len(self.samples))
        with averaged(state), accelerator.autocast(), Bar("validation pictures") as bar:
            pipe = as_pipeline(networks, self.config)
            for number in range(count):
                bar.update(number, count)
                index = number * len(self.samples) // count  # neighbours are often of one photo
                pair = self.samples.pair(index, np.random.default_rng(index))
                clean, shown, low = map(Image.fromarray, (pair.clean, pair.enlarged(), pair.low))
                options = self._texts(pair) | read_setting(self.config.validate_setting)
                restored = pipe(low, **options, upscale=clean.width // low.width).images[0]
                before, after = scores_of(shown, clean, low), scores_of(restored, clean, low)
                scores.append((before, after))
                rows.append((shown, restored, clean))
        sheet(rows, self.config.sheets / f"step-{state.step:08d}.png")
        return means(scores)

    def _texts(self, pair: Pair) -> dict[str, str]:
        """Those of a pair that the run trains with; the others are as empty as there."""
        return {
            name: getattr(pair, name) if self.config.prompts in values else ""
            for name, values in GIVEN.items()
        }


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
    save_png(canvas, path)
