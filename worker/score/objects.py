"""Objects in a store, as images: the image id is bucket/key, and the URL is made of both."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote

from schemas.events import DELETED, ImageDeleted, ImageReference, ImageUploaded
from schemas.rejection import RejectionReason
from worker.errors import Rejection
from worker.score.parsed import PerhapsDeleted
from worker.score.validate import invalid, validated


@dataclass(frozen=True)
class ObjectChange:
    """Something that happened to one object; `time` is that of the store, `url` where the store says it is.

    `more` are fields of the image that the envelope names, such as the category; `size` is in bytes, as the
    store gives it.
    """

    bucket: str
    key: str
    event_id: str
    time: str
    url: str | None = None
    more: Mapping[str, str] = field(default_factory=dict)
    size: object = None

    @property
    def is_folder(self) -> bool:
        """Whether it only stands for a folder: what consoles and tools write to show one."""
        return self.key.endswith("/") and str(self.size) == "0"

    @property
    def _identity(self) -> dict[str, str]:
        if not self.bucket or not self.key:
            raise invalid("the bucket or the key of the object is empty")
        return {"event_id": self.event_id, "image_id": f"{self.bucket}/{self.key}"}

    def uploaded(self, object_url: str | None) -> ImageUploaded:
        """The object is there, whether new or replaced.

        Raises:
            Rejection: its URL cannot be told or asked for.

        """
        image = {"url": self._asked_at(object_url)}
        return validated(
            ImageUploaded, {**self.more, **self._identity, "uploaded_at": self.time, "image": image}
        )

    def deleted(self) -> ImageDeleted:
        """The object is gone.

        Raises:
            Rejection: the bucket or the key cannot be part of an image id.

        """
        return validated(ImageDeleted, {**self._identity, "type": DELETED, "deleted_at": self.time})

    def perhaps_deleted(
        self, object_url: str | None, header: str, version: str, gone_if_unnamed: bool
    ) -> PerhapsDeleted:
        """A version is gone: see PerhapsDeleted.

        Raises:
            Rejection: its URL cannot be told or asked for.

        """
        url = validated(ImageReference, {"url": self._asked_at(object_url)}).url or ""
        return PerhapsDeleted(self.deleted(), url, header, version, gone_if_unnamed)

    def _asked_at(self, object_url: str | None) -> str:
        """The object's URL.

        A dot segment is removed by whoever takes the URL for a path, escaped or not (RFC 3986, 6.2.2): the
        answer would be another object, of another bucket perhaps.
        """
        if {".", ".."} & {self.bucket, *self.key.split("/")}:
            raise Rejection(
                RejectionReason.SOURCE_UNSUPPORTED,
                f"the key {self.key[:200]!r} has a segment . or .., which no URL can ask for: "
                "rename the object",
            )
        if self.url is not None:
            return self.url
        if object_url is None:
            raise Rejection(
                RejectionReason.SOURCE_UNSUPPORTED,
                "a bucket notification came, but fetch.object_url, the URL of its objects, is not set",
            )
        try:
            return object_url.format(bucket=quote(self.bucket, safe=""), key=quote(self.key))
        except UnicodeEncodeError as error:  # JSON can escape half of a surrogate pair
            raise invalid(f"the bucket or key of the object is not Unicode: {error}") from error
