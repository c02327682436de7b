"""Tar archives, good and odd."""

import io
import tarfile


def write_tar(path, members, **options):
    with tarfile.open(path, **{"mode": "w", **options}) as tar:
        for name, content in members.items():
            info = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def header(kind, size):
    """A member's header that claims ``size`` bytes, which may be negative (base 256)."""
    block = bytearray(tarfile.TarInfo("x").tobuf(tarfile.USTAR_FORMAT))
    block[156:157], block[124:136] = kind, b"\xff" * 4 + size.to_bytes(8, "big", signed=True)
    if size >= 0:
        block[124:128] = b"\x80\0\0\0"
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)
