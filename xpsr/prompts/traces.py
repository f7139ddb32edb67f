"""The traces that blur, noise and JPEG leave in a picture, as a fixed list of statistics.

Input of the degradation estimator (`xpsr.prompts.estimator`). Nothing in here is learnt: each group
is one token of at most `WIDTH` figures, and the names of the groups say what they look at. Blur is
the hard one, since a flat scene looks blurred: whatever speaks of it is also taken from the busiest
blocks and the strongest edges alone, so that plain areas have no vote.
"""

from functools import lru_cache

import numpy as np
from PIL import Image
from scipy import fft, ndimage

LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)
WIDTH = 40
SCALES = (0.0, 0.7, 1.0, 1.5, 2.2, 3.2, 4.6)  # sigmas of the smoothing, in pixels
LEAST = 48  # smaller pictures are continued by reflection up to this side
PATCH = 32  # of the spectra
RADII = 16  # bins of the radial spectra
QUALITIES = tuple(range(20, 97, 4))
# Quality 50 of the luma; ITU-T T.81, table K.1.
LUMA_TABLE = np.array(
    [
        [16, 11, 10, 16, 24, 40, 51, 61],
        [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77],
        [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101],
        [72, 92, 95, 98, 112, 100, 103, 99],
    ],
    dtype=np.float32,
).ravel()


def statistics(image: Image.Image) -> dict[str, np.ndarray]:
    """Every group of statistics of a picture (any mode, from 16 x 16), in a fixed order.

    Returns:
        Name → (n,) float32, n ≤ `WIDTH`. Energies are logarithms; all figures are finite.
    """
    rgb = np.asarray(image.convert("RGB"), dtype=np.float32)
    missing = [max(LEAST - side, 0) for side in rgb.shape[:2]]
    rgb = np.pad(rgb, [(0, missing[0]), (0, missing[1]), (0, 0)], mode="symmetric")
    luma = rgb @ LUMA
    smooth = [ndimage.gaussian_filter(luma, sigma) if sigma else luma for sigma in SCALES]
    slopes = [_slopes(plane) for plane in smooth]
    energies = [gx * gx + gy * gy for gx, gy in slopes]
    blocks = np.stack([_block_means(energy, 8).ravel() for energy in energies])
    groups = {
        f"scale {sigma}": _one_scale(*slope, block)
        for sigma, slope, block in zip(SCALES, slopes, blocks, strict=True)
    }
    groups["busy blocks"], groups["ratios of blocks"] = _busy_blocks(blocks)
    groups["edge widths"], groups["sharpest edges"] = _edges(energies)
    groups["spectrum"], groups["spectrum of parts"] = _spectra(luma)
    groups["spectrum at half"] = _radial(_patch_powers(_halved(luma)).mean(axis=0))
    groups["spectrum of colour"] = _colour_spectra(rgb, luma)
    groups["noise"], groups["noise by brightness"] = _noise(rgb, luma)
    groups["grid"], offset = _grid(luma)
    groups.update(_transform(luma, offset))
    groups["picture"] = _picture(rgb, luma, missing)
    return {name: np.asarray(group, dtype=np.float32) for name, group in groups.items()}


def _log(values: np.ndarray | float) -> np.ndarray:
    return np.log(np.asarray(values) + 0.01)


