"""Training XPSR: degradations, pairs, loss, loop, export."""
