"""Training XPSR: degradations, pairs, loss, loop, export."""

import xpsr  # noqa: F401  its first act quiets xformers' warnings, before diffusers is imported
