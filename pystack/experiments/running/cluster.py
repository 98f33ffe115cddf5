"""The workers of a Dask cluster: points go out in chunks, and outcomes come straight from workers.

The scheduler sees which chunk is where, and nothing of what comes out. At any time there are a few
chunks a thread of the workers, each of one or two seconds' work, so that a million points are no
more to it than a hundred.
"""

from __future__ import annotations

import queue
import time
import uuid
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, Self

from pystack.core.errors import ConfigError
from pystack.core.extras import need
from pystack.experiments.model import Outcome, Point
from pystack.experiments.running.engine import TICK_S
from pystack.experiments.running.supervisor import Done, RunningError, Timing
from pystack.experiments.running.worker import (
    ASK_KIND,
    Came,
    Chunk,
    end_sweep,
    kind,
    kinds_that_differ,
    run_chunk,
)

if TYPE_CHECKING:
    from distributed import Client

    from pystack.experiments.experiment import Experiment

_CHUNK_S: Final = 1.5  # of work; a chunk costs 9 ms of processor time, on all sides together
_MOST: Final = 1000  # points of a chunk
_AHEAD: Final = 2  # chunks a thread of the workers, of which it runs one
_CONNECT_S: Final = 10.0
_LOOK_S: Final = 2.0  # how often the number of threads is looked at
_END_S: Final = 5.0
_FETCH_S: Final = 15.0  # for what a chunk has come to; longer each time that this was too short
_FETCH_MOST_S: Final = 3600.0


