"""Evaluation of a model on a set of pictures, in the terms of the field's tables.

`pairs` finds inputs and originals, `judge` restores and scores one of them, `table` sums up,
`published` knows what papers report.
"""
