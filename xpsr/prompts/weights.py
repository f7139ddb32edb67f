"""Where the files of a hub model lie on this machine, and how they come here.

What is in the cache is used as it is, without asking the hub: no wait where there is no network,
and the same weights tomorrow.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path

from xpsr.errors import is_disk_full
from xpsr.prompts.description import DescriberUnavailableError

FILES = ("*.json", "*.safetensors", "*.model", "*.txt", "*.jinja")  # no pickles, no code
SECONDS = 10.0  # for the hub's answer; its own way of trying again takes five minutes
logger = logging.getLogger(__name__)


def find_commit(model: str, revisions: Sequence[str]) -> str:
    """The commit of the first of these revisions that is on this machine, or else on the hub.

    Raises:
        DescriberUnavailableError: it is on neither, or the hub cannot be reached.
    """
    for revision in revisions:
        path = _cached(model, "config.json", revision)
        if path is not None:
            return path.parent.name
    from huggingface_hub import HfApi, hf_hub_download
    from huggingface_hub.errors import RevisionNotFoundError

    for revision in revisions:
        try:
            HfApi().model_info(model, revision=revision, timeout=SECONDS)  # is anybody there?
            # By the name of the revision, so that the cache remembers what the name stands for.
            path = hf_hub_download(model, "config.json", revision=revision)
        except RevisionNotFoundError:
            continue
        except Exception as error:  # of the hub, of the network, of a proxy
            raise _not_to_be_had(model, error) from error
        return Path(path).parent.name
    raise DescriberUnavailableError(
        f"{model} has no revision {' or '.join(revisions)}; leave the option revision out."
    )


def fetch_config(model: str, commit: str) -> Path:
    """The folder with the model's configuration, fetched if it is not yet here."""
    here = _cached(model, "config.json", commit)
    return here.parent if here else _fetch(model, commit, ("config.json",))


def fetch_all(model: str, commit: str) -> Path:
    """The folder with all files of the model; what is missing is fetched, gigabytes if need be."""
    here = _cached(model, "config.json", commit)
    return here.parent if here and are_here(model, commit) else _fetch(model, commit, FILES)


def are_here(model: str, revision: str) -> bool:
    """Whether weights, tokenizer and processor of a model are in the cache of the hub, whole."""

    def here(*names: str) -> bool:
        return any(_cached(model, name, revision) for name in names)

    if not (
        here("config.json")
        and here("tokenizer.json", "tokenizer.model")
        and here("processor_config.json", "preprocessor_config.json")
    ):
        return False
    index = _cached(model, "model.safetensors.index.json", revision)
    if index is None:
        return here("model.safetensors")
    shards = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    return all(here(shard) for shard in shards)


def _cached(model: str, name: str, revision: str) -> Path | None:
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(model, name, revision=revision)
    return Path(found) if isinstance(found, str) else None


def _fetch(model: str, commit: str, files: Sequence[str]) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(model, revision=commit, allow_patterns=list(files)))
    except Exception as error:
        raise _not_to_be_had(model, error) from error


def _not_to_be_had(model: str, error: Exception) -> DescriberUnavailableError:
    logger.info("fetching %s failed", model, exc_info=error)
    if is_disk_full(error):
        from huggingface_hub import constants

        return DescriberUnavailableError(
            f"{model} could not be fetched: the disk is full. Make room for "
            f"{constants.HF_HUB_CACHE}, or use the describer measured."
        )
    return DescriberUnavailableError(
        f"{model} is not on this machine, or not all of it, and could not be fetched. Connect to "
        "the internet, name a folder as llava:FOLDER, or use the describer measured."
    )
