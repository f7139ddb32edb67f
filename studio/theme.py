"""How the page looks: one calm theme on system fonts (nothing is fetched) and a little CSS."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .tabs import TABS

if TYPE_CHECKING:
    from gradio.themes import Base

FONT = ["system-ui", "Segoe UI", "Roboto", "Helvetica Neue", "Arial", "sans-serif"]
MONO = ["ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace"]

CSS = """
/* As wide on every tab, whatever stands on it. */
.gradio-container { width: 100% !important; max-width: 1320px !important;
  margin: 0 auto !important; }

/* Text between components stands on the page itself: no box, no padding, close to its owner. */
.flat, .flat .html-container { padding: 0 !important; }
@media (prefers-reduced-motion: reduce) {
  *, *::before, *::after { animation-duration: .01ms !important;
    animation-iteration-count: 1 !important; transition-duration: .01ms !important; }
}
/* Gradio takes it away from sliders. This shade can be told from light and from dark. */
input[type=range]:focus-visible { outline: 2px solid var(--primary-600) !important;
  outline-offset: 3px; }
/* As pale as on white, what is left of it would shine in the dark. */
input[type=range] { --neutral-200: var(--button-secondary-background-fill); }
/* White on white, its handle could hardly be seen. */
input[type=range]::-webkit-slider-thumb { border: 2px solid var(--primary-600) !important; }
input[type=range]::-moz-range-thumb { border: 2px solid var(--primary-600) !important; }
/* Buttons beside each other are as high, whose label needs two lines as well. */
.row:not(.under):has(> button) { align-items: stretch !important; }
/* Gradio's own shade is too pale to read on white. */
#tabs .tab-container .selected { color: var(--link-text-color); }
.tight { gap: 6px !important; }
#head h1 { margin: 0 0 .1rem; font-size: 1.5rem; }
#head p { margin: 0; max-width: 76ch; color: var(--body-text-color-subdued); }
.notice { font-size: .95rem; line-height: 1.45; }
.notice:empty { display: none; }
.notice .bad { display: block; border-left: 3px solid #dc2626; padding-left: .6rem; }
#picture-note .notice { font-size: .875rem; }
#status .notice, #ablate-status .notice, #batch-status .notice, #words-status .notice
  { min-height: 1.45em; font-variant-numeric: tabular-nums; font-weight: 500; }
.meter { font-size: .8rem; line-height: 1.35; color: var(--body-text-color-subdued); }
.meter .cut { text-decoration: line-through; color: var(--body-text-color); }
.meter { display: -webkit-box; -webkit-box-orient: vertical; -webkit-line-clamp: 3;
  overflow: hidden; }
#describer .quiet { margin: 0; font-size: .8rem; }
.meter.full { color: var(--body-text-color); }
.quiet { margin: .5rem 0 0; font-size: .85rem; color: var(--body-text-color-subdued); }
/* One that can be unfolded: as quiet, with a small arrow before it. */
details.quiet summary, details.quiet p { margin: 0; padding: .1rem 0 .1rem .9rem;
  font-size: inherit; line-height: 1.3rem; color: inherit; max-width: 76ch; }
details.quiet summary { cursor: pointer; list-style: none; position: relative; }
details.quiet summary::-webkit-details-marker { display: none; }
details.quiet summary::before { content: "›"; position: absolute; left: .15rem; font-size: 1.1em; }
details.quiet[open] summary::before { transform: rotate(90deg); }
details.quiet summary:hover, details.quiet[open] summary { color: var(--body-text-color); }
details.quiet summary:focus-visible { outline: 2px solid var(--primary-600); }

/* Who wrote a text, and the tools beside it: small, in one line where there is room. */
.under { gap: .4rem !important; align-items: center !important; flex-wrap: wrap !important; }
.under > * { flex: 0 1 auto !important; width: auto !important; min-width: 0 !important; }
.under > .small { min-height: 1.9rem; padding: .1rem .6rem; font-weight: 500; font-size: .8rem;
  background: none; border: 1px solid var(--border-color-primary); }
.under > .small:hover { background: var(--background-fill-secondary); }
.under .quiet { margin: 0; }
#opposite { margin-left: auto; }
.under .html-container:has(.chips:empty) { display: none; }
.when-said:not(:has(.bad)):not(:has(.quiet)) { display: none; }
#size-note .quiet, #preset-note .quiet { margin: 0; }
.chips { display: flex; flex-wrap: wrap; gap: .1rem .7rem; }
.under:has(.chips) > :first-child { flex: 1 1 8rem !important; }
.chip { display: inline-flex; align-items: center; gap: .35rem; font-size: .78rem;
  line-height: 1.6; white-space: nowrap; color: var(--body-text-color); }
.chip::before { content: ""; width: .6rem; height: .6rem; border-radius: 50%;
  background: var(--of); }
.sentences .chip { margin-right: .35rem; font-weight: 600; }
.chip-measured { --of: #0d9488; } .chip-dalpsr { --of: #b45309; } .chip-llava { --of: #8b5cf6; }
.chip-server { --of: #3b82f6; } .chip-tags { --of: #65a30d; } .chip-preset { --of: #a8a29e; }
.chip-typed { --of: #78716c; } .chip-edited { --of: #ea580c; } .chip-recipe { --of: #db2777; }
.columns { display: grid; gap: 1rem 2rem; margin: .4rem 0 1rem;
  grid-template-columns: repeat(auto-fit, minmax(min(440px, 100%), 1fr)); }
.columns section { min-width: 0; }
.columns h5 { margin: 0 0 .3rem; font-size: .85rem; font-weight: 600; }
.sentences { list-style: none; margin: 0; padding: 0; font-size: .9rem; line-height: 1.5; }
.sentences li { margin: 0 0 .25rem; padding: 0; overflow-wrap: anywhere; }
.sentences small { margin: 0; }
.exact, .changes { font-size: .9rem; line-height: 1.5; white-space: pre-wrap;
  overflow-wrap: anywhere; margin: .2rem 0 .3rem; }
.changes del, .changes ins { margin: 0 .1em; }
.exact { padding: .5rem .6rem; border: 1px solid var(--border-color-primary); border-radius: .4rem;
  max-height: 14rem; overflow: auto; }
.cut, .changes del { text-decoration: line-through; opacity: .85; }
.exact .cut { background: color-mix(in srgb, #ea580c 18%, transparent); }
.changes del { background: color-mix(in srgb, #dc2626 16%, transparent); }
.changes ins { text-decoration: underline;
  background: color-mix(in srgb, #16a34a 18%, transparent); }

/* Texts run in the direction of their own writing. */
textarea, .changes, .exact, .sentences li, .notice, th, td { unicode-bidi: plaintext; }
.changes, .exact, .sentences li, .notice { text-align: start; }
/* What is folded away says so from the left, on a phone as well. */
button.label-wrap { text-align: left; gap: .8rem; align-items: center; }
/* What is chosen does not run under the arrow. */
input[role=combobox] { text-overflow: ellipsis; padding-right: 1.2rem !important; }
/* Fields in one line end on one line, however long what is said of them is. */
:is(#advanced, #tab-full) .form > .block > :is(label, .container)
  { display: flex; flex-direction: column; height: 100%; }
:is(#advanced, #tab-full) .form > .block .info-text { flex: 1 0 auto; }
#advanced .form > .block > .wrap:has(.slider_input_container)
  { display: flex; flex-direction: column; justify-content: space-between; height: 100%; }

/* Gradio caps what is compared at 500 px, and other pictures not at all; a photograph deserves the
   height of the window. */
.divided img, .divided .slider-wrap, #preview img, .whole img, #compare-map img
  { max-height: min(72vh, 760px) !important; }
.whole img { object-fit: contain !important; }
.form:has(.moves-divider) { border: 0; background: none; box-shadow: none; }
.moves-divider { border: 0; padding: .1rem 0 .3rem; background: none; box-shadow: none; }
.moves-divider .head { margin-bottom: 0; }
.moves-divider .tab-like-container, .moves-divider .min_value, .moves-divider .max_value
  { display: none; }
/* Four steps for the first visit: two columns, or one. */
#greeting { align-items: center !important; gap: 1rem !important; padding: .2rem .9rem;
  border: 1px solid var(--border-color-primary); border-radius: .5rem;
  background: var(--background-fill-secondary); }
.steps { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(22rem, 100%), 1fr));
  gap: .3rem 1.4rem; margin: .4rem 0; padding: 0; list-style: none; counter-reset: step;
  font-size: .9rem; line-height: 1.35rem; }
.steps li { counter-increment: step; margin: 0; padding-left: 1.8rem; position: relative; }
.steps li::before { content: counter(step); position: absolute; left: 0; top: 0; width: 1.35rem;
  height: 1.35rem; border-radius: 50%; text-align: center; line-height: 1.35rem;
  font-size: .75rem; font-weight: 600; color: white; background: var(--primary-700); }
#against { border: 0; padding: .5rem 0 0; background: none; box-shadow: none; }
#strip:not(:has(.thumbnail-item)) { display: none; }
.thumbs .grid-wrap { min-height: 0; padding: 1.7rem .5rem .5rem; }
.thumbs .grid-container { padding: 0; margin: 0; }
.thumbs .thumbnail-item { aspect-ratio: 1; height: auto; }
.thumbs .grid-container { grid-template-columns: repeat(auto-fill, minmax(72px, 1fr)); gap: .5rem;
  grid-template-rows: none; grid-auto-rows: auto; max-width: none; height: auto; }
.thumbs .grid-container > * { max-width: 132px; height: auto; }
.thumbs .caption-label { font-size: .68rem; left: 0; right: 0; bottom: 0; max-width: none;
  padding: .1rem 0; text-align: center; }
#strip .caption-label { white-space: normal; line-height: 1.2; }
.pixels img { image-rendering: pixelated; }
/* As large as the map of differences beside it. */
#closer-overview img { width: 100%; image-rendering: auto; }
/* Never scaled: a pixel of the file is one of the page. */
.natural .image-frame { display: flex; justify-content: center; overflow: hidden; }
.natural img { width: auto !important; height: auto !important; max-width: none !important;
  max-height: none !important; flex: none; }

#picture { background: var(--background-fill-secondary); }
#comparison { min-height: min(33vw, 420px); }
#preview img { width: 100%; height: auto; object-fit: contain !important; }
/* A picture that grows stands in the place of the one before. */
#preview ~ #comparison { display: none; }

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
#scores .pinned { color: var(--body-text-color); font-weight: 500; }
#scores .missing td { padding: .5rem 0 0; font-size: .82rem; }
#scores thead th, #scores .about td, #scores .missing td, #scores td.reason
  { color: var(--body-text-color-subdued); }

table.plain { width: 100%; border-collapse: collapse; font-size: .9rem;
  font-variant-numeric: tabular-nums; }
table.plain, table.plain tr { border: 0 !important; }
table.plain th, table.plain td { border: 0; border-bottom: 1px solid var(--border-color-primary);
  padding: .35rem .75rem .35rem 0; text-align: left; vertical-align: top; font-weight: 400;
  overflow-wrap: break-word; }
table.plain thead th { font-size: .82rem; color: var(--body-text-color-subdued); }
table.plain tbody th { font-weight: 600; }
@media (max-width: 640px) {
  .main.fillable { padding-inline: 1rem !important; }
  #tabs .tab-container button { padding: 0 .6rem; }
  #head p { font-size: .9rem; line-height: 1.4; }
  #greeting { flex-wrap: wrap; padding: .4rem .8rem .7rem; gap: .2rem !important; }
  #greeting > * { flex: 1 1 100% !important; }
}
"""
CSS += "".join(tab.css for tab in TABS)

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
        link_text_color="*primary_700",
        link_text_color_dark="*primary_400",
        input_placeholder_color="*neutral_500",
        input_placeholder_color_dark="*neutral_400",
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_dark="*primary_700",
        button_primary_background_fill_hover_dark="*primary_600",
        button_primary_text_color="white",
        button_primary_text_color_dark="white",
    )
