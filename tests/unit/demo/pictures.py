"""A few drawn pictures in the shape of the demo's own."""

from pathlib import Path

from tests.images import photo
from worker.demo.uploads import Pictures, pictures_in

PHOTOS = 24


def drawn_assets(folder: Path, photos: int = PHOTOS) -> Path:
    """An assets folder with small pictures of each kind."""
    for name, count, first in (("photos", photos, 0), ("notices", 3, 1000), ("qr", 2, 2000)):
        (folder / name).mkdir(parents=True)
        for number in range(count):
            photo(first + number, 96, 72).save(folder / name / f"{name} {number:02}+ä.jpg")
    return folder


def drawn_pictures(folder: Path, photos: int = PHOTOS) -> Pictures:
    return pictures_in(drawn_assets(folder, photos), None)
