"""The texts of the Restore tab, and the names of the settings."""

from __future__ import annotations

from ..words import LARGEST_UPLOAD, took

FIRST_STEPS = (
    "Drop a photograph into “1 · Your picture”, or open an example.",
    "Press “Describe it for me”, and correct what is wrong.",
    "Press “Restore”.",
    "Drag the divider to compare, then download.",
)
HIDE_STEPS = "Got it"

# Left: the picture and its two texts -----------------------------------------------------------
PICTURE = "1 · Your picture"
PICTURE_DROP = (
    f"Drop a photograph here, paste it, or click to choose a file (of {LARGEST_UPLOAD} MB at most)"
)
BACK_TO_MINE = "Back to what I had"
MINE_BACK = "What you had is back."
SEE_RECIPE = "See its recipe"
DESCRIBE = "Describe it for me"
DESCRIBE_STOP = "Stop describing"
HIGH = "2 · What is in the picture"
HIGH_INFO = "Objects, place, colours, light. A wrong word is worth correcting."
HIGH_EMPTY = "A stone bridge over a river, trees behind it, evening light."
LOW = "3 · What is wrong with it"
LOW_INFO = "Blur, noise, compression, contrast: its faults, or that it has none."
LOW_EMPTY = "Blurred, with strong noise and visible compression blocks."
RESTORE = "Restore"
EXAMPLES = "Or open a finished example"

# Right: the result -----------------------------------------------------------------------------
STATUS_EMPTY = (
    "Drop a picture into “1 · Your picture” and press Restore; the comparison appears here."
)
PREVIEW = "The picture while it is being restored"
COMPARED = "Before and after"
COMPARED_PINNED = "Pinned and this one"
POSITION = "Move the divider"
POSITION_INFO = "Left of it you see the picture before, right of it after."
DOWNLOAD = "Download the picture (PNG)"
DOWNLOAD_RECIPE = "Recipe (JSON)"
ANOTHER = "Another version"
STILL_AT_WORK = "A picture is under way. When it is done, press again."
ONLY_VERSION = (
    "With these settings every seed gives the same picture: there is no other version. Another "
    "preset, or another start under “Advanced”, leaves something to chance."
)
PIN = "Pin as baseline"
UNPIN = "Unpin"
IS_PINNED = "pinned"
IS_SHOWN = "shown"
PINNED_NOW = "Pinned. From now on the scores of every result are compared with this one as well."
UNPINNED = "No result is pinned any more."
IS_THE_PINNED = "This is the pinned result itself."
PINNED_OTHER_SIZE = "The pinned result has another size, so the two cannot lie on one another."
NOTHING_TO_PIN = "There is no result to pin yet: restore a picture first."
AGAINST = "On the left"
AGAINST_INFO = "What the result is compared with."
AGAINST_BICUBIC = "your picture, enlarged"
AGAINST_PINNED = "the pinned result"
STRIP = "Your results, the newest first"
MORE_SCORES = "More scores: by trained networks, or against the true picture"
REFERENCE = "The true picture, if you have it"
REFERENCE_DROP = "Drop it here. It must be as large as the result."
SCORE_NOW = "Score this result"
NOTHING_TO_SCORE = "There is no result to score yet: restore a picture first."
SCORED = "Scored. The table above has the figures, or why there is none."
SCORED_ANOTHER = (
    "Scored: the figures are kept with the result that was open then. Open it to see them."
)
SCORING_STOPPED = "Stopped. What was scored until then is in the table."
CLOSER = "Look closer: single pixels, and what has changed"
OVERVIEW = "Click where to look"
ACROSS = "From left to right"
ACROSS_INFO = "Where to look, in per cent."
DOWN = "From top to bottom"
DOWN_INFO = "Where to look, in per cent."
ZOOM = "Zoom"
ZOOM_INFO = "1:1 shows every pixel as one."
DETAIL_BEFORE = "Before"
DETAIL_PINNED = "Pinned"
DETAIL_AFTER = "After"
GAIN = "Strengthen the difference"
GAIN_INFO = "Times. Black: nothing has changed there."
DIFFERENCE = "What has changed"

