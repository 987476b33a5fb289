"""What the demo publishes: which images, in which form, in which order."""

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import partial
from itertools import cycle
from pathlib import Path

from schemas.events import DELETED, UPLOADED
from schemas.rejection import RejectionReason
from worker.demo import forms
from worker.demo.broken import broken_uploads
from worker.demo.edits import edited_copies
from worker.demo.store import ObjectStore
from worker.errors import ConfigurationError
from worker.stream.kafka import OutputRecord

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".avif"})

_MOST_PHOTOS = 300
_COPIED_PHOTOS = 15
_REPEATED = 2
_DELETED = 3
_SEED = 7


class Kind(StrEnum):
    """What an upload is, in words for the report."""

    PHOTO = "product photo"
    COPY = "edited copy of a photo"
    NOTICE = "text notice"
    CODE = "QR poster"
    REPEAT = "event sent twice"
    BROKEN = "broken upload"
    DELETION = "deletion"


@dataclass(frozen=True)
class Upload:
    """One event of the demo. `make` builds its record at the time of publishing.

    `event_id` is what stands on its outcomes. `original` is the image id of the photo that a copy
    was made from, `expected` the reason that a broken upload must be rejected with.
    """

    kind: Kind
    image_id: str
    event_id: str
    form: str
    make: Callable[[datetime], OutputRecord]
    picture: Path | None = None
    note: str = ""
    original: str | None = None
    expected: RejectionReason | None = None


@dataclass(frozen=True)
class Pictures:
    """The image files to publish; `photos` are relative to `photo_folder`."""

    photo_folder: Path
    photos: Sequence[Path]
    notices: Sequence[Path]
    codes: Sequence[Path]


