"""The opposite of a quality text, clean for degraded and back, as in the paper's Fig. 1.

Every statement is turned by itself: "sharp, with strong noise" becomes "very blurry, with no
noise". Sentences of the measured describer turn into sentences of the measured describer, which
is what `mini` understands, and the degrees of a DaLPSR sentence are mirrored.
"""

from __future__ import annotations

import re

from xpsr.errors import XPSRError

_HOW_MUCH = "a little|a bit of|some|slight|slightly|faint|mild|light|minor|visible|noticeable"
_HOW_MUCH += "|clearly visible|obvious|moderate|strong|very strong|heavy|severe|a lot of|much"
_FAULTS = "noise|grain|blur|blurring|distortion|artifacts|artefacts|compression artifacts"
_FAULTS += "|jpeg artifacts|jpeg blocks|compression blocks|compression|blocking|banding|haze|fog"
_FAULTS += "|scratches|dust|ringing|aliasing|motion blur|defects|degradation|dots|raster lines"
_DEGREE = (
    r"(?:(?:a\ little|a\ bit|slightly|somewhat|rather|quite|fairly|very|extremely|too|so)\s+)?"
)

# Bad and good: each turns into the first one on the other side of its line.
_WORDS = (
    ("blurry|blurred|unsharp|fuzzy|smeared|out of focus|defocused", "sharp|in focus"),
    ("soft|over-smoothed|oversmoothed", "crisp"),
    ("noisy|grainy|dirty|dotted", "clean|noise-free|noiseless"),
    ("unclear|hazy|foggy|murky|indistinct", "clear|distinct"),
    ("pixelated|blocky|jagged", "smooth"),
    ("low-resolution|low-res|lowres|low res", "high-resolution|high-res|highres|high res|8k|4k|hd"),
    ("low-quality|bad quality", "high-quality"),
    ("worst", "best"),
    ("poor|bad|terrible|awful", "good|excellent|great|perfect"),
    ("low", "high"),
    ("dark|dim|underexposed|gloomy", "bright|well-lit"),
    ("overexposed", "well exposed"),
    ("muted|dull|faded|washed out|washed-out|pale", "vivid|vibrant|saturated"),
    ("degraded|damaged|distorted|compressed", "pristine|undamaged|undistorted|uncompressed"),
    ("few details|little detail", "rich details|fine detail|detailed"),
    ("hard to see", "easy to see"),
    ("weak", "strong"),
    ("lack of", "wealth of"),
)

# The sentences of the measured describer, and others that turn as a whole.
_SENTENCES = (
    (r"there\ is\ (?:slight|visible|strong|very\ strong)\ noise", "there is no noise"),
    (r"there\ is\ no\ noise", "there is strong noise"),
    (r"there\ are\ no\ jpeg\ blocks", "JPEG blocks are clearly visible"),
    (
        r"jpeg\ blocks\ are\ (?:faint|visible|clearly\ visible|very\ strong)",
        "there are no JPEG blocks",
    ),
    (r"is\ sharp", "is very blurry"),
    (r"normally\ bright", "normally bright"),
    (r"lacks", "has"),  # and not the other way round: what the picture has is no fault
    (r",?\ with\ a\ (?:slight|strong)\ \w+\ cast", ""),
)

NO_OPPOSITE = (
    "Nothing in this text says how good or bad the picture is, so it has no opposite; "
    "“The image is sharp.” and “strong noise” have one."
)
EMPTY = "There is no text yet: describe the picture or write how it looks, then turn it round."


def opposite(text: str) -> str:
    """`text` with every statement about quality turned round; all else stays as it is.

    Raises:
        XPSRError: the text is empty, or says nothing that could be turned.
    """
    if not text.strip():
        raise XPSRError(EMPTY)
    turned = _TURN.sub(_turn, text)
    if turned == text:
        raise XPSRError(NO_OPPOSITE)
    return turned


def _alternatives(words: str) -> str:
    longest_first = sorted(words.split("|"), key=len, reverse=True)
    return "|".join(re.escape(word) for word in longest_first)


def _table() -> tuple[dict[str, str], dict[str, str]]:
    to_good, to_bad = {}, {}
    for bad, good in _WORDS:
        for word in bad.split("|"):
            to_good.setdefault(word, good.split("|")[0])
        for word in good.split("|"):
            to_bad.setdefault(word, bad.split("|")[0])
    return to_good, to_bad


_TO_GOOD, _TO_BAD = _table()
_ANY = _alternatives("|".join([*_TO_GOOD, *_TO_BAD]))
_AMOUNT, _FAULT = _alternatives(_HOW_MUCH), _alternatives(_FAULTS)
_TURN = re.compile(
    rf"""
    \b(?P<sentence>{"|".join(pattern for pattern, _ in _SENTENCES)})\b
    | (?P<sigma>with\ sigma\ )(?P<low>[01](?:\.\d+)?)~(?P<high>[01](?:\.\d+)?)
    | \b(?P<none>no|without(?:\ any)?|free\ of)\s+(?:(?:{_AMOUNT})\s+)?(?P<missing>{_FAULT})\b
    | (?:\bnot|(?P<joined>n['’]t))\s+(?P<denied>{_DEGREE}(?:{_ANY}))\b
    | \b(?:{_AMOUNT})\s+(?P<fault>{_FAULT})\b
    | \b(?P<degree>{_DEGREE})(?P<word>{_ANY})\b(?![-\w])
    """,
    re.VERBOSE | re.IGNORECASE,
)


def _turn(found: re.Match[str]) -> str:
    """The opposite of one statement, with a capital letter where it had one."""
    new = _turned(found)
    return new[:1].upper() + new[1:] if found.group()[:1].isupper() else new


def _turned(found: re.Match[str]) -> str:
    part = {name: text or "" for name, text in found.groupdict().items()}
    if part["sentence"]:
        return _turned_sentence(part["sentence"])
    if part["sigma"]:
        low, high = (round(1 - float(part[end]), 4) for end in ("high", "low"))
        return f"{part['sigma']}{low:g}~{high:g}"
    if part["none"]:
        start = "" if part["none"].lower() == "no" else "with "
        return f"{start}strong {part['missing']}"
    if part["denied"]:
        return " " + part["denied"] if part["joined"] else part["denied"]
    if part["fault"]:
        return f"no {part['fault']}"
    word = part["word"].lower()
    return _TO_GOOD.get(word) or part["degree"] + _TO_BAD[word]


def _turned_sentence(text: str) -> str:
    for pattern, replacement in _SENTENCES:
        if re.fullmatch(pattern, text, re.VERBOSE | re.IGNORECASE):
            return replacement
    return text
