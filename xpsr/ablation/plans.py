"""The ready-made plans. Each takes the full run apart in one way and says what it did."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from xpsr.ablation.plan import Plan, Variant
from xpsr.ablation.units import Kind, Unit, split, without
from xpsr.errors import XPSRError
from xpsr.prompts import OFFICIAL_LOWLEVEL_NEGATIVE, OFFICIAL_NEGATIVE, Prompts
from xpsr.settings import Settings

Seeds = tuple[int, ...]

TEXT_LABELS = {
    "prompt": "content",
    "lowlevel_prompt": "quality",
    "negative_prompt": "negative content",
    "lowlevel_negative_prompt": "negative quality",
    "added_prompt": "added words",
}
MAIN_TEXTS = ("prompt", "lowlevel_prompt")
# Whole sentences in the words of the measured describer, which the embedded model knows; a vision
# model says much the same (Fig. 1 of the paper swaps such texts).
GOOD_QUALITY = (
    "The image is sharp. There is no noise. There are no JPEG blocks. It is normally bright with "
    "normal contrast. The colours are natural."
)
BAD_QUALITY = (
    "The image is extremely blurry. There is very strong noise. JPEG blocks are very strong. It is "
    "dark with very low contrast. The colours are muted."
)
FULL = "full prompt"


def levels(prompts: Prompts, settings: Settings, seeds: Seeds) -> Plan:
    """Both texts, the content alone, the quality alone, none (Table 2 of the paper).

    A text that is left out is the empty text; the added words are a part of the content. The
    negative texts stay as they are.
    """
    if not (prompts.prompt or prompts.added_prompt) and not prompts.lowlevel_prompt:
        raise XPSRError("Both texts are empty, so no level can be left out; write them first.")
    no_high = {"prompt": "", "added_prompt": ""}
    no_low = {"lowlevel_prompt": ""}
    variants = (
        Variant("both levels", prompts, settings),
        Variant("content only", replace(prompts, **no_low), settings),
        Variant("quality only", replace(prompts, **no_high), settings),
        Variant("no text", replace(prompts, **no_high, **no_low), settings),
    )
    return Plan("levels", variants, seeds)


def negatives(prompts: Prompts, settings: Settings, seeds: Seeds) -> Plan:
    """With and without the negative text of each branch (Table 5 of the paper).

    "Without" is the empty text for the content; for the quality it is `negative="high"`, which
    keeps the quality text on both sides of the guidance (eq. 6).
    """
    if not settings.guided:
        raise XPSRError(
            f"guidance_scale is {settings.guidance_scale:g}, and up to 1 negative texts are not "
            "used at all; choose a larger one, for example 4.5."
        )
    official = {
        "negative_prompt": OFFICIAL_NEGATIVE,
        "lowlevel_negative_prompt": OFFICIAL_LOWLEVEL_NEGATIVE,
    }
    filled = {name: text for name, text in official.items() if not getattr(prompts, name)}
    notes = tuple(
        f'The {TEXT_LABELS[name]} text is empty; "with" takes the authors\': "{text}"'
        for name, text in filled.items()
    )
    prompts = replace(prompts, **filled)
    both, high = (replace(settings, negative=which) for which in ("both", "high"))
    no_high = replace(prompts, negative_prompt="")
    variants = (
        Variant("both negatives", prompts, both),
        Variant("negative content only", prompts, high),
        Variant("negative quality only", no_high, both),
        Variant("no negative", no_high, high),
    )
    return Plan("negatives", variants, seeds, notes)


@dataclass(frozen=True)
class Part:
    """Something that `drop` leaves out.

    Attributes:
        field: the text it stands in, a field of `Prompts`.
        unit: the sentence, clause or word.
        label: for people, for example "content sentence 2: It is night."
    """

    field: str
    unit: Unit
    label: str


def parts(kind: Kind, prompts: Prompts, texts: Sequence[str] = MAIN_TEXTS) -> list[Part]:
    """Every sentence, clause or word of the texts, in their order.

    Raises:
        XPSRError: a text that there is none of.
    """
    found = []
    for field in dict.fromkeys(texts):  # each once, however often it is named
        if field not in TEXT_LABELS:
            raise XPSRError(f'There is no text "{field}"; there are {", ".join(TEXT_LABELS)}.')
        for number, unit in enumerate(split(getattr(prompts, field), kind), 1):
            shown = unit.text if len(unit.text) <= 60 else unit.text[:57].rstrip() + "…"
            found.append(Part(field, unit, f"{TEXT_LABELS[field]} {kind} {number}: {shown}"))
    return found


def drop(
    kind: Kind,
    prompts: Prompts,
    settings: Settings,
    seeds: Seeds,
    texts: Sequence[str] = MAIN_TEXTS,
    only: Collection[int] | None = None,
) -> Plan:
    """The full prompt, and once for every sentence, clause or word the prompt without it.

    Args:
        kind: "sentence" | "clause" | "word".
        prompts, settings, seeds: the full run.
        texts: fields of `Prompts` to take apart.
        only: numbers of the `parts` to leave out, one after another; None takes all of them.
    """
    variants = [Variant(FULL, prompts, settings)]
    for number, part in enumerate(parts(kind, prompts, texts)):
        if only is None or number in only:
            rest = without(getattr(prompts, part.field), part.unit)
            edited = replace(prompts, **{part.field: rest})
            variants.append(Variant(f"without {part.label}", edited, settings))
    if len(variants) == 1:
        names = " and ".join(TEXT_LABELS[field] for field in texts)
        if only is not None and parts(kind, prompts, texts):
            raise XPSRError(f"No {kind} is chosen to be left out; tick at least one.")
        raise XPSRError(f"There is no {kind} to leave out: the text for {names} is empty.")
    return Plan(f"{kind}s", tuple(variants), seeds)


def swap(prompts: Prompts, settings: Settings, seeds: Seeds) -> Plan:
    """The quality text as it is, praising the picture, and tearing it to pieces (Fig. 1)."""
    variants = (
        Variant("quality as written", prompts, settings),
        Variant("quality called good", replace(prompts, lowlevel_prompt=GOOD_QUALITY), settings),
        Variant("quality called bad", replace(prompts, lowlevel_prompt=BAD_QUALITY), settings),
    )
    return Plan("swap", variants, seeds)


def sweep(
    setting: str, values: Sequence[float], prompts: Prompts, settings: Settings, seeds: Seeds
) -> Plan:
    """One setting at several values; that of the full run is the one compared with."""
    own = getattr(settings, setting)
    changed = [settings.changed(**{setting: value}) for value in values]
    distinct = sorted({getattr(one, setting) for one in changed} - {own})
    names = {"controlnet_conditioning_scale": "conditioning", "num_inference_steps": "steps"}
    label = names.get(setting, setting.removesuffix("_scale"))
    variants = [Variant(f"{label} {own:g} (the run's own)", prompts, settings)]
    variants += [
        Variant(f"{label} {value:g}", prompts, settings.changed(**{setting: value}))
        for value in distinct
    ]
    return Plan(label, tuple(variants), seeds)


def default_values(setting: str, settings: Settings) -> tuple[float, ...]:
    """Values for `sweep` where the user names none."""
    if setting == "num_inference_steps":
        own = settings.num_inference_steps
        return tuple(sorted({max(1, own // 2), own, min(1000, own * 2), min(1000, own * 4)}))
    if setting == "guidance_scale":
        return (1.0, 2.5, 4.5, 6.5)
    return (0.5, 0.75, 1.0, 1.25)
