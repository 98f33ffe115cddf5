"""Is a program the same in each run? It is run twice, and the first difference is named."""

from __future__ import annotations

import os
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from pystack.core.errors import ConfigError, PystackError
from pystack.runtime.driver.virtual import run as run_trio
from pystack.testing.difference import Difference
from pystack.testing.runs import (
    Account,
    Comparison,
    Enough,
    Watch,
    hints_of,
    outcome_of,
    watched,
)

_MAX_HASH_SEED: Final = 2**32 - 1


class NondeterminismError(PystackError, AssertionError):
    """Two runs with the same seed were not the same; `difference` is the first that was seen."""

    def __init__(self, difference: Difference) -> None:
        super().__init__(f"the same seed, and not the same run: {difference}")
        self.difference = difference


def check_determinism(
    main: Callable[..., Any],
    *args: object,
    seed: int = 0,
    until: str | float | None = None,
    run: Callable[..., Any] = run_trio,
    hash_seed: int | None = None,
) -> str:
    """Run a program twice with one seed, and hold all that happens in its networks against it.

    `run`: what runs it, called as `run(main, *args, seed=seed, until=until)`: `pystack.run`, or
    `pystack.run_asyncio` for an asyncio program. `hash_seed`: from 0 to 2**32 - 1: the first of the
    two runs is in a process of its own with this PYTHONHASHSEED, and finds `main` by its name in
    its module, as `multiprocessing` does; None: both are in this one, and no order by hash() of
    texts can be told.

    Returns the digest of all that was seen, in hexadecimal: that of `net.digest()`, where there is
    one network that is looked at from its opening on. Raises NondeterminismError, which names the
    first difference; what the program raises in both runs; ConfigError.
    """
    job = _Job(run, main, args, seed, until)
    if hash_seed is None:
        account = Account()
        return _compare(job, account, job.account_for(account), None)
    if isinstance(hash_seed, bool) or not 0 <= hash_seed <= _MAX_HASH_SEED:
        raise ConfigError(f"hash_seed={hash_seed!r} is not a whole number from 0 to 2**32 - 1")
    with TemporaryDirectory() as folder:
        path = Path(folder, "run")
        ended = _in_another_process(job, path, hash_seed)
        with path.open("rb") as file:
            here = os.environ.get("PYTHONHASHSEED", "random")
            return _compare(job, Account(file), ended, (str(hash_seed), here))


_Ended = tuple[str, list[int]]  # how a run ended, and the seeds of its networks


class _Job:
    """What is to be run."""

    def __init__(
        self,
        run: Callable[..., Any],
        main: Callable[..., Any],
        args: tuple[object, ...],
        seed: int,
        until: str | float | None,
    ) -> None:
        self._run, self._main, self._args = run, main, args
        self._words = {"seed": seed, "until": until}

    def outcome(self, watch: Watch) -> tuple[str, BaseException | None]:
        """Run it and return how it ended, as a text, and what it raised; "": by us."""
        with watched(watch):
            try:
                result = self._run(self._main, *self._args, **self._words)
            except Enough:
                return "", None
            except Exception as error:
                return outcome_of(error), error
            return outcome_of(None, result), None

    def account_for(self, account: Account) -> _Ended:
        """Run it and write down what happens; return how it ended."""
        watch = Watch(account.add)
        return self.outcome(watch)[0], watch.seeds


def _compare(job: _Job, account: Account, first: _Ended, hash_seeds: tuple[str, str] | None) -> str:
    first_outcome, seeds = first
    comparison = Comparison(account)
    watch = Watch(comparison.add, lambda: comparison.is_over)
    outcome, error = job.outcome(watch)
    comparison.end()
    if not comparison.differs and first_outcome == outcome:
        if error is not None:
            raise error
        return watch.digest.hexdigest()
    raise NondeterminismError(
        Difference(
            comparison.same + 1,
            comparison.before,
            comparison.first,
            comparison.second,
            (first_outcome, outcome),
            hash_seeds=hash_seeds,
            threads=watch.had_threads,
            third=_third(job, comparison),
            hints=hints_of(seeds, watch.seeds),
            comes_later=comparison.comes_later(),
        )
    )


def _third(job: _Job, comparison: Comparison) -> str:
    """Return whose way a third run goes where the first two part; "": they end differently."""
    if not comparison.differs:
        return ""
    watch, whose = comparison.third()
    job.outcome(watch)
    return whose()


def _in_another_process(job: _Job, path: Path, hash_seed: int) -> _Ended:
    """Run it in a fresh interpreter with that PYTHONHASHSEED; return how it ended."""
    import multiprocessing

    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=_write_down, args=(job, str(path), there), daemon=True)
    before = os.environ.get("PYTHONHASHSEED")
    os.environ["PYTHONHASHSEED"] = str(hash_seed)
    try:
        process.start()
    except RuntimeError as error:  # that process imports the module that calls us
        raise ConfigError(
            'with hash_seed, call check_determinism behind `if __name__ == "__main__":`, as what '
            "multiprocessing starts has it: the other process imports this module too"
        ) from error
    except Exception as error:
        raise ConfigError(
            "with hash_seed a program is run in another process too: it has to be a function of a "
            f"module, and its arguments such as can be pickled ({error})"
        ) from error
    finally:
        if before is None:
            del os.environ["PYTHONHASHSEED"]
        else:
            os.environ["PYTHONHASHSEED"] = before
    there.close()
    try:
        ended: _Ended = here.recv()
    except EOFError:
        process.join()
        raise ConfigError(
            f"the process of the first run ended by itself (status {process.exitcode}): what it "
            "said is above"
        ) from None
    process.join()
    return ended


def _write_down(job: _Job, path: str, there: Connection) -> None:
    """Run a job, in the other process."""
    with open(path, "wb") as file:
        ended = job.account_for(Account(file))
    there.send(ended)
