"""Training XPSR: degradations, pairs, loss, loop, export."""

# isort: split
from train import stopping  # noqa: F401  before anything that takes its time

# isort: split
import xpsr  # noqa: F401  its first act quiets xformers' warnings, before diffusers is imported
