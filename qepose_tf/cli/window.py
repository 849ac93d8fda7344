"""A window that shows the frames of a video as they are drawn."""

from typing import Any

import numpy as np
from PIL import Image


class Window:
    """Shows images one after another; who closes it sees no more of them.

    Args:
        title: The text in its frame.

    Raises:
        ImportError: This Python has no tkinter.
        OSError: There is no display.
    """

    def __init__(self, title: str) -> None:
        try:
            import tkinter
        except ModuleNotFoundError:
            raise ImportError(
                "--show: this Python has no tkinter, which opens windows (on Debian: "
                "apt install python3-tk); without --show the drawn video is written"
            ) from None
        try:
            self._root: tkinter.Tk | None = tkinter.Tk()
        except tkinter.TclError:
            raise OSError(
                "--show: there is no display here; without --show the drawn video is "
                "written, and can be looked at elsewhere"
            ) from None
        self._root.title(title)
        self._root.protocol("WM_DELETE_WINDOW", self.close)
        self._largest = self._root.winfo_screenwidth(), self._root.winfo_screenheight()
        self._label = tkinter.Label(self._root)
        self._label.pack()
        self._shown: Any = None  # Tk does not keep an image alive

    def show(self, image: np.ndarray) -> None:
        """Shows an image `[H, W, 3]` uint8, made smaller where the screen is."""
        if self._root is None:
            return
        from PIL import ImageTk

        picture = Image.fromarray(image)
        picture.thumbnail(self._largest)
        self._shown = ImageTk.PhotoImage(picture, master=self._root)
        self._label.configure(image=self._shown)
        self._root.update()

    def close(self) -> None:
        """Closes the window."""
        root, self._root = self._root, None
        if root is not None:
            root.destroy()
