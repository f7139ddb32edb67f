"""The texts of the Word maps tab."""

from __future__ import annotations

TAB = "Word maps"
INTRO = (
    "While the model works on your picture, every place of it looks at the words of both texts. "
    "Here you see which words it looks at where."
)
RUN = "Result"
RUN_INFO = "It is made once more with the same recipe, and watched. It takes as long as before."
RECORD = "Record word maps"
NONE_YET = "Nothing is recorded yet. Choose a result and press “Record word maps”."
NO_RUNS = "There is no result yet: restore a picture first, on the first tab."
NO_TEXTS = (
    "This result was made without texts, so there are no maps of it. Choose another one, or "
    "restore the picture with texts."
)
STOPPED = "Stopped. Nothing new was recorded; what was recorded before stays."
SAME = "Recorded. The result is the same as without recording, pixel by pixel."
BELOW = (
    "The maps below are those of {name}. For a while they are found again whenever you choose it; "
    "the download keeps them."
)
OTHER = (
    "Recorded. The pixels are not those of the first time, {why}. What you see belongs to the new "
    "ones."
)
OTHER_BECAUSE = "as {reasons}"
OTHER_UNKNOWN = "though all that the recipe tells is the same"
DIFFERENCE = "{place} was {before} and is {now}"

BRANCHES = {"high": "What is in the picture", "low": "What is wrong with it"}
WORD = "Word"
WORD_INFO = "Or click it in the text. The figure is its share over all steps and layers."
PICTURE = "Where “{word}” is looked at from"
EMPTY = "This text is empty, so there is nothing to see."
UNREAD = "The model that made this result does not read this text."
CHOSEN = "shown below"
SCALE_LABEL = "Colours from {low} to {high} of the attention"

STEPS = "Steps"
STEPS_INFO = "Early ones lay out the picture, late ones fill in detail."
LAYERS = "Layers"
LAYERS_INFO = "How finely the layers of the model see the picture."
ALL = "all"
LAYER = "places of {size} pixels"
COLORS = "Colours"
COLORS_INFO = "Its own range shows small differences, too. One scale shows which words get more."
OWN_RANGE = "each word in its own range"
ONE_SCALE = "all words on one scale"
STRENGTH = "Strength of the colours"
STRENGTH_INFO = "0 shows the picture alone, 1 the colours alone."
DOWNLOAD = "Download all maps (NPZ)"
CAUTION = (
    "Attention is not effect: a word that is looked at a lot may change nothing, and the other way "
    "round. To measure what a word does, leave it out and compare."
)
ABLATE = "Leave words out and measure"


def percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def word_choice(text: str, share: float) -> str:
    return f"{text} · {percent(share)}"


def about_word(text: str, share: float, least: float, most: float) -> str:
    return (
        f"“{text}” gets {percent(share)} of the attention on the whole, and {least:.2g} to "
        f"{most:.2g} times as much at single places."
    )


def about_text(words: float) -> str:
    return (
        f"{percent(words)} of the attention goes to these words and signs, the rest to the marks "
        "that begin and end every text."
    )


def steps(part: tuple[int, ...]) -> str:
    first, last = part[0] + 1, part[-1] + 1
    return str(first) if first == last else f"{first}–{last}"
