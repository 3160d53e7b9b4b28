"""Durable writes of the checkpoint, many changes to one write."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Journal:
    """Writes what `render` returns with `save`, one write at a time.

    `flush` returns when a write that began after it was called is on the disk. While a write is under way, those who
    ask wait for the next one together: with many steps side by side a write serves many of them.
    """

    def __init__(self, render: Callable[[], str], save: Callable[[str], None]) -> None:
        self._render = render
        self._save = save
        self._waiting: list[asyncio.Future[None]] = []
        self._writer: asyncio.Task[None] | None = None
        self.writes = 0

    async def flush(self) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write())
        await future

    async def _write(self) -> None:
        while self._waiting:
            # Give what happens at the same moment the chance to be in this write.
            await asyncio.sleep(0)
            batch, self._waiting = self._waiting, []
            try:
                text = self._render()
                self.writes += 1
                await asyncio.to_thread(self._save, text)
            except Exception as err:
                for future in batch:
                    if not future.done():
                        future.set_exception(err)
                continue
            for future in batch:
                if not future.done():
                    future.set_result(None)
