"""The studio: one page over the `xpsr` library.

layout (components and where they stand) · wiring (what triggers what) · actions (what happens) ·
engine (the one owner of the models) · words (every text) · theme · api (the named endpoints).
"""
