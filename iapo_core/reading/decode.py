"""Bytes to text: what is compressed, too large, binary or of unknown encoding is refused before anything looks into it."""

from __future__ import annotations

import codecs

from iapo_core.errors import ReadingError

MAX_BYTES = 10 * 1024 * 1024
_BINARY = {
    b"PK\x03\x04": "an archive or a workbook (.xlsx); export the sheet as CSV",
    b"PK\x05\x06": "an empty archive; unpack it",
    b"\x1f\x8b": "compressed (gzip); unpack it",
    b"BZh": "compressed (bzip2); unpack it",
    b"\xfd7zXZ\x00": "compressed (xz); unpack it",
    b"\x28\xb5\x2f\xfd": "compressed (zstd); unpack it",
    b"7z\xbc\xaf\x27\x1c": "compressed (7z); unpack it",
    b"\xd0\xcf\x11\xe0": "an old Office document; export the sheet as CSV",
    b"%PDF-": "a PDF; copy its text into a text file",
    b"PAR1": "a parquet file; export it as CSV or JSONL",
}
# UTF-32's mark begins with UTF-16's, so it is looked for first.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def decode(content: bytes | str, source: str) -> str:
    """Return the text of a file: UTF-8, or UTF-16 / UTF-32 with a byte order mark.

    Raises:
        ReadingError: If it is too large, compressed, no text, or holds the character NUL.
    """
    size = len(content) if isinstance(content, bytes) else len(content.encode("utf-8", "surrogatepass"))
    if size > MAX_BYTES:
        raise ReadingError(f"{source}: {size:,} bytes are more than the {MAX_BYTES:,} allowed; split the file.")
    text = content.removeprefix("\ufeff") if isinstance(content, str) else _text(content, source)
    if not text.strip():
        raise ReadingError(f"{source}: there is nothing in it; choose another file, or paste the text.")
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise ReadingError(f"{source}, line {line}: a NUL character stands there, so this is no plain text; save it as UTF-8.")
    return text


def _text(content: bytes, source: str) -> str:
    for mark, what in _BINARY.items():
        if content.startswith(mark):
            raise ReadingError(f"{source}: this is {what}.")
    encoding = next((name for mark, name in _MARKS if content.startswith(mark)), "utf-8")
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ReadingError(
            f"{source}, line {line}: byte {error.start} is not {encoding.removesuffix('-sig').upper()} text ({error.reason}); "
            "save the file as UTF-8."
        ) from error
