"""What people bring to the gallery, and what they take away."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Literal

import numpy as np
import streamlit as st
from numpy.typing import NDArray
from PIL import Image

from sharpvae.core.errors import UserError
from sharpvae.datasets.decode import Fit, UnusableImageError, decode, fit_square
from sharpvae.images.tiles import grid
from sharpvae.report.pictures import opaque

Images = NDArray[np.uint8]  # (N, S, S, C)
Film = Literal["gif", "mp4"]

FRAME_MS = 80
_LEAST = 256  # pixels of an animation's side
_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, as Pillow makes grey


def read_upload(name: str, content: bytes, size: int, channels: int, fit: Fit) -> Images:
    """An image file of any mode and orientation as the VAE takes it: uint8 (S, S, C).

    Raises:
        UserError: too many bytes or pixels, or no image.
    """
    most = st.get_option("server.maxUploadSize")  # which the server holds browsers to as well
    expected = f"an image of at most {most} MB"
    if len(content) > most << 20:
        raise UserError(name, expected, f"{len(content) / (1 << 20):.0f} MB", "make it smaller")
    try:
        found = decode(content)  # which has a limit of pixels, too
    except UnusableImageError as error:
        raise UserError(name, expected, str(error), "bring a PNG, JPEG, WebP or GIF") from None
    square = fit_square(found[None], size, fit)
    if channels == 1 and square.shape[3] == 3:
        square = np.rint(square @ np.array(_LUMA)).astype(np.uint8)[..., None]
    return square.repeat(channels // square.shape[3], axis=3)[0]


def png(images: Images, columns: int) -> bytes:
    """Images in rows, enlarged where they are small."""
    buffer = io.BytesIO()
    grid(images, columns).save(buffer, "PNG")
    return buffer.getvalue()


def npz(images: Images) -> bytes:
    """The images as they are, under the name `images`."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, images=images)
    return buffer.getvalue()


def animation(strips: Sequence[Images], form: Film) -> bytes:
    """Frames of one or several VAEs side by side, there and back, enlarged.

    Args:
        strips: of each VAE uint8 (T, S, S, C); sizes may differ, T may not.
    """
    frames = _frames(strips)
    looped = [*frames, *frames[-2:0:-1]]
    return _gif(looped) if form == "gif" else _mp4(looped)


def _frames(strips: Sequence[Images]) -> list[Image.Image]:
    side = max(_LEAST, *(images.shape[1] for images in strips))
    frames = []
    for at in range(len(strips[0])):
        frame = Image.new("RGB", (side * len(strips), side))
        for column, images in enumerate(strips):
            one = Image.fromarray(opaque(images[at : at + 1])[0]).convert("RGB")
            frame.paste(one.resize((side, side), Image.Resampling.NEAREST), (side * column, 0))
        frames.append(frame)
    return frames


def _gif(frames: Sequence[Image.Image]) -> bytes:
    buffer = io.BytesIO()
    first, *rest = frames
    first.save(buffer, "GIF", save_all=True, append_images=rest, duration=FRAME_MS, loop=0)
    return buffer.getvalue()


def _mp4(frames: Sequence[Image.Image]) -> bytes:
    """H.264 with the pixel format that every player knows, which wants even sides."""
    import av  # a fifth of a second

    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=round(1000 / FRAME_MS))
        stream.width, stream.height = (side // 2 * 2 for side in frames[0].size)
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            for packet in stream.encode(av.VideoFrame.from_image(frame)):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return buffer.getvalue()
