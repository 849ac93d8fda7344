"""Tells videos, cameras and streams from pictures, by their names alone."""

import re
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

VIDEO_SUFFIXES = frozenset(
    ".mp4 .m4v .mov .avi .mkv .webm .mpg .mpeg .mts .m2ts .wmv .flv .3gp .ogv "
    ".mj2".split()
)
_STREAM = re.compile(r"(rtsps?|rtmps?|https?|udp|srt)://.", re.IGNORECASE)
_CAMERA = re.compile(r"camera:(\d+)")
# What a drawn video carries as its comment, as a drawn picture does.
COMMENT = "drawn by qepose predict"
_TAIL = 2**16  # bytes at the end of a file in which the comment stands


def camera_number(source: object) -> int | None:
    """Returns 0 for `camera:0`, and None for what names no camera."""
    found = _CAMERA.fullmatch(str(source))
    return int(found[1]) if found and not Path(str(source)).exists() else None


def is_stream(source: object) -> bool:
    """Tells whether a source is a camera or a URL, which no folder holds.

    Args:
        source: Whatever a user named; a path is never a URL.

    Example:
        >>> is_stream("camera:0"), is_stream("rtsp://door/1"), is_stream("a.mp4")
        (True, True, False)
    """
    if not isinstance(source, str):
        return False
    return camera_number(source) is not None or bool(_STREAM.match(source))


def is_video(source: object) -> bool:
    """Tells whether a source is read as a video: a stream, or a file by its suffix.

    Args:
        source: Whatever a user named.

    Example:
        >>> is_video("clip.MOV"), is_video("camera:1"), is_video("photo.jpg")
        (True, True, False)
    """
    if not isinstance(source, str | Path):
        return False
    return is_stream(source) or Path(source).suffix.lower() in VIDEO_SUFFIXES


def shown_name(source: str | Path) -> str:
    """Returns the name of a source for messages and files: without its password.

    Args:
        source: A path, a camera or a URL.

    Example:
        >>> shown_name("rtsp://me:secret@door/1")
        'rtsp://me:***@door/1'
    """
    if not is_stream(source) or "@" not in str(source):
        return str(source)
    parts = urlsplit(str(source))
    user = (parts.username or "") + (":***" if parts.password else "")
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{user}@{host}"))


def file_stem(source: str | Path) -> str:
    """Returns the name, without a suffix, of the files written of a video.

    Args:
        source: A path, a camera or a URL.

    Example:
        >>> file_stem("a/clip.mp4"), file_stem("camera:0"), file_stem("rtsp://door/1")
        ('clip', 'camera_0', 'door_1')
    """
    if not is_stream(source):
        return Path(source).stem
    parts = urlsplit(str(source))
    if not parts.netloc:
        return str(source).replace(":", "_")
    path = Path(parts.path)
    known = path.suffix.lower() in VIDEO_SUFFIXES
    words = re.findall(r"[\w-]+", str(path.with_suffix("") if known else path))
    return "_".join([parts.hostname or "stream", *words])


def is_drawn_video(path: Path) -> bool:
    """Tells by the comment at its end whether this package wrote an MP4 file."""
    if path.suffix.lower() != ".mp4":
        return False
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - _TAIL))
            return COMMENT.encode() in file.read()
    except OSError:
        return False
