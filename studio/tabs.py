"""The tabs behind the first one, in the order in which they stand on the page."""

from .ablate import tab as ablate
from .batch import tab as batch
from .compare import tab as compare
from .full import tab as full
from .recipes import tab as recipes
from .word_maps import tab as word_maps

TABS = (compare.TAB, ablate.TAB, word_maps.TAB, batch.TAB, recipes.TAB, full.TAB)
