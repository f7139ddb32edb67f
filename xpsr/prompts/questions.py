"""What a vision model is asked about a picture, and how its answer becomes a prompt."""

from __future__ import annotations

import re
from dataclasses import dataclass

from xpsr.errors import XPSRError
from xpsr.prompts import MAX_CHARACTERS, is_writing

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

# How models begin that were never shown the picture. A caption never begins like this.
_SEEN = r"(?:image|picture|photo|visual)"
_EXCUSES = re.compile(
    rf"""
    (?:(?:i'm|i\ am|we're)?\ ?sorry|i\ can(?:not|'t|\ not)|(?:i'm|i\ am)\ (?:unable|not\ able|an?\ )
    |i\ (?:don't|do\ not)\ (?:see|have)|unfortunately|as\ an?\ (?:\w+[\ -]){{0,3}}(?:ai|model)\b)
    .{{0,150}}{_SEEN}
    | (?:it\ )?(?:seems|looks|appears)\ (?:like\ |that\ )?you\b .{{0,150}}{_SEEN}
    | (?:(?:it\ )?(?:seems|looks|appears)\ (?:like\ |that\ )?)?
      there(?:'s|\ is|\ was)\ no\ {_SEEN}s?\b
    | (?:please|could\ you)\b .{{0,40}}\b(?:provide|upload|share|attach|send) .{{0,40}}{_SEEN}
    | no\ {_SEEN}\b
    """,
    re.VERBOSE | re.IGNORECASE,
)
_THOUGHTS = re.compile(r"\s*<think>.*?(?:</think>|$)", re.DOTALL)  # of models that think aloud


def choose_questions(name: str) -> Questions:
    """The questions of that name; XPSRError if there are none."""
    if name not in QUESTIONS:
        raise XPSRError(f"The option questions takes one of {', '.join(QUESTIONS)}.")
    return QUESTIONS[name]


def tidy(text: str) -> str:
    """A model's answer on one line, as the authors store it, without unprintable characters."""
    printable = "".join(c if is_writing(c) else " " for c in text)
    return " ".join(printable.split())


def check_answer(text: str, who: str) -> str:
    """A tidy answer that can stand in a box and in a recipe.

    Raises:
        XPSRError: it is empty, too long, or says that no picture was seen.
    """
    answer = tidy(_THOUGHTS.sub("", text, count=1))
    if not answer:
        raise XPSRError(f"{who} gave an empty answer; ask again, or choose another model.")
    if len(answer) > MAX_CHARACTERS:
        raise XPSRError(
            f"{who} wrote more than {MAX_CHARACTERS:,} characters, which is no description; "
            "choose another model."
        )
    if _EXCUSES.match(answer.replace("’", "'")):
        raise XPSRError(
            f"{who} says that it cannot see the picture; choose a model that takes pictures."
        )
    return answer
