"""What Chromium shows of the odd images: `python -m tests.golden.chromium` writes it anew.

`chromium.npz` holds uint8 [SIDE, SIDE, 3] for each name in `tests.odd_images.SHOWN`
that is not told by another's.
"""

import subprocess
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from tests.odd_images import LIKE, SHOWN

SIDE = 32
PIXELS = Path(__file__).with_name("chromium.npz")
_COLUMNS = 8


def shown(browser: str = "chromium") -> dict[str, np.ndarray]:
    """The images as `browser` shows them, over white, stretched to SIDE x SIDE from 128 x 128."""
    names = [name for name in SHOWN if name not in LIKE]
    rows = -(-len(names) // _COLUMNS)
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder, "page.html")
        tags = []
        for number, name in enumerate(names):
            file = Path(folder, f"{number}.{name.rpartition('.')[2]}")
            file.write_bytes(SHOWN[name]())
            tags.append(f'<img decoding="sync" src="{file.name}">')
        style = f"*{{margin:0}}body{{width:{_COLUMNS * 128}px}}img{{width:128px;height:128px;float:left}}"
        # A picture that lacks its end is drawn when its bytes have come, not with the first paint.
        again = "<script>setTimeout(()=>{for(const i of document.images)i.src=i.src},2000)</script>"
        page.write_text(f"<style>{style}</style>{''.join(tags)}{again}")
        picture = Path(folder, "picture.png")
        subprocess.run(
            [
                browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
                "--force-color-profile=srgb", "--virtual-time-budget=10000",
                f"--screenshot={picture}", f"--user-data-dir={folder}/user",
                f"--window-size={_COLUMNS * 128},{rows * 128 + 200}", page.as_uri(),
            ],
            check=True, capture_output=True, timeout=120,
        )  # fmt: skip
        with Image.open(picture) as whole:
            return {
                name: _part(whole.convert("RGB"), number % _COLUMNS * 128, number // _COLUMNS * 128)
                for number, name in enumerate(names)
            }


def _part(picture: Image.Image, left: int, top: int) -> np.ndarray:
    part = picture.crop((left, top, left + 128, top + 128))
    return np.asarray(part.resize((SIDE, SIDE), Image.Resampling.BOX))


if __name__ == "__main__":
    np.savez_compressed(PIXELS, **shown())
