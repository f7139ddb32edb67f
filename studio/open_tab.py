"""After a reload the page opens with the tab that was open: kept by the browser's own tab alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .triggers import PRIVATE

if TYPE_CHECKING:
    from .page import Page

# While the page is built, its first tab is opened too: that is not kept.
_KEEP = "() => {{ if (window.xpsrTab) sessionStorage.setItem('xpsr-tab', '{name}') }}"
_OPEN = """() => {
  window.xpsrTab = sessionStorage.getItem('xpsr-tab') || 'restore';
  return {__type__: 'update', selected: window.xpsrTab};
}"""


def remember_open_tab(page: Page, back: Any) -> None:
    """Tie it, inside the present `gr.Blocks`. `back`: the event after which the page has got back
    its picture and texts, which other tabs show when they are opened.
    """
    back.then(None, None, page.tabs, js=_OPEN, **PRIVATE)
    tabs = {"restore": page.first, **{name: one for name, (_, one) in page.parts.items()}}
    for name, tab in tabs.items():
        tab.select(None, js=_KEEP.format(name=name), **PRIVATE)
