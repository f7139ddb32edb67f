"""What the browser does with a picture that is dropped or pasted before Gradio sees it.

Gradio's own box loses both pictures where one is dropped on another, and takes pasted ones only by
its small button. A picture that is dropped beside it would be opened by the browser, in the place
of the page or in another tab.
"""

from __future__ import annotations

BRING_PICTURE = """
const bring = (event, file) => {
  const input = document.querySelector('#picture input[type=file]');
  if (!file || !input) return;
  event.preventDefault();
  event.stopImmediatePropagation();
  const one = new DataTransfer();
  one.items.add(file);
  input.files = one.files;
  input.dispatchEvent(new Event('change', {bubbles: true}));
};
const drop = (event) => {
  const box = event.target.closest && event.target.closest('#picture');
  if (!box || !box.querySelector('img')) return;  // an empty one takes it by itself
  bring(event, event.dataTransfer.files[0]);
  event.target.dispatchEvent(new DragEvent('dragleave', {bubbles: true}));
};
const beside = (event) => {
  const box = document.querySelector('#picture');
  const types = event.dataTransfer.types;  // a picture of a page, as ours, is HTML as well
  if (event.defaultPrevented || !types.includes('Files') || types.includes('text/html')) return;
  event.preventDefault();
  if (event.type === 'drop' && box && box.offsetParent) bring(event, event.dataTransfer.files[0]);
};
const paste = (event) => {
  const box = document.querySelector('#picture');
  const data = event.clipboardData;
  if (!box || !box.offsetParent || !data || data.types.includes('text/plain')) return;
  bring(event, [...data.files].find((file) => file.type.startsWith('image/')));
};
if (!window.xpsrBringsPictures) {
  document.addEventListener('drop', drop, true);
  for (const type of ['dragover', 'drop']) document.addEventListener(type, beside);
  document.addEventListener('paste', paste, true);
}
window.xpsrBringsPictures = true;
"""