# Advanced --------------------------------------------------------------------------------------
ADVANCED = "Advanced"
SEE_ADVANCED = f"See “{ADVANCED}”."
MORE_TEXTS = "More texts"
ADDED = "Words added to every picture"
ADDED_INFO = "Put beside “What is in the picture”."
NEGATIVE = "Keep away from, in the content"
NEGATIVE_INFO = "Steers away from it; read where the guidance is above 1."
LOW_NEGATIVE = "Keep away from, in the faults"
LOW_NEGATIVE_INFO = "It usually says that all is well."
NEGATIVES = {"official": "as XPSR's program", "paper": "as XPSR's paper", "none": "none"}
NEGATIVES_LABEL = "Fill in both:"
NEGATIVE_WHERE = "Steer away"
NEGATIVE_WHERE_INFO = "The paper does so in the content alone."
NEGATIVE_WHERES = {"both": "in content and faults", "high": "in the content alone"}
ADDED_WHERE = "Added words stand"
ADDED_WHERE_INFO = "In front they are never cut off."
ADDED_WHERES = {"suffix": "behind the content", "prefix": "in front of the content"}
LONG = "Texts of more than 75 tokens"
LONG_INFO = (
    "The authors cut. To keep the added words the content is shortened. No model was trained "
    "with blocks."
)
LONGS = {
    "truncate": "cut the end off",
    "protect": "keep the added words",
    "chunk": "read in blocks of 75 (beyond training)",
}
ROUTE = "“What is wrong with it” goes"
ROUTE_INFO = "Before the content is experimental, as with “Deblur with sigma 0.5~0.75”."
ROUTES = {
    "lowlevel": "to its own branch",
    "content": "before the content",
}

# The texts in detail ---------------------------------------------------------------------------
WORDING = "The words in detail: who wrote them, what changed, what the model reads"
WORDING_WAITS = "The model's tokenizer is still being loaded."
WRITTEN_BY = "Who wrote it"
ORIGINS = {
    "llava": "LLaVA",
    "server": "vision server",
    "measured": "measured",
    "dalpsr": "degradation sentence",
    "tags": "tags",
    "preset": "preset",
    "typed": "typed",
    "edited": "edited",
    "recipe": "from a recipe",
}
UNCHANGED = "As it was brought."
CHANGED = "Changed since it was brought:"
AS_DESCRIBED = "Undo edits"
OPPOSITE = "Say the opposite"
EXACT = "The exact text that the model reads"
EXACT_INFO = (
    "Put together from all texts; nothing else is added. What is struck out is not read. Tokens "
    "are short words, or pieces of longer ones; the model reads {room} of a text at most."
)
EXACT_LABELS = {
    "high": "Content",
    "low": "Faults",
    "negative_high": "Away from, in the content",
    "negative_low": "Away from, in the faults",
}
EXACT_UNREAD = "Not read: at a weight of the texts of 1 or less, nothing is steered away from."
LOW_UNREAD = (
    "Not read: this model has one text. Under “Advanced” this one can be put before the content."
)
LOW_NEGATIVE_UNREAD = "Not read: this model has one text."
LOW_BEFORE = "Read before the content, and counted there."
EXACT_EMPTY = "(empty)"
ORIGIN_LABELS = {
    "prompt": EXACT_LABELS["high"],
    "lowlevel_prompt": EXACT_LABELS["low"],
    "added_prompt": ADDED,
    "negative_prompt": NEGATIVE,
    "lowlevel_negative_prompt": LOW_NEGATIVE,
}

