"""The console's pages as files, to look at once the demo has ended: nothing on them can be sent."""

import hashlib
import html
import re
import urllib.error
import urllib.request
from pathlib import Path

_SECONDS = 30.0
_PAGES = ("now", "review", "try", "search")
_MOST_IMAGES = 60
_SCRIPT = re.compile(r"<script\b[^>]*>.*?</script>", re.DOTALL)
_PICTURE = re.compile(r'src="(/picture/([0-9-]+))"')
_WHY = re.compile(r'href="(/why\?id=[^"]+)"')
_LINK = re.compile(r'(href|action)="(/[^"]*)"')


def save_pages(url: str, folder: Path) -> Path:
    """Write the pages of the console at `url` into `folder`, with those about images; gives the first.

    Raises:
        OSError: the console does not answer, or `folder` cannot be written.

    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "app.css").write_bytes(_read(url, "/static/app.css"))
    texts = {f"{name}.html": _read(url, f"/{name}").decode() for name in _PAGES}
    histories = dict.fromkeys(link for text in texts.values() for link in _WHY.findall(text))
    for link in list(histories)[:_MOST_IMAGES]:
        texts[_file_of(link)] = _read(url, html.unescape(link)).decode()
    for name, text in texts.items():
        for path, place in dict(_PICTURE.findall(text)).items():
            _save_picture(url, path, folder / f"{place}.jpg")
        (folder / name).write_text(_as_file(text, set(texts)), encoding="utf-8")
    return folder / "now.html"


def _file_of(link: str) -> str:
    """The name of an image's page: ids are strangers' text."""
    return f"why-{hashlib.sha256(html.unescape(link).encode()).hexdigest()[:12]}.html"


def _as_file(text: str, names: set[str]) -> str:
    """A page whose links lead to other files, or nowhere."""

    def led(match: re.Match[str]) -> str:
        attribute, to = match.groups()
        name = _file_of(to) if to.startswith("/why?") else f"{to.strip('/').partition('?')[0]}.html"
        return f'{attribute}="{name if name in names else "#"}"'

    text = _SCRIPT.sub("", text).replace("<button", "<button disabled")
    text = text.replace('href="/static/app.css"', 'href="app.css"').replace('href="/static/icon.svg"', "")
    return _LINK.sub(led, _PICTURE.sub(r'src="\2.jpg"', text))


def _save_picture(url: str, path: str, file: Path) -> None:
    if not file.exists():
        try:
            file.write_bytes(_read(url, path))
        except urllib.error.HTTPError:
            file.touch()  # it cannot be seen any more


def _read(url: str, path: str) -> bytes:
    with urllib.request.urlopen(f"{url}{path}", timeout=_SECONDS) as answer:  # noqa: S310 - our own process
        return bytes(answer.read())
