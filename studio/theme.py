"""How the page looks: one calm theme on system fonts (nothing is fetched) and a little CSS."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gradio.themes import Base

FONT = ["system-ui", "Segoe UI", "Roboto", "Helvetica Neue", "Arial", "sans-serif"]
MONO = ["ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace"]

CSS = """
.gradio-container { max-width: 1320px !important; margin: 0 auto !important; }

/* Text between components stands on the page itself: no box, no padding, close to its owner. */
.flat, .flat .html-container { padding: 0 !important; }
.tight { gap: 6px !important; }
#head h1 { margin: 0 0 .1rem; font-size: 1.5rem; }
#head p { margin: 0; max-width: 76ch; color: var(--body-text-color-subdued); }
.notice { font-size: .95rem; line-height: 1.45; }
.notice:empty { display: none; }
.notice .bad { display: block; border-left: 3px solid #dc2626; padding-left: .6rem; }
#picture-note .notice { font-size: .875rem; }
#status .notice { min-height: 1.45em; font-variant-numeric: tabular-nums; font-weight: 500; }
.meter { font-size: .8rem; line-height: 1.35; color: var(--body-text-color-subdued); }
.meter .cut { text-decoration: line-through; color: var(--body-text-color); }
.quiet { margin: .5rem 0 0; font-size: .85rem; color: var(--body-text-color-subdued); }

/* Gradio caps the comparison at 500 px; a photograph deserves the height of the window. */
#comparison img, #comparison .slider-wrap, #preview img { max-height: min(72vh, 760px) !important; }
#picture { background: var(--background-fill-secondary); }
#comparison { min-height: min(50vw, 420px); }
#examples img { object-fit: cover !important; width: 100% !important; height: 100% !important; }
#preview img { width: 100%; height: auto; object-fit: contain !important; }
.form:has(#position) { border: 0; background: none; box-shadow: none; }
#position { border: 0; padding: .1rem 0; background: none; box-shadow: none; }
#position .head { margin-bottom: 0; }
#position .tab-like-container, #position .min_value, #position .max_value { display: none; }

#scores table { width: 100%; border-collapse: collapse; font-variant-numeric: tabular-nums; }
#scores table, #scores tr { border: 0 !important; }
#scores th, #scores td
  { border: 0; padding: .5rem 0 0 .75rem; text-align: right; vertical-align: top; }
#scores th:first-child, #scores td:first-child { padding-left: 0; text-align: left; }
#scores td.reason { text-align: left; white-space: normal; }
#scores thead th { padding-top: 0; font-size: .85rem; font-weight: 400; }
#scores tbody th { font-weight: 600; }
#scores .about { border-bottom: 1px solid var(--border-color-primary) !important; }
#scores .about td { padding: .1rem 0 .5rem; font-size: .82rem; }
#scores thead th, #scores .about td, #scores td.reason { color: var(--body-text-color-subdued); }
"""

# Gradio confines the sheet above to the page itself; its footer needs one of its own. On a phone
# it hides the link to the API, but not the dot behind it.
HEAD = "<style>@media (max-width: 640px) { footer .divider { display: none !important; } }</style>"


def make_theme() -> Base:
    """Gradio's default theme, which has the best contrast, in quiet colours."""
    from gradio.themes import Default

    return Default(
        primary_hue="teal", secondary_hue="teal", neutral_hue="stone", font=FONT, font_mono=MONO
    ).set(
        # the theme's own grey for secondary text is too pale to read on white
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_300",
        block_info_text_color="*neutral_600",
        block_info_text_color_dark="*neutral_300",
        input_placeholder_color="*neutral_500",
        input_placeholder_color_dark="*neutral_400",
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_dark="*primary_700",
        button_primary_background_fill_hover_dark="*primary_600",
        button_primary_text_color="white",
        button_primary_text_color_dark="white",
    )