HOW = "How it is done"
PRESET = "Preset"
PRESET_INFO = f"Sets all below but the seed, and the three texts above. Undo: “{BACK_TO_MINE}”."
PRESET_LEFT = "Not all settings are those of “{preset}” any more."
OWN_PRESET = "Preset of your own"
OWN_PRESET_INFO = "Kept in this browser; named and saved on the tab Recipes."
STEPS = "Steps"
STEPS_INFO = "More steps take longer; the time grows in proportion."
GUIDANCE = "Weight of the texts (guidance scale)"
GUIDANCE_INFO = "1: the texts are read, but not exaggerated. The paper's λ is this minus 1."
CONDITIONING = "Weight of your picture (conditioning scale)"
CONDITIONING_INFO = "1 follows your picture as in training; less gives more freedom."
SEED = "Seed"
SEED_INFO = "Same seed, same result. It stays until you change it, so that you can compare."
NEW_SEED = "New seed"
UPSCALE = "Enlarge"
UPSCALE_INFO = "How many times wider and higher the result is."
COLOR = "Colours"
COLOR_INFO = "Brings the colours of the result back to those of your picture."
COLORS = {
    "none": "leave as they are",
    "adain": "match overall (adain)",
    "wavelet": "match area by area (wavelet)",
}
START = "Begin from"
START_INFO = "More of your picture is safer, more noise is freer."
STARTS = {
    "noise": "noise alone",
    "lr": "your picture under noise",
    "lr_last": "your picture under the most noise",
    "lr_twice": "your picture under noise, twice",
    "lr_bare": "your picture alone",
}
SCHEDULER = "Sampling method"
SCHEDULER_INFO = "How the steps are taken; each has its own character."
SCHEDULERS = {"ddpm": "DDPM", "ddim": "DDIM", "dpm++": "DPM++ 2M", "unipc": "UniPC"}
ADDED_NOISE = "Noise level of the second noise"
ADDED_NOISE_INFO = "For “your picture under noise, twice” alone: 0 is little, 999 is noise alone."
PROCESS = "Least working size, in pixels"
PROCESS_INFO = "Smaller pictures are worked on enlarged to this short side. 0: as they are."
TILE = "Tile size, in pixels"
TILE_INFO = (
    "Larger pictures are worked on in overlapping squares of this size, 64 at least. 0: never."
)
OVERLAP = "Tile overlap, in pixels"
OVERLAP_INFO = (
    "What neighbouring tiles share, so that no seam shows. A tenth of the size is enough; more "
    "only takes longer."
)
METRICS = "By trained networks"
METRICS_INFO = (
    "Each is downloaded when it is first used, up to a gigabyte. LPIPS and DISTS need the true "
    "picture. What is ticked is scored after every run."
)

# Help and footer -------------------------------------------------------------------------------
HELP = "Good to know"
HELP_TEXT = """
- **It invents detail.** Restored skin, leaves or lettering are plausible, not recovered: never use
  them as evidence.
- **Describe** measures the picture, or asks a vision model. Which one is chosen when the page is
  started: `python app.py --describer llava` takes LLaVA, and
  `--describer http://localhost:8000/v1` a server; left out, it is LLaVA where a GPU and its weights
  are, and for SeeSR its own tagger. Correct what it says: the texts are there to be edited.
- **Compare fairly.** The seed stays the same between runs, so what changes in the result comes from
  what you changed.
- **A reload loses no result.** Every one is kept with its recipe in the folder `outputs` of the
  computer that runs this page, texts and settings by your browser. Beyond {gigabytes:g} GB of
  results (`--outputs-limit`) the oldest make room, pinned ones as well: download what you want to
  keep.
- **Privacy.** Pictures stay on that computer, unless a vision server is asked to describe them. On
  a public Space pictures and results are deleted within a day.
"""

