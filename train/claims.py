"""Quality texts that claim something else than the picture shows, and what they ask for.

A describer's text says what can be seen in the picture as well, and a network that is told nothing
new stops listening. Here a text is made to claim less or more blur, noise and JPEG than was
measured, in the describer's sentences or in other words for them, or to praise the picture.
"""

from typing import NamedTuple

import numpy as np

from xpsr.prompts import OFFICIAL_LOWLEVEL_NEGATIVE
from xpsr.prompts.measured import BLUR_WORDS, JPEG_WORDS, NOISE_WORDS

PRAISE_RATIO = 0.25  # of false claims
ELSEWHERE_RATIO = 0.1  # of texts that say nothing about quality
OWN_WORDS_RATIO = 0.5  # of texts in the describer's sentences
LESS_RATIO = 0.7  # of false claims about damaged pictures: what can be left in is rarer than not
LEFT_OUT_RATIOS = (0.0, 0.15, 0.6)  # of what could be said of each kind; one for each text
ASIDE_RATIO = 0.3

LEVELS = 5
UNSAID, PRAISED = LEVELS, LEVELS + 1
# By level: sigma of the blur in pixels of the input; noise and blocks in grey levels, about the
# middle of what the describer calls so.
BLUR = (0.4, 1.0, 1.7, 2.9, 5.0)
NOISE = (0.0, 7.0, 12.0, 21.0, 34.0)
JPEG = (0.0, 2.0, 4.0, 7.0, 12.0)
MOST = 20.0  # grey levels more than measured that ask for the strongest smoothing
SHARPENING = 0.5  # strength for a level of blur more than measured

SENTENCES = tuple(tuple(word for _, word in w) for w in (BLUR_WORDS, NOISE_WORDS, JPEG_WORDS))
# Other words for blur, noise and JPEG, by level: adjectives, and nouns that can follow "with".
OTHERWISE = (
    (
        ("sharp|crisp|in focus|not blurry", "no blur|sharp edges"),
        ("slightly blurry|a little blurry|slightly soft|a bit soft", "slight blur|a little blur"),
        ("blurry|blurred|out of focus|unsharp|soft", "blur|visible blur|moderate blur"),
        ("very blurry|heavily blurred|quite blurry", "strong blur|heavy blur"),
        ("extremely blurry|severely blurred", "extreme blur|very strong blur|severe blur"),
    ),
    (
        ("noise-free|noiseless|not noisy|free of noise", "no noise|no grain|zero noise"),
        ("slightly noisy|a little noisy|slightly grainy", "slight noise|a little noise|some grain"),
        ("noisy|grainy", "visible noise|noise|moderate noise|grain"),
        ("very noisy|quite noisy|very grainy", "strong noise|heavy noise|a lot of noise"),
        ("extremely noisy", "very strong noise|extreme noise|severe noise"),
    ),
    (
        ("uncompressed|not compressed", "no compression artifacts|no JPEG artifacts|no blocks"),
        ("slightly compressed", "faint compression artifacts|slight JPEG artifacts"),
        ("compressed|blocky", "visible compression artifacts|JPEG artifacts|compression"),
        ("heavily compressed|very blocky", "strong compression artifacts|strong JPEG artifacts"),
        ("extremely compressed", "very strong compression artifacts|severe JPEG artifacts"),
    ),
)
PICTURE = "image|picture|photo|photograph"
SAYS = "The {} is {}|The {} appears {}|The {} looks {}|This {} is {}|The {} seems to be {}"
ASIDES = (
    "The lighting is even|The colours are natural|The contrast is low|Overall the quality varies"
)
ASIDES += "|It was taken by day|It is well composed|The edges are visible|The light is dim"
GOOD = "clean|clear|crisp and clear|sharp and clean|clean and sharp|flawless|perfect|pristine"
GOOD += "|excellent|of high quality|in perfect quality|of excellent quality|high-quality"
GOOD += "|crystal clear|sharp and detailed|very good|undamaged|sharp and noise-free"
TAGS = "high quality|best quality|clear|clean|sharp|high resolution|perfect|masterpiece|crisp"


# Ways to say that nothing is wrong, none of them a sentence of the measured describer.
FLAWLESS = (
    OFFICIAL_LOWLEVEL_NEGATIVE,
    "The image is clean and sharp.",
    "The image is in perfect quality.",
)


