"""Runs an iterator on a thread of its own, a bounded number of items ahead."""

import contextlib
import queue
import threading
from collections.abc import Callable, Generator, Iterable
from typing import Any, TypeVar

Item = TypeVar("Item")
_LOOK_UP_S = 0.1  # how often a waiting thread looks whether it is still needed


def in_background(
    items: Iterable[Item], ahead: int, drop: Callable[[Item], None] | None = None
) -> Generator[Item]:
    """Yields the items of an iterable that another thread runs through.

    Args:
        items: They are asked for, and a generator is closed, on that thread alone.
        ahead: The number of items that may wait.
        drop: Where it is given, nothing waits for room: the oldest waiting item is
            dropped and handed to this function.

    Yields:
        The items in their order. An exception of the iterable is raised here.

    Example:
        >>> list(in_background(range(3), ahead=1))
        [0, 1, 2]
    """
    waiting: queue.Queue[tuple[str, Any]] = queue.Queue(ahead)
    stopped = threading.Event()

    def put(entry: tuple[str, Any]) -> None:
        while not stopped.is_set():
            try:
                return waiting.put(entry, not drop, _LOOK_UP_S)
            except queue.Full:
                if drop:
                    drop_oldest(drop)

    def drop_oldest(drop: Callable[[Item], None]) -> None:
        with contextlib.suppress(queue.Empty):  # somebody else just made room
            drop(waiting.get_nowait()[1])

    def run() -> None:
        iterator = iter(items)
        try:
            for item in iterator:
                put(("item", item))
                if stopped.is_set():
                    return
            put(("end", None))
        except BaseException as error:  # it is raised where the items are asked for
            put(("error", error))
        finally:
            if isinstance(iterator, Generator):
                iterator.close()

    # A thread that waits for a camera must not keep the program from ending.
    thread = threading.Thread(target=run, name="qepose read-ahead", daemon=True)
    thread.start()
    try:
        while True:
            kind, value = waiting.get()
            if kind == "end":
                return
            if kind == "error":
                raise value
            yield value
    finally:
        stopped.set()
        thread.join(timeout=2.0)


class BackgroundWorker:
    """Calls a function on a thread of its own, on one item after another.

    Args:
        work: It is called on that thread alone.
        ahead: The number of items that may wait; `add` waits where there are more.
        end: It is called on that thread behind the last item, if no item failed.
    """

    def __init__(
        self, work: Callable[[Any], None], ahead: int, end: Callable[[], None]
    ) -> None:
        self._work, self._end = work, end
        self._waiting: queue.Queue[Any] = queue.Queue(ahead)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="qepose write-behind")
        self._thread.start()

    def add(self, item: Any) -> None:
        """Hands an item over.

        Raises:
            Exception: What the function raised on an earlier item.
        """
        self._raise()
        self._waiting.put((item,))

    def close(self) -> None:
        """Waits until all items are done, and ends the thread.

        Raises:
            KeyboardInterrupt: Ctrl-C came meanwhile. All items are done, unless it came
                twice.
            Exception: What a function raised.
        """
        interrupted: KeyboardInterrupt | None = None
        while self._thread.is_alive():
            try:
                self._waiting.put(None)
                self._thread.join()
            except KeyboardInterrupt as again:
                if interrupted is not None:
                    raise
                interrupted = again
        self._raise()
        if interrupted is not None:
            raise interrupted

    def abandon(self) -> None:
        """Ends the thread without the items that still wait."""
        self._error = self._error or RuntimeError("abandoned")
        if self._thread.is_alive():
            self._waiting.put(None)
            self._thread.join()

    def _run(self) -> None:
        while (entry := self._waiting.get()) is not None:
            if self._error is None:  # or else room is made for whoever waits
                self._call(self._work, *entry)
        if self._error is None:
            self._call(self._end)

    def _call(self, function: Callable[..., None], *arguments: Any) -> None:
        try:
            function(*arguments)
        except BaseException as error:  # it is raised where the items come from
            self._error = error

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error
