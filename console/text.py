"""Text as every database takes it."""


def printable(text: str) -> str:
    """`text` without NUL and lone surrogates."""
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()
