"""The commands of `python -m xpsr`, one file each. Nothing heavy is imported before it is used."""
