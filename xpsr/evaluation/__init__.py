"""Evaluation of a model on a set of pictures, in the terms of the field's tables.

`pairs` finds inputs and originals, `judging` restores and scores one of them, `fid` compares whole
sets, `table` sums up and knows what papers report, `plot` draws it.
"""