@dataclass
class Planner:
    """Turns image files into uploads for `topic`; what is made on the way is written to `work`."""

    topic: str
    store: ObjectStore
    work: Path
    _numbers: Iterator[int] = field(default_factory=lambda: iter(range(1, 1_000_000)))

    def plan(self, pictures: Pictures) -> list[Upload]:
        """All uploads in the order of publishing: copies, repeats and deletions in the second part."""
        photos = list(self._photos(pictures))
        copies = list(self._copies(pictures, photos))
        copied = {copy.original for copy in copies}
        others = [photo for photo in photos if photo.image_id not in copied]
        broken = list(self._broken(pictures))
        order = random.Random(_SEED)
        first = [*photos, *self._inline(Kind.NOTICE, "notices", pictures.notices)]
        first += [*self._inline(Kind.CODE, "qr", pictures.codes), *broken[::2]]
        second = [*copies, *_repeats(others[:_REPEATED]), *broken[1::2]]
        second += self._deletions(others[_REPEATED : _REPEATED + _DELETED])
        order.shuffle(first)
        order.shuffle(second)
        return first + second

    def _photos(self, pictures: Pictures) -> Iterator[Upload]:
        for photo, form in zip(pictures.photos, cycle((self._by_path, self._by_notification, self._by_url))):
            key = photo.as_posix()
            file = pictures.photo_folder / photo
            self.store.files[f"/photos/{key}"] = file
            yield form(Kind.PHOTO, "photos", key, file)

    def _copies(self, pictures: Pictures, photos: Sequence[Upload]) -> Iterator[Upload]:
        folder = self.work / "copies"
        folder.mkdir()
        copied = 0
        for number, photo in enumerate(photos):
            if copied == _COPIED_PHOTOS:
                return
            try:
                files = edited_copies(pictures.photo_folder / pictures.photos[number], folder, str(number))
            except OSError:
                continue  # of the user's own images some may be damaged; the next one will do
            copied += 1
            forms_in_turn = cycle((self._by_url, self._by_notification))
            for (edit, file), form in zip(files.items(), forms_in_turn, strict=False):
                self.store.files[f"/copies/{file.name}"] = file
                yield form(Kind.COPY, "copies", file.name, file, note=edit, original=photo.image_id)

    def _inline(self, kind: Kind, bucket: str, files: Iterable[Path]) -> Iterator[Upload]:
        for number, file in enumerate(files):
            image_id, event_id = f"{bucket}/{file.name}", self._event_id()
            if number % 2:
                make = partial(forms.own_inline_upload, self.topic, image_id, event_id, file)
                yield Upload(kind, image_id, event_id, "JSON with the image inside", make, file)
            else:
                make = partial(forms.binary_cloud_event, self.topic, image_id, event_id, file)
                full_id = forms.cloud_event_id(event_id)
                yield Upload(kind, image_id, full_id, "CloudEvent that is the image", make, file)

    def _broken(self, pictures: Pictures) -> Iterator[Upload]:
        folder = self.work / "broken"
        folder.mkdir()
        for broken in broken_uploads(self.topic, pictures.codes[0], self.store, folder):
            yield Upload(
                Kind.BROKEN,
                f"broken/{broken.name}",
                f"broken-{broken.name}",
                "",
                broken.make,
                note=broken.what,
                expected=broken.reason,
            )

    def _deletions(self, photos: Sequence[Upload]) -> list[Upload]:
        removal_forms = cycle((self._own_deletion, self._cloud_deletion, self._bucket_deletion))
        deletions = [form(photo.image_id) for photo, form in zip(photos, removal_forms, strict=False)]
        return [*deletions, self._own_deletion("photos/never-uploaded.jpg")]

    def _by_path(
        self, kind: Kind, bucket: str, key: str, file: Path, note: str = "", original: str | None = None
    ) -> Upload:
        image_id, event_id = f"{bucket}/{key}", self._event_id()
        make = partial(forms.own_upload, self.topic, image_id, event_id, {"path": key})
        return Upload(kind, image_id, event_id, "JSON with a path", make, file, note, original)

    def _by_notification(
        self, kind: Kind, bucket: str, key: str, file: Path, note: str = "", original: str | None = None
    ) -> Upload:
        event = "ObjectCreated:Put"
        make = partial(forms.bucket_notification, self.topic, bucket, key, event)
        event_id = forms.notification_id(bucket, key, event)
        return Upload(kind, f"{bucket}/{key}", event_id, "S3 notification", make, file, note, original)

    def _by_url(
        self, kind: Kind, bucket: str, key: str, file: Path, note: str = "", original: str | None = None
    ) -> Upload:
        image_id, event_id = f"{bucket}/{key}", self._event_id()
        data = {"image": {"url": f"{self.store.url}/{bucket}/{key}"}}
        make = partial(forms.structured_cloud_event, self.topic, image_id, event_id, UPLOADED, data)
        full_id = forms.cloud_event_id(event_id)
        return Upload(kind, image_id, full_id, "CloudEvent with a URL", make, file, note, original)

    def _own_deletion(self, image_id: str) -> Upload:
        event_id = self._event_id()
        make = partial(forms.own_deletion, self.topic, image_id, event_id)
        return Upload(Kind.DELETION, image_id, event_id, "JSON, a deletion", make)

    def _cloud_deletion(self, image_id: str) -> Upload:
        event_id = self._event_id()
        make = partial(forms.structured_cloud_event, self.topic, image_id, event_id, DELETED, {})
        return Upload(Kind.DELETION, image_id, forms.cloud_event_id(event_id), "CloudEvent, a deletion", make)

    def _bucket_deletion(self, image_id: str) -> Upload:
        bucket, _, key = image_id.partition("/")
        event = "ObjectRemoved:Delete"
        make = partial(forms.bucket_notification, self.topic, bucket, key, event)
        event_id = forms.notification_id(bucket, key, event)
        return Upload(Kind.DELETION, image_id, event_id, "S3 notification, a deletion", make)

    def _event_id(self) -> str:
        return f"demo-{next(self._numbers):04}"


def _repeats(uploads: Iterable[Upload]) -> list[Upload]:
    return [
        Upload(Kind.REPEAT, upload.image_id, upload.event_id, upload.form, upload.make, upload.picture)
        for upload in uploads
    ]


def pictures_in(assets: Path, images: Path | None) -> Pictures:
    """The demo's own pictures under `assets`; with `images`, those in place of the product photos.

    Raises:
        ConfigurationError: there is none.

    """
    folder = assets / "photos" if images is None else images
    photos = image_files(folder)
    if not photos:
        raise ConfigurationError(f"{folder} holds no images ({', '.join(sorted(IMAGE_SUFFIXES))})")
    notices, codes = (
        [assets / name / file for file in image_files(assets / name)] for name in ("notices", "qr")
    )
    if not notices or not codes:
        raise ConfigurationError(f"{assets} lacks notices or QR codes: install mekiki again")
    return Pictures(folder.resolve(), _evenly(photos, _MOST_PHOTOS), notices, codes)


def image_files(folder: Path) -> list[Path]:
    """Image files under `folder`, by suffix, relative to it, in order of their names."""
    return sorted(
        path.relative_to(folder)
        for path in folder.rglob("*")
        if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file() and _encodable(path)
    )


def _encodable(path: Path) -> bool:
    """Whether the name can stand in JSON: file names need not be valid Unicode."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True


def _evenly(files: list[Path], most: int) -> list[Path]:
    """At most `most` of `files`, spread over all of them."""
    if len(files) <= most:
        return files
    return [files[number * len(files) // most] for number in range(most)]