class Cluster:
    """An engine: the workers of a scheduler."""

    def __init__(self, experiment: Experiment, dask: str | Client) -> None:
        """`dask`: the scheduler's address, or a client of it. Raises ConfigError."""
        self._distributed: Any = need("distributed", "running on a Dask cluster")
        self._is_ours = isinstance(dask, str)
        # Any: most of its methods have no types
        self._client: Any = self._connected(dask) if isinstance(dask, str) else dask
        if self._client.asynchronous:
            raise ConfigError(
                "this Dask client is asynchronous, and a sweep blocks: give it another "
                "distributed.Client, and call run in a thread (asyncio.to_thread)"
            )
        self._experiment = experiment
        self._text = experiment.program_json()
        self._sweep = uuid.uuid4().hex
        self._came: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._out: dict[Any, tuple[int, ...]] = {}  # chunks: numbers of points
        self._again: list[int] = []  # points that were with a worker that has died
        self._suspects: list[int] = []  # those that may have been the cause, to be run alone
        self._deaths: dict[int, int] = {}  # such -> how often its worker died where it was alone
        self._is_alone = False  # what is out is a suspect, and nothing beside it
        self._points: Iterator[Point] = iter(())
        self._fetch_s = _FETCH_S
        self._run_s = 0.0  # what a run takes, by and by; 0: none has ended yet
        self._threads, self._looked_at = 1, 0.0
        self._left = 0  # points that have not been handed out

    def __enter__(self) -> Self:
        """See that its workers are what this is."""
        try:
            found = self._client.run(eval, ASK_KIND, on_error="return")
        except Exception as error:
            raise self._gone(error) from None
        if faults := kinds_that_differ(kind(), found):
            more = f", and {len(faults) - 3} more" if len(faults) > 3 else ""
            self._close()
            raise ConfigError(
                f"results would not be the same everywhere: {'; '.join(faults[:3])}{more}; "
                "install the same versions on all"
            )
        return self

    def __exit__(self, *_error: object) -> None:
        """End all that it has on the cluster."""
        self._close()

    def outcomes(self, points: Iterator[Point], count: int) -> Iterator[Done | None]:
        """Run points, and yield what becomes of them."""
        self._points, self._left = points, count
        self._hand_out()
        while self._out:
            futures = self._next_ones()
            if not futures:
                if self._client.status not in ("running", "connecting"):
                    raise self._gone(None)
                yield None
            for future in futures:
                numbers = self._out.pop(future, None)
                if numbers is not None:
                    yield from self._results(future, numbers)
            self._hand_out()

    def begin_no_more(self) -> None:
        """Take no further points, and none of those that wait for a worker."""
        self._points, self._left = iter(()), 0
        self._again.clear()
        self._suspects.clear()
        waiting = self._waiting()
        for future in waiting:
            self._out.pop(future, None)
        self._client.cancel(waiting)

    def _waiting(self) -> list[Any]:
        """Return the chunks of which no worker has begun one, as far as that is known."""
        processing = self._client.processing()
        # The first ones of each worker, as many as it has threads, may have begun.
        begun = set()
        for worker, threads in self._client.nthreads().items():
            begun.update(list(processing.get(worker, ()))[:threads])
        return [future for future in self._out if future.key not in begun]

    def _hand_out(self) -> None:
        now = time.monotonic()
        if now - self._looked_at > _LOOK_S:
            self._looked_at = now
            workers = self._client.scheduler_info(n_workers=-1)["workers"]
            self._threads = sum(worker["nthreads"] for worker in workers.values()) or 1
        if self._out and (self._is_alone or self._suspects):
            return
        # Dask blames all that a worker had, and whoever waited behind a suspect would be one too.
        self._is_alone = bool(self._suspects)
        if self._is_alone:
            self._submit((self._suspects.pop(),))
            return
        while len(self._out) < self._threads * _AHEAD:
            numbers = self._next_numbers()
            if not numbers:
                return
            self._submit(numbers)

    def _next_numbers(self) -> tuple[int, ...]:
        if self._again:  # one at a time: each is to be known by what becomes of it
            return (self._again.pop(),)
        size = 1
        if self._run_s:
            # Towards the end smaller ones, so that all threads end at the same time.
            fair = self._left // (_AHEAD * self._threads)
            size = max(1, min(int(_CHUNK_S / self._run_s), fair, _MOST))
        numbers = tuple(point.number for point in islice(self._points, size))
        self._left -= len(numbers)
        return numbers

    def _submit(self, numbers: tuple[int, ...]) -> None:
        points = tuple(map(self._experiment.point, numbers))
        chunk = Chunk(self._sweep, self._text, points, kind())
        future = self._client.submit(
            run_chunk, chunk, key=f"pystack-{self._sweep}-{uuid.uuid4().hex}", pure=False
        )
        self._out[future] = numbers
        future.add_done_callback(self._came.put)

    def _next_ones(self) -> list[Any]:
        futures = []
        try:
            futures.append(self._came.get(timeout=TICK_S))
            while True:
                futures.append(self._came.get_nowait())
        except queue.Empty:
            return futures

    def _results(self, future: Any, numbers: tuple[int, ...]) -> Iterator[Done]:  # noqa: ANN401
        """Fetch what a chunk has come to, from the worker that has it."""
        try:
            came = self._fetched(future)
        except TimeoutError:
            # Lost with its worker as it was fetched: Dask may wait for it for ever.
            self._client.cancel([future], force=True)
            self._fetch_s = min(2 * self._fetch_s, _FETCH_MOST_S)
            self._again.extend(numbers)
            return
        except self._distributed.KilledWorker:
            yield from self._died(numbers)
            return
        except Exception as error:
            if self._client.status != "running":
                raise self._gone(error) from None
            if isinstance(error, RunningError | ConfigError):
                raise
            if future.status == "error":
                raise RunningError(f"a worker of the cluster has failed: {error}") from error
            self._again.extend(numbers)  # what it had was lost with its worker
            return
        finally:
            future.release()
        if came.refused:
            raise RunningError(f"a worker of the cluster {came.refused}")
        for done in came.done:
            took = done.timing.wall_s
            self._run_s = took if not self._run_s else 0.9 * self._run_s + 0.1 * took
        yield from came.done
        ended = {done.point.number for done in came.done}
        self._again.extend(number for number in numbers if number not in ended)

    def _fetched(self, future: Any) -> Came:  # noqa: ANN401 - of distributed
        client = self._client
        (came,) = client.sync(client._gather, [future], direct=True, callback_timeout=self._fetch_s)
        assert isinstance(came, Came)
        return came

    def _died(self, numbers: Iterable[int]) -> Iterator[Done]:
        """Say what becomes of points whose workers have died, several in a row."""
        numbers = tuple(numbers)
        if len(numbers) > 1:
            self._again.extend(numbers)
            return
        number = numbers[0]
        self._deaths[number] = self._deaths.get(number, 0) + self._is_alone
        attempts = self._experiment.limits.attempts
        if self._deaths[number] < attempts:
            self._suspects.append(number)
            return
        point = self._experiment.point(number)
        error = "the workers of the cluster that ran it died, each time"
        yield Done(point, Outcome("died", error), Timing(0.0, 0.0, 0, attempts))

    def _connected(self, address: str) -> Any:  # noqa: ANN401 - a client
        try:
            # First: a client without a place to connect to hangs when it is collected.
            self._distributed.comm.get_address_host_port(address)
            client = self._distributed.Client(
                address, timeout=_CONNECT_S, set_as_default=False, direct_to_workers=True
            )
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"no Dask scheduler answers at {address}: {' '.join(str(error).split())}"
            ) from None
        return client

    def _gone(self, error: BaseException | None) -> RunningError:
        address = self._client.scheduler.address if self._client.scheduler else "of this client"
        why = f" ({error})" if error is not None else ""
        return RunningError(
            f"the Dask scheduler {address} has gone{why}; what is done is kept, and resume goes on"
        )

    def _close(self) -> None:
        out = list(self._out)
        self._out.clear()
        try:
            if self._client.status == "running":
                if out:
                    self._client.cancel(out, force=True)
                self._client.run(end_sweep, self._sweep, on_error="ignore")
        except Exception:  # the cluster has gone, and with it all that we had there
            pass
        finally:
            if self._is_ours:
                self._client.close(timeout=_END_S)
