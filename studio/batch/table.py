"""The table of a batch: a line for each picture. Foreign names and reasons are escaped."""

from __future__ import annotations

from html import escape

from ..results.scores import Row, shown_metrics
from ..results.words import change, figure
from . import words
from .batch import Batch, Item

# A click on the name of a finished picture tells which line it was.
CHOOSE = (
    "element.addEventListener('click', (event) => {"
    " const chosen = event.target.closest('button[data-line]');"
    " if (chosen) trigger('click', {line: Number(chosen.dataset.line)}); });"
)

CSS = """
#batch-table { max-height: 420px; overflow: auto !important; }
#batch-table table { width: 100%; border-collapse: collapse; font-size: .9rem;
  font-variant-numeric: tabular-nums; }
#batch-table table, #batch-table tr { border: 0 !important; }
#batch-table th, #batch-table td { border: 0; padding: .4rem 0 .4rem .9rem; text-align: left;
  vertical-align: top; }
#batch-table th:first-child { padding-left: 0; }
#batch-table thead th { position: sticky; top: 0; z-index: 1; padding-top: 0; font-size: .85rem;
  font-weight: 400; background: var(--body-background-fill);
  color: var(--body-text-color-subdued); }
#batch-table tbody tr { border-top: 1px solid var(--border-color-primary) !important; }
#batch-table tbody th { font-weight: 500; overflow-wrap: anywhere; min-width: 8rem; }
#batch-table tbody tr.shown { background: var(--background-fill-secondary); }
#batch-table button { padding: 0; border: 0; background: none; font: inherit; text-align: left;
  color: var(--link-text-color); text-decoration: underline; cursor: pointer;
  overflow-wrap: anywhere; }
#batch-table .size, #batch-table .score { white-space: nowrap;
  color: var(--body-text-color-subdued); }
#batch-table .failed { display: block; border-left: 3px solid #dc2626; padding-left: .6rem; }
#batch-table .working { font-weight: 600; }
@media (max-width: 640px) {
  #batch-table { max-height: none; }
  #batch-table thead { display: none; }
  #batch-table tr { display: grid; grid-template-columns: 1fr auto; padding: .35rem 0; }
  #batch-table tbody th, #batch-table td { padding: .1rem .5rem .1rem 0; }
  #batch-table .how, #batch-table .score { grid-column: 1 / -1; }
  #batch-table .score { white-space: normal; }
  #batch-table .score:empty, #batch-table .score br { display: none; }
  #batch-table .score::before { content: attr(data-head) ": "; }
}
"""


def render(batch: Batch) -> str:
    """The whole table; nothing where nothing has been brought."""
    if not batch.items:
        return ""
    metrics = _metrics()
    heads = [*words.COLUMNS, *metrics.values()]
    head = "".join(f'<th scope="col">{escape(text)}</th>' for text in heads)
    beside = batch.shown()
    lines = (
        _line(index, item, metrics, beside is not None and item.run is beside)
        for index, item in enumerate(batch.items)
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table>"


def _metrics() -> dict[str, str]:
    from xpsr.metrics import METRICS

    return {name: METRICS[name].label for name in shown_metrics()}


def _line(index: int, item: Item, metrics: dict[str, str], is_shown: bool) -> str:
    name = escape(item.name)
    if item.run is not None:
        name = f'<button type="button" data-line="{index}">{name}</button>'
    size = f"{item.size[0]} × {item.size[1]}" if item.size else ""
    kind = {"failed": "failed", "waiting": "", "ready": "", "done": ""}.get(item.state, "working")
    how = f'<span class="{kind}">{escape(item.how)}</span>'
    rows = {row.name: row for row in item.run.rows} if item.run and item.state == "done" else {}
    scores = "".join(
        f'<td class="score" data-head="{escape(label)}">{_score(rows.get(metric))}</td>'
        for metric, label in metrics.items()
    )
    shown = ' class="shown"' if is_shown else ""
    return (
        f'<tr{shown}><th scope="row">{name}</th><td class="size">{size}</td>'
        f'<td class="how">{how}</td>{scores}</tr>'
    )


def _score(row: Row | None) -> str:
    """Both figures, and in words what the change means."""
    from xpsr.metrics import METRICS

    if row is None or row.before.value is None or row.after.value is None:
        return ""
    metric, (before, after) = METRICS[row.name], (row.before.value, row.after.value)
    means = escape(change(metric, before, after))
    return f"{figure(metric, before)} → {figure(metric, after)} <br><small>{means}</small>"
