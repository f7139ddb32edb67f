"""The studio: one page over the `xpsr` library.

page (its components) · layout, tabs, parts (how they stand) · build (page, models and results put
together) · form (the fields of a run), filling (values for components by their names) · words,
markup, theme (what a visitor reads and sees).

A folder for each tab (restore/, compare/, ablate/, word_maps/, batch/, recipes/, full/): `tab` or
`layout` holds its components and what triggers what, `actions` what happens, `words` its texts.

models/ (the one owner of the models) · results/ (finished runs, on disk and of one visitor) ·
api/ (the named endpoints).
"""
