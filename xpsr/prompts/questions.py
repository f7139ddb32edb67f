"""What a vision model is asked about a picture, and how its answer becomes a prompt."""

from __future__ import annotations

from dataclasses import dataclass

from xpsr.errors import XPSRError
from xpsr.prompts import MAX_CHARACTERS

MAX_NEW_TOKENS = 175  # what the authors' max_length of 200 leaves beside the question


@dataclass(frozen=True)
class Questions:
    """The question about the content and the one about the quality."""

    high: str
    low: str


_CONTENT = "Please provide a descriptive summary of the content of this image."

QUESTIONS = {
    # Both instructions of the paper, put to the same LLaVA.
    "paper": Questions(
        high=_CONTENT,
        low="Please describe the quality of this image and evaluate it based on factors such as "
        "clarity, color, noise, and lighting.",
    ),
    # The authors' program asks this of a model that was trained on Q-Instruct.
    "q-instruct": Questions(
        high=_CONTENT,
        low="Describe and evaluate the quality of the image.",
    ),
}

# How models that were never shown the picture begin. A caption never begins like this.
_EXCUSES = ("i'm sorry", "i am sorry", "sorry", "i cannot", "i can't", "i can not", "i am unable")
_EXCUSES += ("i'm unable", "as an ai", "i don't see", "i do not see", "unfortunately")
_SEEING = ("image", "picture", "photo", "visual")


def choose_questions(name: str) -> Questions:
    """The questions of that name; XPSRError if there are none."""
    if name not in QUESTIONS:
        raise XPSRError(f"The option questions takes one of {', '.join(QUESTIONS)}.")
    return QUESTIONS[name]


def tidy(text: str) -> str:
    """A model's answer on one line, as the authors store it, without unprintable characters."""
    printable = "".join(c if c.isprintable() else " " for c in text)
    return " ".join(printable.split())


def check_answer(text: str, who: str) -> str:
    """A tidy answer that can stand in a box and in a recipe.

    Raises:
        XPSRError: it is empty, too long, or says that no picture was seen.
    """
    answer = tidy(text)
    if not answer:
        raise XPSRError(f"{who} gave an empty answer; ask again, or choose another model.")
    if len(answer) > MAX_CHARACTERS:
        raise XPSRError(
            f"{who} wrote more than {MAX_CHARACTERS:,} characters, which is no description; "
            "choose another model."
        )
    start = answer.lower().replace("’", "'")
    if start.startswith(_EXCUSES) and any(word in start[:200] for word in _SEEING):
        raise XPSRError(
            f"{who} says that it cannot see the picture; choose a model that takes pictures."
        )
    return answer