def _slopes(plane: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.diff(plane, axis=1)[:-1], np.diff(plane, axis=0)[:, :-1]


def _block_means(plane: np.ndarray, side: int) -> np.ndarray:
    rows, cols = (length // side for length in plane.shape)
    cut = plane[: rows * side, : cols * side]
    return cut.reshape(rows, side, cols, side).mean(axis=(1, 3))


def _halved(plane: np.ndarray) -> np.ndarray:
    half = _block_means(plane, 2)
    missing = [(0, max(PATCH - side, 0)) for side in half.shape]
    return np.pad(half, missing, mode="symmetric")


def _one_scale(gx: np.ndarray, gy: np.ndarray, blocks: np.ndarray) -> np.ndarray:
    """How strong the slopes are, how peaked their distribution, how far they reach."""
    both = np.concatenate([gx.ravel(), gy.ravel()])
    square = float((both**2).mean()) + 0.01
    peaked = [np.abs(both).mean() / np.sqrt(square), _log(((both * both) ** 2).mean() / square**2)]
    along = [_correlation(gx, gx, lag, 1) + _correlation(gy, gy, lag, 0) for lag in range(1, 9)]
    across = [_correlation(gx, gx, lag, 0) + _correlation(gy, gy, lag, 1) for lag in range(1, 5)]
    return np.concatenate(
        [
            _log(np.quantile(blocks, (0.02, 0.1, 0.25, 0.5, 0.75, 0.9, 0.97, 1.0))),
            [_log(square)],
            peaked,
            along,
            across,
            _log(np.quantile(np.abs(both), (0.5, 0.75, 0.9, 0.97, 0.99, 0.998))),
        ]
    )


def _correlation(a: np.ndarray, b: np.ndarray, lag: int, axis: int) -> float:
    a, b = (a[:-lag], b[lag:]) if axis == 0 else (a[:, :-lag], b[:, lag:])
    # einsum makes no products in between: describing a picture takes a sixth less time.
    both, one, other = (np.einsum("ij,ij->", *pair) / a.size for pair in ((a, b), (a, a), (b, b)))
    return float(both / (np.sqrt(one * other) + 0.01))


def _busy_blocks(blocks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How fast the energy falls from scale to scale where the picture has most of it."""
    order = np.argsort(blocks[4])[::-1]
    shares = (1 / 24, 1 / 8, 1 / 4, 1 / 2, 1.0)
    chosen = [order[: max(1, round(share * len(order)))] for share in shares]
    means = [-np.diff(_log(blocks[:, one].mean(axis=1))) for one in chosen]
    ratios = -np.diff(_log(blocks[:, chosen[2]]), axis=0)
    return np.concatenate(means), np.quantile(ratios, (0.1, 0.3, 0.5, 0.7, 0.9), axis=1).ravel()


def _edges(energies: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Widths of edges: at a step blurred by s the slopes of two more smoothings a < b differ by
    (s² + b²) / (s² + a²) in energy (Elder & Zucker 1998), whatever the height of the step."""
    coarse = energies[3]
    crest = coarse >= ndimage.maximum_filter(coarse, size=(1, 3))
    crest |= coarse >= ndimage.maximum_filter(coarse, size=(3, 1))
    strength = np.where(crest, coarse, -1.0).ravel()
    order = np.argsort(strength)[::-1]
    logs = [_log(energy.ravel()) for energy in energies]
    pairs = ((0, 3), (1, 4), (2, 5), (4, 6))
    wide, sharp = [], []
    for share in (0.005, 0.02):
        chosen = order[: max(8, round(share * len(order)))]
        for a, b in pairs:
            wide.append(np.quantile(logs[a][chosen] - logs[b][chosen], (0.1, 0.3, 0.5, 0.7, 0.9)))
    chosen = order[: max(8, round(0.06 * len(order)))]
    for a, b in pairs:
        ratio = logs[a][chosen] - logs[b][chosen]
        sharp.append(np.quantile(ratio, (0.05, 0.2, 0.4, 0.6, 0.8, 0.9, 0.95, 0.98)))
    return np.concatenate(wide), np.concatenate(sharp)


def _spectra(luma: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Radial power of all patches (and along each axis); of the busiest and of the calmest."""
    powers = _patch_powers(luma)
    order = np.argsort(powers[:, 2:, 2:-2].sum(axis=(1, 2)))
    few = max(1, len(order) // 5)
    mean = powers.mean(axis=0)
    axes = [_log(mean[1 : PATCH // 2 : 2, 0]), _log(mean[0, 1 : PATCH // 2 : 2])]
    parts = [_radial(powers[part].mean(axis=0)) for part in (order[-few:], order[:few])]
    return np.concatenate([_radial(mean), *axes]), np.concatenate(parts)


def _patch_powers(plane: np.ndarray) -> np.ndarray:
    """(n, PATCH, PATCH // 2 + 1) powers of half overlapping patches, a Hann window on each."""
    view = np.lib.stride_tricks.sliding_window_view(plane, (PATCH, PATCH))
    patches = view[:: PATCH // 2, :: PATCH // 2].reshape(-1, PATCH, PATCH)
    line = np.hanning(PATCH + 1)[:-1].astype(np.float32)
    centred = patches - patches.mean(axis=(1, 2), keepdims=True)
    spectrum = np.asarray(fft.rfft2(centred * line[:, None] * line))
    return np.abs(spectrum) ** 2 / (line**2).sum() ** 2


def _radial(power: np.ndarray) -> np.ndarray:
    bins = _radii()
    return _log(np.bincount(bins, power.ravel(), RADII + 1) / np.bincount(bins))[:RADII]


@lru_cache(maxsize=1)
def _radii() -> np.ndarray:
    y, x = fft.fftfreq(PATCH)[:, None], fft.rfftfreq(PATCH)[None]
    radius = np.maximum(np.hypot(y, x) * PATCH - 1.0, 0.0)
    return np.minimum(np.floor(radius * RADII / (PATCH / 2)), RADII).astype(int).ravel()


def _colour_spectra(rgb: np.ndarray, luma: np.ndarray) -> np.ndarray:
    """JPEG keeps colour at half of the resolution; noise of a sensor does not."""
    planes = (rgb[..., 0] - luma, rgb[..., 2] - luma)
    return np.concatenate([_radial(_patch_powers(plane).mean(axis=0)) for plane in planes])


def _noise(rgb: np.ndarray, luma: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Diagonal high-pass (Immerkaer 1996) in the calm blocks: strength, colour, whiteness."""
    mask = np.array([1.0, -2.0, 1.0], dtype=np.float32) / np.sqrt(6.0)
    high = ndimage.convolve1d(ndimage.convolve1d(rgb, mask, axis=0), mask, axis=1)[1:-1, 1:-1]
    grey = high @ LUMA
    powers = [_block_means(plane**2, 4).ravel() for plane in (*np.moveaxis(high, 2, 0), grey)]
    strength = [_log(np.quantile(power, (0.02, 0.1, 0.2, 0.35, 0.5, 0.8))) for power in powers]
    calm = np.argsort(powers[3])[: max(4, len(powers[3]) // 4)]
    pairs = [high[..., a] * high[..., b] for a, b in ((0, 1), (1, 2), (0, 2))]
    shared = [_block_means(pair, 4).ravel()[calm].mean() for pair in pairs]
    own = [power[calm].mean() for power in powers[:3]]
    colour = [
        s / (np.sqrt(own[a] * own[b]) + 0.01)
        for s, (a, b) in zip(shared, ((0, 1), (1, 2), (0, 2)), strict=True)
    ]
    white = [_correlation(grey, grey, lag, axis) for lag in (1, 2, 3) for axis in (0, 1)]
    light = _block_means(luma[1:-1, 1:-1], 4).ravel()
    by_light = []
    for part in np.array_split(np.argsort(light), 5):
        quantiles = _log(np.quantile(powers[3][part], (0.1, 0.3, 0.6)))
        by_light.extend([*quantiles, light[part].mean() / 255.0])
    return np.concatenate([*strength, colour, white]), np.array(by_light)


def _grid(luma: np.ndarray) -> tuple[np.ndarray, tuple[int, int]]:
    """Steps that stand alone, by their place modulo 8, strongest place first; and that place."""
    figures, offset = [], []
    for plane in (luma.T, luma):
        step = np.abs(np.diff(plane, axis=1))
        alone = step[:, 1:-1] - np.maximum(step[:, :-2], step[:, 2:])
        loud, faint = (
            _by_phase(alone.clip(0.0, limit).mean(axis=0) / limit) for limit in (12.0, 3.0)
        )
        best = int(faint.argmax())
        figures += [np.roll(loud, -best), np.roll(faint, -best)]
        offset.append((best + 2) % 8)  # the step before line k + 2 is the k-th of `alone`
    return np.concatenate(figures) * 10.0, (offset[0], offset[1])


def _by_phase(line: np.ndarray) -> np.ndarray:
    return line[: len(line) // 8 * 8].reshape(-1, 8).mean(axis=0)


def _transform(luma: np.ndarray, offset: tuple[int, int]) -> dict[str, np.ndarray]:
    """The 8 x 8 cosine transform on the grid that was found, and between its lines."""
    found = _coefficients(luma, offset)
    between = _coefficients(luma, ((offset[0] + 4) % 8, (offset[1] + 4) % 8))
    sizes, other = np.abs(found), np.abs(between)
    return {
        "coefficients": np.concatenate([_diagonals(_log(sizes)), _diagonals(_log(other))]),
        "empty coefficients": np.concatenate([_diagonals(sizes < 1.5), _diagonals(other < 1.5)]),
        "quantisation": np.concatenate([_combs(found), _combs(between)]),
    }


def _coefficients(luma: np.ndarray, offset: tuple[int, int]) -> np.ndarray:
    cut = luma[offset[0] :, offset[1] :] - 128.0
    rows, cols = (length // 8 for length in cut.shape)
    blocks = cut[: rows * 8, : cols * 8].reshape(rows, 8, cols, 8).swapaxes(1, 2)
    return fft.dctn(blocks, axes=(2, 3), norm="ortho").reshape(-1, 8, 8)


def _diagonals(values: np.ndarray) -> np.ndarray:
    where = np.add.outer(np.arange(8), np.arange(8)).ravel()
    return np.bincount(where, values.mean(axis=0).ravel()) / np.bincount(where)


def _combs(coefficients: np.ndarray) -> np.ndarray:
    """How well the coefficients sit on the multiples of each quality's table, -1 to 1."""
    low = coefficients.reshape(-1, 64)[:, _low_frequencies()]
    scores = []
    for quality in QUALITIES:
        step = _table(quality)[_low_frequencies()]
        parts = low / step
        counted = np.abs(parts) > 0.5
        fit = np.cos(2 * np.pi * parts, where=counted, out=np.zeros_like(parts))
        scores.append(fit.sum() / (counted.sum() + 4.0))
    return np.array(scores)


@lru_cache(maxsize=1)
def _low_frequencies() -> np.ndarray:
    order = np.add.outer(np.arange(8), np.arange(8)).ravel()
    return np.flatnonzero((order > 0) & (order < 6))


@lru_cache(maxsize=32)
def _table(quality: int) -> np.ndarray:
    scale = 5000 / quality if quality < 50 else 200 - 2 * quality
    return np.floor((LUMA_TABLE * scale + 50) / 100).clip(1, 255)


def _picture(rgb: np.ndarray, luma: np.ndarray, missing: list[int]) -> np.ndarray:
    cells = _block_means(luma, 16)
    share = [(rgb < 1.5).mean(), (rgb > 253.5).mean()]
    spread = np.quantile(luma, (0.02, 0.25, 0.5, 0.75, 0.98)) / 255.0
    colour = (rgb.max(axis=2) - rgb.min(axis=2)).mean() / 255.0
    sides = np.log(np.array(luma.shape) - missing)
    return np.concatenate([share, spread, [colour, _log(cells.std())], sides])