class Claim(NamedTuple):
    """A quality text, and what becomes of the restored picture by it.

    Praise asks for nothing here: what it does the denoiser has learnt by `trust_ratio`.

    Attributes:
        text: the text.
        like: a text that the networks knew before and that asks for the same, or none of theirs.
        said: the levels of blur, noise and JPEG that it names, 0 to 4, `UNSAID` or `PRAISED`.
        noise: -1 (all noise and blocks stay) to 0 (restored as measured) to 1 (smoothed even more).
        blur: -1 (all blur stays) to 0 to 2 (strength of a sharpening).
    """

    text: str
    like: str
    said: tuple[int, int, int] = (UNSAID, UNSAID, UNSAID)
    noise: float = 0.0
    blur: float = 0.0


def claim(text: str, content: str, random: np.random.Generator, false_ratio: float) -> Claim:
    """Another quality text in the place of a measured one.

    Args:
        text: of the measured describer; one of another describer comes back as it is.
        content: what the picture shows, which may stand in the wrong place.
        false_ratio: chance that the text claims something else than was measured. Otherwise it says
            the same, in the same words or in others, or nothing about quality.
    """
    found = _levels(text)
    if found is None:
        return Claim(text, text)
    if random.random() < ELSEWHERE_RATIO:
        return Claim(content, text)
    told = list(found)
    if random.random() < false_ratio:
        if random.random() < PRAISE_RATIO:
            return _praise(random)
        if any(found) and random.random() < LESS_RATIO:
            while told == found:
                told = [int(random.integers(level + 1)) for level in found]
        else:
            for kind in random.permutation(3)[: random.integers(1, 4)]:
                told[kind] = int(random.integers(LEVELS))
    left_out = random.choice(LEFT_OUT_RATIOS)
    said = [UNSAID if random.random() < left_out else level for level in told]
    heard = [f if s == UNSAID else s for f, s in zip(found, said, strict=True)]
    rest = text.split(SENTENCES[2][found[2]])[1].strip()
    new = _worded(said, rest, random)
    return Claim(new, text, (said[0], said[1], said[2]), *_difference(found, heard))


def is_measured(text: str) -> bool:
    """Whether a quality text is of the measured describer."""
    return _levels(text) is not None


def _levels(text: str) -> list[int] | None:
    """Levels of blur, noise and JPEG in a text of the measured describer; None = it is another."""
    found = [next((i for i, s in enumerate(kind) if s in text), None) for kind in SENTENCES]
    known = [level for level in found if level is not None]
    return known if len(known) == len(found) else None


def _difference(found: list[int], told: list[int]) -> tuple[float, float]:
    """`noise` and `blur` of a `Claim` that tells these levels where those were found."""
    there = NOISE[found[1]] + JPEG[found[2]]
    more = NOISE[told[1]] + JPEG[told[2]] - there
    noise = more / there if more < 0 else min(more / MOST, 1.0)
    levels = told[0] - found[0]
    if levels >= 0:
        return noise, SHARPENING * levels
    return noise, (BLUR[told[0]] - BLUR[found[0]]) / (BLUR[found[0]] - BLUR[0])


def _praise(random: np.random.Generator) -> Claim:
    if random.random() < 0.3:
        tags = random.permutation(TAGS.split("|"))[: random.integers(2, 5)]
        text = ", ".join(tags)
    else:
        text = f"{_one(SAYS, random).format(_one(PICTURE, random), _one(GOOD, random))}."
    return Claim(text, str(random.choice(FLAWLESS)), (PRAISED, PRAISED, PRAISED))


def _worded(said: list[int], rest: str, random: np.random.Generator) -> str:
    kinds = [kind for kind, level in enumerate(said) if level != UNSAID]
    if random.random() < OWN_WORDS_RATIO:
        return " ".join([*(SENTENCES[kind][said[kind]] for kind in kinds), rest])
    if random.random() < 0.5:
        random.shuffle(kinds)

    def other(kind: int, form: int) -> str:
        return _one(OTHERWISE[kind][said[kind]][form], random)

    form = random.random()
    if form < 0.4 or not kinds:
        return ", ".join(other(kind, int(random.integers(2))) for kind in kinds)
    nouns = form < 0.7
    words = [other(kind, int(nouns and place > 0)) for place, kind in enumerate(kinds)]
    described = (" with " if nouns else " and ").join(words[:2])
    text = _one(SAYS, random).format(_one(PICTURE, random), described)
    text = " and ".join([text, *words[2:]]) + "."
    if random.random() < ASIDE_RATIO:
        text += f" {_one(ASIDES, random)}."
    return f"{text} {rest}" if random.random() < 0.5 else text


def _one(words: str, random: np.random.Generator) -> str:
    return str(random.choice(words.split("|")))
