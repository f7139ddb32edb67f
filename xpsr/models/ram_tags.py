"""The 4585 tags of RAM, each with the probability above which it counts.

`ram_tags.tsv` (number, tag, threshold) is data of the Recognize Anything project
(https://github.com/xinyu1205/recognize-anything, Apache-2.0), as the authors of SeeSR use it.
"""

from pathlib import Path

FILE = Path(__file__).with_name("ram_tags.tsv")


def ram_tags() -> tuple[list[str], list[float]]:
    """The tags in RAM's order, and their thresholds; one of 1.0 switches a tag off."""
    lines = FILE.read_text(encoding="utf-8").splitlines()
    rows = [line.split("\t") for line in lines]
    return [tag for _, tag, _ in rows], [float(threshold) for *_, threshold in rows]
