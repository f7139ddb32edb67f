"""The tagger that a model brings along, which describes pictures in the words it has learned."""

from __future__ import annotations

from pathlib import Path

from xpsr.errors import XPSRError


def tagger_of(model: str) -> Path | None:
    """The folder of SeeSR's tagger in a model's own, or beside it; None: it is not on this disk."""
    from huggingface_hub import snapshot_download

    from xpsr.finding import INDEX, local_folder
    from xpsr.models import checkpoint

    try:
        # One of the hub lies where it was put when it was loaded; nothing is fetched here.
        folder = local_folder(model) or Path(snapshot_download(model, local_files_only=True))
        whole = (folder / INDEX).is_file()
        found = checkpoint.tagger_of(folder if whole else checkpoint.locate(folder))
    except (XPSRError, OSError):  # told where the model is loaded
        return None
    return found.folder or (found.ram.parent if found.ram else None)
