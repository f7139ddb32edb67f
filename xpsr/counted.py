"""Numbers of things, in words."""


def counted(number: int, what: str) -> str:
    """1 → 1 pair, 1200 → 1,200 pairs."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"
