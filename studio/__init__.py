"""The studio: one page over the `xpsr` library.

layout (the first tab: components and where they stand) · tabs/ (the others, a file each) ·
wiring (what triggers what) · actions (what happens) · form (the fields of a run) ·
engine (the one owner of the models) · outputs (finished runs on disk) · visit (the runs of one
visitor) · words (every text) · theme · api (the named endpoints).
"""
