"""What the browser does with a picture that is dropped or pasted before Gradio sees it.

Gradio's own box loses both pictures where one is dropped on another, and takes pasted ones only by
its small button.
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
const paste = (event) => {
  const box = document.querySelector('#picture');
  const data = event.clipboardData;
  if (!box || !box.offsetParent || !data || data.types.includes('text/plain')) return;
  bring(event, [...data.files].find((file) => file.type.startsWith('image/')));
};
if (!window.xpsrBringsPictures) {
  document.addEventListener('drop', drop, true);
  document.addEventListener('paste', paste, true);
}
window.xpsrBringsPictures = true;
"""