# What happens ----------------------------------------------------------------------------------
PICTURE_AGAIN = "Bring your picture again: pictures are not kept over a reload."
PICTURE_STAYS = "The picture before is still there."
TEXT_STAYS = "The text you wrote is still there: see whether it fits this picture."
DESCRIBED = {
    "measured": "Both texts are measured from the picture: correct what is wrong.",
    "dalpsr": "The faults were estimated and the content measured: correct what is wrong. No model "
    "here learned sentences of this form.",
    "tags": "The content is tags by SeeSR's tagger, the faults are measured: correct what is "
    "wrong.",
}
DESCRIBED_BY = "Both texts are by {source}: correct what is wrong."
DESCRIBED_BEFORE = (
    "Both texts are by {source}, which has described this picture before and was not asked again."
)
DESCRIBER_CHANGE = (
    "For another describer start the page with --describer llava, or with the address of a vision "
    f"server; see “{HELP}”."
)
DESCRIBER_WAITING = "Waiting for the describer…"
DESCRIBING = "{name} is looking at the picture…"
DESCRIBING_STOPPED = "Stopped. Both texts are as they were."
NEXT = "Describe the picture or write the two texts yourself, then press Restore."
NO_PICTURE_NOW = "No picture is chosen now; what was shown before stays below."
READY = "Correct the two texts where they are wrong, then press Restore."
STILL_SHOWN = "Until then, what was shown before stands below."
LOADING = "The model is still being loaded; you can already prepare your picture."
SCORING = "Done. Computing the scores…"
STOPPED = "Stopped. Your texts and settings are as they were, and so is the earlier result."
RUN_DROPPED = (
    "A picture was being restored when this page was opened. In another tab that goes on; a reload "
    "has stopped it. Once the picture is there, Restore starts it again."
)
NO_EXAMPLE = "That example is no longer there; choose another one."


def done(size: tuple[int, int], seconds: float, seed: int) -> str:
    return f"Done in {took(seconds)} · {size[0]} × {size[1]} pixels · seed {seed}"


def done_beside(number: int) -> str:
    """After a run, when something else was opened meanwhile; `number`: its place in the strip."""
    return f"It is number {number} among your results; you still see what you have opened."


def example_open(title: str, seed: int) -> str:
    return f"A finished example: {title} · seed {seed}. Change a word and press Restore."


def enlarge(times: int) -> str:
    """The button beside "too large"."""
    return f"Enlarge {times} times" if times > 1 else "Do not enlarge"


def enlarged(times: int, size: tuple[int, int]) -> str:
    """What Restore will make, as long as it has not been pressed."""
    how = f"Enlarged {times} times" if times > 1 else "Not enlarged"
    return f"{how}: {size[0]} × {size[1]} pixels. {SEE_ADVANCED}"


def described(source: str, remembered: bool) -> str:
    if remembered:
        return DESCRIBED_BEFORE.format(source=source)
    return DESCRIBED.get(source, DESCRIBED_BY.format(source=source))


MINI_HEARS = "The built-in model hears how good it looks, not what it shows."
MINI_HEARS_ABOUT = (
    "In 3, blur, noise and JPEG, and how much of them: less than there is leaves some in, more "
    "makes the result sharper or smoother. In 2, “smooth” to “very detailed”. With the official "
    "checkpoint all words count: see Full quality."
)

HEARS_TAGS = "This model has learned from tags, such as “bird, branch, tree,”."
HEARS_TAGS_ABOUT = (
    "Its own tagger writes them if the page is started with --describer tags:FOLDER, where FOLDER "
    "is that of the converted model, or of the tagger's two files."
)


def describer_about(why: str | None) -> str:
    """Why it is this one, and how to have another one."""
    return " ".join(part for part in (why, DESCRIBER_CHANGE) if part)


def origin_count(kind: str, count: int) -> str:
    return ORIGINS[kind] if count == 1 else f"{count} × {ORIGINS[kind]}"


def reference_size(found: tuple[int, int], wanted: tuple[int, int]) -> str:
    true, result = ("{} × {}".format(*size) for size in (found, wanted))
    return (
        f"The true picture has {true} pixels and this result {result}: bring it in the size of the "
        "result, or take it away."
    )


def scoring(label: str, index: int, total: int) -> str:
    return f"Scoring, {index} of {total}: {label}…"


def run_open(title: str, number: int | None, seed: int) -> str:
    """`number`: its place in the strip; None: newer ones have pushed it out."""
    named = f" of {title}" if title else ""
    numbered = f"Result {number}" if number else "Result"
    return (
        f"{numbered}{named} · seed {seed}. Texts and settings are as you left them; the tab "
        "Recipes brings those of this result back."
    )
