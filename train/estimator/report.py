"""How good the estimator is on photos it has not seen: accuracy, calibration, confusion."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import stats

from train.estimator.samples import Sample
from train.files import find_photos
from train.pairing import pair_seed
from xpsr.errors import XPSRError
from xpsr.image import open_image
from xpsr.prompts.estimator import LEVELS, RANGES, Estimator, estimate, level_of
from xpsr.prompts.measured import measure

BINS = (0.25, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)  # of the confidence


@dataclass
class Judged:
    """What was true and what was said; one item a picture in each list.

    Attributes:
        truths: parameters of blur, noise and JPEG.
        rows: (3, 4) probabilities.
        measured: what `xpsr.prompts.measured` reads of the three; JPEG as a strength, 0 to 1.
    """

    truths: list[tuple[float, ...]] = field(default_factory=list)
    rows: list[tuple] = field(default_factory=list)
    measured: list[tuple[float, ...]] = field(default_factory=list)


@dataclass(frozen=True)
class Bin:
    """Pictures of like confidence: how many, how sure on average, how often right."""

    pictures: int
    confidence: float
    right: float


@dataclass(frozen=True)
class Figures:
    """One type of degradation.

    Attributes:
        pictures: how many were judged.
        exact: share with the right level.
        within_one: share at most one level away.
        rank: Spearman's correlation of the expected with the true parameter.
        measured_rank: the same of the figure that `xpsr.prompts.measured` measures by itself.
        calibration_error: mean distance of confidence and share that was right, over `bins`.
        bins: reliability.
        confusion: (4, 4) pictures; rows are the true levels.
    """

    pictures: int
    exact: float
    within_one: float
    rank: float
    measured_rank: float
    calibration_error: float
    bins: list[Bin]
    confusion: list[list[int]]


def judge(
    images: Path,
    count: int,
    seed: int,
    make: Callable[[Image.Image, int], Sample],
    network: Estimator,
    judged: Judged,
) -> Iterator[tuple[int, int, str | None]]:
    """Degrade every photo `count` times with `make` (photo and seed → sample) and fill `judged`.

    Yields (done, total, complaint about a photo that is left out).

    Raises:
        XPSRError: no photo could be used.
    """
    photos = find_photos(images)
    for number, path in enumerate(photos, 1):
        complaint = None
        try:
            photo = open_image(path).image
            seeds = [pair_seed(path.name, variant, seed) for variant in range(count)]
            samples = [make(photo, one) for one in seeds]
        except XPSRError as error:
            samples, complaint = [], f"{path.relative_to(images).as_posix()}: left out, {error}"
        for sample in samples:
            judged.truths.append(tuple(sample.truth.values()))
            said = estimate(sample.image, network)
            judged.rows.append((said.blur, said.noise, said.jpeg))
            found = measure(sample.image)
            judged.measured.append((found.blur, found.noise, found.jpeg))
        yield number, len(photos), complaint
    if not judged.truths:
        raise XPSRError(f"No photo in {images} could be used.")


def figures_of(judged: Judged) -> dict[str, Figures]:
    """The figures of each type."""
    truths, rows, measured = map(np.array, (judged.truths, judged.rows, judged.measured))
    table = {}
    for kind, (name, (low, high)) in enumerate(RANGES.items()):
        levels = np.array([level_of(name, value) for value in truths[:, kind]])
        said, sure = rows[:, kind].argmax(axis=1), rows[:, kind].max(axis=1)
        away = np.abs(said - levels)
        severity = (truths[:, kind] - low) / (high - low)
        expected = rows[:, kind] @ np.arange(LEVELS)
        confusion = np.zeros((LEVELS, LEVELS), dtype=int)
        np.add.at(confusion, (levels, said), 1)
        bins = _bins(sure, away == 0)
        table[name] = Figures(
            pictures=len(levels),
            exact=float((away == 0).mean()),
            within_one=float((away <= 1).mean()),
            rank=float(stats.spearmanr(severity, expected).statistic),
            measured_rank=float(stats.spearmanr(severity, measured[:, kind]).statistic),
            calibration_error=sum(b.pictures * abs(b.confidence - b.right) for b in bins)
            / len(levels),
            bins=bins,
            confusion=confusion.tolist(),
        )
    return table


def _bins(sure: np.ndarray, right: np.ndarray) -> list[Bin]:
    found = []
    for low, high in pairwise(BINS):
        inside = (sure > low) & (sure <= high)
        if inside.any():
            confidence, share = float(sure[inside].mean()), float(right[inside].mean())
            found.append(Bin(int(inside.sum()), confidence, share))
    return found


def markdown(table: dict[str, Figures]) -> str:
    """The figures as Markdown."""
    columns = "pictures | exact | within one | rank | by statistics alone: rank | calibration error"
    lines = [f"| | {columns} |"]
    lines += ["|---|---|---|---|---|---|---|"]
    for name, one in table.items():
        figures = (one.exact, one.within_one, one.rank, one.measured_rank, one.calibration_error)
        lines.append(f"| {name} | {one.pictures} | {' | '.join(f'{f:.3f}' for f in figures)} |")
    lines += ["", "Mean confidence → share that was right (pictures):", ""]
    for name, one in table.items():
        parts = [f"{b.confidence:.2f} → {b.right:.2f} ({b.pictures})" for b in one.bins]
        lines.append(f"* {name}: {', '.join(parts)}")
    lines += ["", "Pictures by true level (rows) and said level:", ""]
    for name, one in table.items():
        lines.append(f"* {name}: {'; '.join(' '.join(map(str, row)) for row in one.confusion)}")
    return "\n".join(lines) + "\n"


def draw(table: dict[str, Figures], path: Path) -> None:
    """Reliability as a chart: on the diagonal, what is said with 70 % is right in 70 of 100."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.2), layout="constrained")
    for number, (name, one) in enumerate(table.items(), 1):
        axes = figure.add_subplot(1, len(table), number)
        axes.plot([0.25, 1], [0.25, 1], color="#b8bcc4", linewidth=1, zorder=0)
        sizes = [20 + 400 * b.pictures / one.pictures for b in one.bins]
        sure, right = [b.confidence for b in one.bins], [b.right for b in one.bins]
        axes.plot(sure, right, color="#2f6f9f", linewidth=1)
        axes.scatter(sure, right, s=sizes, color="#2f6f9f", edgecolors="white")
        axes.set_title(f"{name}: error {one.calibration_error:.3f}", fontsize=10, loc="left")
        axes.set_xlim(0.22, 1.05)
        axes.set_ylim(0, 1.05)
        axes.set_xlabel("confidence", fontsize=9)
        axes.tick_params(labelsize=8)
        axes.spines[["top", "right"]].set_visible(False)
    figure.axes[0].set_ylabel("share that was right", fontsize=9)
    figure.savefig(path, format="svg", metadata={"Date": None})
