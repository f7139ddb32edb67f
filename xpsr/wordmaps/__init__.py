"""Word maps: which places of the picture attend to which word of the two texts.

```python
import xpsr
from xpsr.wordmaps import WordRecorder, overlay

pipe = xpsr.load("mini")
recorder = WordRecorder()
*_, restored = pipe.stream("photo.jpg", prompts, settings, recorder=recorder)
maps = recorder.maps
for piece, found in zip(maps.pieces("high"), maps.words("high")):
    overlay(restored.image, found).save(f"{piece.text}.png")
```
"""

from xpsr.wordmaps.draw import overlay, sheet
from xpsr.wordmaps.maps import WordMaps
from xpsr.wordmaps.pieces import Piece
from xpsr.wordmaps.recorder import WordRecorder

__all__ = ["Piece", "WordMaps", "WordRecorder", "overlay", "sheet"]
