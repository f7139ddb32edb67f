"""What the browser does with files before it sends any: folders are walked, too many are refused.

Gradio takes files alone, and on its list alone. A folder that is dropped there, and whatever is
dropped beside it, is handed, file by file, to the button “Add a folder”.
"""

from __future__ import annotations

import json

from .batch import LEFT_BY_SYSTEMS, MAX_PICTURES

BRING_FILES = (
    f"const most = {MAX_PICTURES}, bySystems = {json.dumps(LEFT_BY_SYSTEMS)};"
    """
const ours = (file) => !file.name.startsWith('.') && !bySystems.includes(file.name);
const walk = async function* (entry) {
  if (entry.isFile) {
    if (ours(entry)) yield await new Promise((done, failed) => entry.file(done, failed));
    return;
  }
  const reader = entry.createReader();
  for (;;) {  // at most a hundred entries come at a time
    const some = await new Promise((done, failed) => reader.readEntries(done, failed));
    if (!some.length) return;
    for (const one of some) yield* walk(one);
  }
};
const drop = async (event) => {
  const tab = document.querySelector('#tab-batch');
  const types = event.dataTransfer.types;  // a picture of the page itself is HTML as well
  if (!tab || !tab.offsetParent || !types.includes('Files') || types.includes('text/html')) return;
  const entries = [...event.dataTransfer.items].map((one) => one.webkitGetAsEntry())
    .filter(Boolean);
  const simple = entries.length <= most && !entries.some((entry) => entry.isDirectory);
  if (simple && event.target.closest?.('#batch-files')) return;
  event.preventDefault();
  event.stopImmediatePropagation();
  const all = new DataTransfer();
  for (const entry of entries)
    for await (const file of walk(entry)) {
      if (all.items.length === most) return trigger('select', {});
      all.items.add(file);
    }
  const input = document.querySelector('#tab-batch input[webkitdirectory]');
  input.files = all.files;
  input.dispatchEvent(new Event('change', {bubbles: true}));
};
const choose = (event) => {
  const input = event.target;
  if (!input.matches || !input.matches('#tab-batch input[type=file]')) return;
  if ([...input.files].filter(ours).length <= most) return;
  event.stopImmediatePropagation();
  input.value = '';
  trigger('select', {});
};
if (!window.xpsrBringsFiles) {
  document.addEventListener('drop', drop, true);
  document.addEventListener('change', choose, true);
}
window.xpsrBringsFiles = true;
"""
)
