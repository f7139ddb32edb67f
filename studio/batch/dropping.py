"""Folders that are dropped on the list of files: Gradio takes files alone there.

The script walks the folder in the browser and hands its files to the button “Add a folder”.
"""

from __future__ import annotations

DROP_FOLDERS = """
const walk = async (entry) => {
  if (entry.isFile) return [await new Promise((done, failed) => entry.file(done, failed))];
  const reader = entry.createReader();
  const found = [];
  for (;;) {  // at most a hundred entries come at a time
    const some = await new Promise((done, failed) => reader.readEntries(done, failed));
    if (!some.length) return (await Promise.all(found.map(walk))).flat();
    found.push(...some);
  }
};
const drop = async (event) => {
  if (!event.target.closest || !event.target.closest('#batch-files')) return;
  const entries = [...event.dataTransfer.items].map((one) => one.webkitGetAsEntry())
    .filter(Boolean);
  if (!entries.some((entry) => entry.isDirectory)) return;
  event.preventDefault();
  event.stopImmediatePropagation();
  const files = (await Promise.all(entries.map(walk))).flat();
  const input = document.querySelector('#tab-batch input[webkitdirectory]')
    || document.querySelector('input[type=file][webkitdirectory]');
  const all = new DataTransfer();
  files.forEach((file) => all.items.add(file));
  input.files = all.files;
  input.dispatchEvent(new Event('change', {bubbles: true}));
};
if (!window.xpsrDropsFolders) document.addEventListener('drop', drop, true);
window.xpsrDropsFolders = true;
"""
