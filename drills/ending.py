"""How a drill that is told to end puts away what it began."""

import asyncio
import signal


def end_in_order() -> None:
    """On SIGTERM, and when the terminal is closed, put away what was begun, as the runner does on SIGINT."""
    task, loop = asyncio.current_task(), asyncio.get_running_loop()

    def end() -> None:
        # A second one must not interrupt it.
        for number in (signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, lambda: None)
        if task is not None:
            task.cancel()

    for number in (signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, end)
