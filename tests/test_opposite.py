"""The opposite of a quality text."""

from __future__ import annotations

import pytest

from xpsr.errors import XPSRError
from xpsr.prompts import measured
from xpsr.prompts.opposite import opposite
from xpsr.prompts.sentences import split_sentences

CLEAN = "The image is sharp. There is no noise. There are no JPEG blocks."
DEGRADED = "The image is very blurry. There is strong noise. JPEG blocks are clearly visible."


def test_clean_and_degraded_turn_into_each_other():
    assert opposite(CLEAN) == DEGRADED
    assert opposite(DEGRADED) == CLEAN


def known_sentences() -> set[str]:
    tables = (measured.BLUR_WORDS, measured.NOISE_WORDS, measured.JPEG_WORDS)
    return {sentence for table in tables for _, sentence in table}


@pytest.mark.parametrize("sentence", sorted(known_sentences()))
def test_sentences_of_the_measured_describer_turn_into_such(sentence):
    turned = opposite(sentence)
    assert turned in known_sentences() and turned != sentence
    clean = {part.strip() for part in split_sentences(CLEAN)}
    assert (sentence in clean) != (turned in clean)


@pytest.mark.parametrize(
    ("text", "turned"),
    [
        ("It is very dark with low contrast.", "It is bright with high contrast."),
        ("It is normally bright with normal contrast. It is dull.",
         "It is normally bright with normal contrast. It is vivid."),
        ("The colours are muted with a slight red cast.", "The colours are vivid."),
        ("Deblur with sigma 0.5~0.75, Denoise with sigma 0.25~0.5, Dejpeg with sigma 0~0.25",
         "Deblur with sigma 0.25~0.5, Denoise with sigma 0.5~0.75, Dejpeg with sigma 0.75~1"),
        ("Blurred, with strong noise and visible compression blocks.",
         "Sharp, with no noise and no compression blocks."),
        ("A very sharp one without any artifacts.", "A very blurry one with strong artifacts."),
        ("It is not sharp and isn't clear.", "It is sharp and is clear."),
        ("It is of low quality and lacks clarity.", "It is of high quality and has clarity."),
        ("high resolution, best quality, clear", "low resolution, worst quality, unclear"),
        ("NOISY and Blurry", "Clean and Sharp"),
        ("A cat on a blurry roof.", "A cat on a sharp roof."),
        ("The blacks are crushed and the image is sharp.",
         "The blacks are crushed and the image is very blurry."),
        ("It is sharpened, and sharply lit.  It is dark.",
         "It is sharpened, and sharply lit.  It is bright."),
    ],
)  # fmt: skip
def test_statements_are_turned_one_by_one(text, turned):
    assert opposite(text) == turned


@pytest.mark.parametrize("degrees", ["0~0.25", "0.25~0.5", "0.5~0.75", "0.75~1"])
def test_degrees_of_degradation_turned_twice_are_the_same(degrees):
    text = f"Deblur with sigma {degrees}, Denoise with sigma 0~0.25"
    assert opposite(text) != text and opposite(opposite(text)) == text


@pytest.mark.parametrize("text", ["", "  \n", "A cat on a roof.", "猫", "Clearly a sharper one"])
def test_what_cannot_be_turned_is_said(text):
    with pytest.raises(XPSRError, match=r"opposite|no text") as error:
        opposite(text)
    assert str(error.value).endswith(".")
