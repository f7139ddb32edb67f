"""What the Compare tab says."""

from __future__ import annotations

from xpsr.counted import counted

TAB = "Compare"

# Choosing --------------------------------------------------------------------------------------
INTRO = "Choose two results; the examples stand behind your own. The newest is first."
STRIP = "{side} · choose a result"
SWAP = "Swap A and B"
NONE_CHOSEN = (
    "Choose A and B above. To have two results of one picture, change a word and press Restore "
    "once more."
)
SAME_RUN = "A and B are the same result."
OTHER_INPUT = "A and B were made from different pictures."
MAYBE_OTHER_INPUT = "One of the two recipes is too old to tell whether both had the same picture."


def other_size(first: tuple[int, int], second: tuple[int, int]) -> str:
    one, other = ("{} × {}".format(*size) for size in (first, second))
    return (
        f"A has {one} pixels and B {other}: they are shown side by side, and cannot be laid over "
        "each other or voted on."
    )


def chosen(first: str, second: str) -> str:
    return f"A: {first} — B: {second}"


# Looking ---------------------------------------------------------------------------------------
SLIDER = "A left of the divider, B right of it"
POSITION = "Move the divider of the comparison"
POSITION_INFO = "Left of it you see A, right of it B."
DIFFERENCE = "Where A and B differ"
DIFFERENCE_MAP = "Difference of A and B, made stronger"
DIFFERENCE_INFO = "Black where both are equal; colours where a colour differs."
GAIN = "How much stronger"
GAIN_INFO = "1 shows the difference as it is; 8 shows what the eye would miss."

# What changed ----------------------------------------------------------------------------------
WORDS_CHANGED = "Texts: A to B"
MARKS = "Struck out: only in A. Underlined: only in B."
SETTINGS_CHANGED = "Settings, model and versions"
SETTINGS_SAME = "Settings, model and versions are the same."
SCORES = "Scores"
SCORE_COLUMNS = ("Score", "A", "B", "B against A")
NO_SCORE = "not computed"
NO_SCORES = "Neither of the two has scores yet."
SIZE = "How much changes from A to B"
SIZE_ROWS = ("Mean difference", "PSNR between the two", "GMSD between the two")
SIZE_INFO = (
    "This says how far A and B are apart, not which is better. Below about one grey level hardly "
    "anybody sees a change."
)
MEASURING = "Measuring…"


def grey_levels(mean: float) -> str:
    return f"{mean:.2f} of 255 grey levels"


def decibel(value: float) -> str:
    return f"{value:.1f} dB (80 means equal)" if value >= 79.95 else f"{value:.1f} dB"


def gmsd(value: float) -> str:
    return f"{value:.3f} (0 means the same edges)"


# The blind vote --------------------------------------------------------------------------------
VOTE = "Blind vote: which is better, without knowing which is which"
VOTE_INFO = (
    "Left and right are drawn anew for every vote and nothing on the page tells which is A. "
    "Decide beforehand how many votes you will give: stopping when it looks good makes the "
    "figure worthless."
)
MATCHING = "Also the other pairs of this visit that differ in the same way"
MATCHING_INFO = "So that one setting is judged over several pictures."
START = "Start a blind vote with A and B"
LEFT, RIGHT, TIE = "Left is better", "Right is better", "No difference"
LEFT_PICTURE, RIGHT_PICTURE = "Left", "Right"
RESUME = "Show the votes so far"
REVEAL = "Reveal the result"
BACK = "Back to comparing"
DISCARD = "Discard all votes"
SAVE_JSON = "Votes and recipes (JSON)"
SAVE_CSV = "Votes (CSV)"
OTHER_KINDS = "Other pairs differ in another way, so their votes are counted by themselves:"
PAIR_COLUMNS = ("Pair", "for A", "for B", "no difference")
CANNOT_VOTE = "A vote needs two different results of the same picture and of the same size."
GONE = "no longer there"
NO_PAIR_LEFT = (
    "None of the pictures of this vote is there any more: they were removed to make room, or for "
    "their age. These are your votes so far."
)
TOO_MANY_PAIRS = "A vote takes at most {count} pairs; the rest was left out."


def kept(votes: int) -> str:
    return (
        f"{counted(votes, 'vote')} kept in this browser. What you vote on now is counted "
        "with them; to begin anew, show them and discard them."
    )


def trial(number: int, votes: int, pairs: int) -> str:
    given = "no votes yet" if not votes else f"{counted(votes, 'vote')} so far"
    over = counted(pairs, "pair")
    return f"Comparison {number} · {given} · {over}. Which of the two is better?"


def pairs_gone(count: int) -> str:
    """Pairs that had to be dropped from the vote; empty where there are none."""
    if not count:
        return ""
    is_asked = (
        "pair is no longer there and is" if count == 1 else "pairs are no longer there and are"
    )
    return f"{count} {is_asked} asked no more."


def verdict(for_a: int, for_b: int, ties: int, chance: float) -> str:
    """The result in one or two plain sentences."""
    count = for_a + for_b
    undecided = f" {counted(ties, 'time')} no difference was seen." if ties else ""
    if not count:
        return f"No vote for either side.{undecided}"
    if for_a == for_b:
        return f"{for_a} of {count} votes for each: no preference.{undecided}"
    winner, most = ("A", for_a) if for_a > for_b else ("B", for_b)
    return (
        f"{most} of {count} for {winner}; chance alone gives a split as uneven as this in "
        f"{percent(chance)} of cases. {weight(chance)}{undecided}"
    )


def percent(share: float) -> str:
    if share < 0.001:
        return "less than 0.1 %"
    return f"{100 * share:.1f} %" if share < 0.01 else f"{100 * share:.0f} %"


def weight(chance: float) -> str:
    if chance <= 0.05:
        return "That is hard to explain by chance."
    return "That may well be chance."


def last_sides(left: str) -> str:
    return f"In the last comparison {left} was on the left."


def more_pairs(count: int) -> str:
    return f"{MATCHING} ({count})"
