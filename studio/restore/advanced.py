"""The folded part of the page: further texts and every setting."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gradio as gr

from xpsr.prompts import MAX_CHARACTERS
from xpsr.settings import CHOICES, LIMITS, PRESETS

from .. import markup
from .. import words as page_words
from ..opening import Opening
from ..parts import Parts, flat, small, when_said
from . import words


def lay_out_advanced(part: Parts, opening: Opening) -> None:
    """Build it inside the present container; components by their name in `Page`."""
    _more_texts(part, opening)
    _about_texts(part.settings, opening.settings)
    gr.Markdown(f"#### {words.HOW}")
    _presets(part, opening)
    _sampling(part, opening.settings)


def _more_texts(part: Parts, opening: Opening) -> None:
    gr.Markdown(f"#### {words.MORE_TEXTS}")
    with gr.Row(equal_height=False):
        for name, label, info in (
            ("added_prompt", words.ADDED, words.ADDED_INFO),
            ("negative_prompt", words.NEGATIVE, words.NEGATIVE_INFO),
            ("lowlevel_negative_prompt", words.LOW_NEGATIVE, words.LOW_NEGATIVE_INFO),
        ):
            with gr.Column(min_width=280, elem_classes="tight"):
                part.texts[name] = gr.Textbox(
                    opening.texts[name],
                    label=label,
                    info=info,
                    lines=2,
                    max_lines=4,
                    max_length=MAX_CHARACTERS,
                    elem_id=name,
                )
                if name != "added_prompt":  # it is counted with the content
                    part.meters[name] = flat(markup.meter(None), elem_id=f"{name}-meter")
    with gr.Row(elem_classes="under", elem_id="negatives"):
        flat(markup.quiet(words.NEGATIVES_LABEL))
        part.negatives = {
            name: small(label, f"negatives-{name}") for name, label in words.NEGATIVES.items()
        }


def _about_texts(made: dict[str, Any], now: Mapping[str, Any]) -> None:
    with gr.Row():
        for name, labels, label, info in (
            ("added_position", words.ADDED_WHERES, words.ADDED_WHERE, words.ADDED_WHERE_INFO),
            ("negative", words.NEGATIVE_WHERES, words.NEGATIVE_WHERE, words.NEGATIVE_WHERE_INFO),
            ("long_prompts", words.LONGS, words.LONG, words.LONG_INFO),
            ("lowlevel_route", words.ROUTES, words.ROUTE, words.ROUTE_INFO),
        ):
            made[name] = _choice(name, now, labels, label, info)


def _presets(part: Parts, opening: Opening) -> None:
    now, made = opening.settings, part.settings
    with gr.Row():
        part.preset = gr.Dropdown(
            [(page_words.PRESETS[name], name) for name in PRESETS],
            value=opening.preset,
            label=words.PRESET,
            info=words.PRESET_INFO,
            elem_id="preset",
        )
        part.own_preset = gr.Dropdown(
            [],
            label=words.OWN_PRESET,
            info=words.OWN_PRESET_INFO,
            filterable=False,
            visible=False,  # until there is one
            elem_id="own-preset",
        )
        made["upscale"] = gr.Dropdown(
            [(f"× {factor}", factor) for factor in range(1, int(LIMITS["upscale"][1]) + 1)],
            value=now["upscale"],
            label=words.UPSCALE,
            info=words.UPSCALE_INFO,
        )
        made["color_fix"] = _choice("color_fix", now, words.COLORS, words.COLOR, words.COLOR_INFO)
    part.preset_note = when_said("preset-note")
    part.upscale_note = when_said("upscale-note")


def _sampling(part: Parts, now: Mapping[str, Any]) -> None:
    made = part.settings
    with gr.Row():
        made["num_inference_steps"] = gr.Slider(
            1, 100, now["num_inference_steps"], step=1, label=words.STEPS, info=words.STEPS_INFO
        )
        made["guidance_scale"] = gr.Slider(
            0, 15, now["guidance_scale"], step=0.1, label=words.GUIDANCE, info=words.GUIDANCE_INFO
        )
        made["controlnet_conditioning_scale"] = gr.Slider(
            0,
            2,
            now["controlnet_conditioning_scale"],
            step=0.05,
            label=words.CONDITIONING,
            info=words.CONDITIONING_INFO,
        )
    with gr.Row():
        with gr.Column(min_width=280):
            made["seed"] = _whole("seed", now, words.SEED, words.SEED_INFO)
            part.new_seed = gr.Button(words.NEW_SEED, size="sm", elem_id="new-seed")
        made["start"] = _choice("start", now, words.STARTS, words.START, words.START_INFO)
        made["scheduler"] = _choice(
            "scheduler", now, words.SCHEDULERS, words.SCHEDULER, words.SCHEDULER_INFO
        )
    with gr.Row():
        made["added_noise_level"] = _whole(
            "added_noise_level", now, words.ADDED_NOISE, words.ADDED_NOISE_INFO
        )
        made["process_size"] = _whole("process_size", now, words.PROCESS, words.PROCESS_INFO)
    with gr.Row():
        made["tile_size"] = _whole("tile_size", now, words.TILE, words.TILE_INFO)
        made["tile_overlap"] = _whole("tile_overlap", now, words.OVERLAP, words.OVERLAP_INFO)


def _choice(
    name: str, now: Mapping[str, Any], labels: Mapping[str, str], label: str, info: str
) -> gr.Dropdown:
    choices = [(labels[value], value) for value in CHOICES[name]]
    return gr.Dropdown(choices, value=now[name], label=label, info=info, elem_id=name)


def _whole(name: str, now: Mapping[str, Any], label: str, info: str) -> gr.Number:
    low, high = LIMITS[name]
    return gr.Number(
        now[name], label=label, info=info, precision=0, minimum=low, maximum=high, elem_id=name
    )
