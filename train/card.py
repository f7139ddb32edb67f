"""The model card of a run: what it is, how it came about, how to use it."""

import shlex
from pathlib import Path

import yaml
from PIL import Image

from train import record
from train.config import TrainConfig
from train.manifest import has_pairs, read_manifest
from train.options import read_yaml
from xpsr.counted import counted
from xpsr.models.family import SEESR, XPSR, Family
from xpsr.recipe import Versions

TEMPLATE = """\
---
library_name: diffusers
pipeline_tag: image-to-image
tags: [super-resolution, image-restoration, {tag}]
{base}---

# {name}

A text-guided ×{upscale} super-resolution model of the {family} kind ({published}), trained with
XPSR Studio for {steps} of {pairs}.{part}

```python
import xpsr

pipe = xpsr.load({load})
pipe(image, {texts}).images[0]
```

## Data

{data}

## How it was trained

```
{command}
```

{versions}

```yaml
{config}```

Nothing is said here about how good it is: `python -m train.validate` measures that on photos of
your own.
"""


# Where a kind of model was published, and how it is told what is in a picture.
KINDS = {
    XPSR.name: ("ECCV 2024", 'prompt="what is in it", lowlevel_prompt="how good it looks"'),
    SEESR.name: ("CVPR 2024", 'prompt="what is in it, as tags,"'),
}


def model_card(config: TrainConfig, family: Family, steps: int, a_step: int) -> str:
    """Markdown with the front matter that the Hugging Face hub reads.

    Args:
        steps: done in all.
        a_step: pairs that one takes, of all processes.
    """
    start = config.model.start
    name = Path(config.out).resolve().name
    own = config.export == "own"
    published, texts = KINDS[family.name]
    part = f" Of its parts only this learnt: `model.only={config.model.only}`."
    is_hub_id = bool(start) and "/" in start and not Path(start).exists()
    return TEMPLATE.format(
        tag=family.name.lower(),
        family=family.name,
        published=published,
        texts=texts,
        part=part if config.model.only else "",
        base=f"base_model: {start}\n" if is_hub_id else "",
        name=name,
        upscale=_upscale(config),
        steps=counted(steps, "step"),
        pairs=counted(a_step, "pair"),
        load=f'"{name}", base="{start}"' if own else f'"{name}"',
        data=_data(config),
        command="accelerate launch -m train --config config.yaml "
        + shlex.join([f"data={Path(config.data).name}", f"out={name}"]),
        versions=", ".join(f"{k} {v}" for k, v in vars(Versions.here()).items() if v),
        config=yaml.safe_dump(_options(config), sort_keys=False, allow_unicode=True),
    )


def _options(config: TrainConfig) -> dict:
    """What the run was trained by; with steps=1 a run is exported by other options than that."""
    recorded = Path(config.out) / record.NAME
    return read_yaml(recorded) if recorded.is_file() else config.model_dump(exclude_unset=True)


def _upscale(config: TrainConfig) -> int:
    """How much smaller the low-resolution sides are."""
    folder = Path(config.data)
    if not has_pairs(folder):
        return config.degradation.upscale
    name = f"{read_manifest(folder)[0]['id']}.png"
    with Image.open(folder / "HR" / name) as high, Image.open(folder / "LR" / name) as low:
        return high.width // low.width


def _data(config: TrainConfig) -> str:
    folder = Path(config.data)
    if not has_pairs(folder):
        return f"Photos of `{folder.name}`, degraded as they were drawn."
    lines = read_manifest(folder)
    photos = len({line["photo"] for line in lines})
    author = "hr_describer" if config.caption_source == "hr" else "describer"
    parts = {"recipe": "Degradation", author: "Texts by"}
    counts = [
        f"{title}: {_shares([line.get(key) for line in lines])}." for key, title in parts.items()
    ]
    pairs = f"{counted(len(lines), 'pair')} of {counted(photos, 'photo')}"
    return f"{pairs} (`{folder.name}`). " + " ".join(counts)


def _shares(values: list[str | None]) -> str:
    names = sorted({str(value) for value in values if value})
    return ", ".join(f"{name} ({values.count(name) / len(values):.0%})" for name in names) or "none"
