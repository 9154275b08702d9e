"""The output folder of `banet segment`: who may write there, and what earlier runs left.

A run without `--shard` has the folder for itself. The shards of one count share it: each has a
lock, a ledger and a run file of its own, named after it (`results.2-of-8.jsonl`). Their rows are
newer than those in `results.jsonl`, into which the next run without `--shard`, or of shards of
another count, takes them up.

    .lock             held by a run without --shard; by a shard only while it begins
    .lock.shards      held by a shard while it begins: shards wait here for each other
    .lock.I-of-N      held by a shard as long as it runs
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from pipelines.errors import BanetError, InputError, LockedError
from pipelines.ledger import (
    LEDGER_NAME,
    LedgerRow,
    ledger_rows,
    read_ledger,
    remove_ledger,
    write_ledger,
)
from pipelines.listings import newest_first
from pipelines.locks import exclusive, is_held
from pipelines.photo_files import MASKS, remove_leftovers
from pipelines.photo_shards import Shard
from pipelines.run_file import (
    RUN_FILE,
    EarlierRun,
    read_run_file,
    refuse_other_root,
    write_run_file,
)
from pipelines.storage import Location
from pipelines.whole_files import write_atomically

LOCK_FILE = ".lock"
SHARDS_LOCK_FILE = f"{LOCK_FILE}.shards"

BEGIN_SECONDS = 3600.0
"""How long a shard waits for others to begin. It takes them moments, behind URLs a second or two,
unless one of them takes up the ledgers of millions of photos."""


@dataclass(kw_only=True)
class OutputFolder:
    """Where a run writes.

    Attributes:
        path: Absolute.
        shard: Of the run; None if it does all photos.
    """

    path: Location
    shard: Shard | None = None
    _checks: list[Callable[[], None]] = field(default_factory=list)

    @property
    def ledger(self) -> Location:
        """Return the path of the ledger of this run."""
        return self._file(LEDGER_NAME, self.shard)

    def earlier_rows(self) -> dict[str, LedgerRow]:
        """Return the newest rows of all photos that concern this run.

        Raises:
            InputError: A ledger cannot be read.
        """
        rows = read_ledger(self.path / LEDGER_NAME)
        for shard in self._shards(LEDGER_NAME):
            # Other shards of the same count have other photos, and are perhaps writing now.
            if self.shard is None or shard == self.shard or shard.count != self.shard.count:
                rows |= read_ledger(self._file(LEDGER_NAME, shard))
        return rows

    def closed_rows(self) -> Iterable[LedgerRow]:
        """Return the same once the ledger is closed; if they are in one file, read row by row.

        Raises:
            InputError: A ledger cannot be read.
        """
        return ledger_rows(self.ledger) if self.shard is None else self.earlier_rows().values()

    def own(self, rows: Mapping[str, LedgerRow]) -> Mapping[str, LedgerRow]:
        """Return the rows that belong into the ledger of this run."""
        if self.shard is None:
            return rows
        return {source: row for source, row in rows.items() if self.takes(source)}

    def takes(self, source: str) -> bool:
        """Tell whether a photo, named relative to its root, is for this run to do."""
        return self.shard is None or self.shard.holds(source)

    def refuse_other_root(self, root: Location) -> None:
        """Make sure that the folder does not hold the results of another folder than `root`.

        Each run has made sure of it before it wrote its run file, so that the newest one speaks for
        all: as many shards as there are would else read each other's.

        Raises:
            InputError: It does.
        """
        newest_ns = None
        for path, written_ns in self._run_files():
            if newest_ns is not None and written_ns != newest_ns:
                return
            run = read_run_file(path)
            if run is not None and run.root is not None:
                refuse_other_root(run.root, root=root, out=self.path)
                newest_ns = written_ns

    def was_interrupted(self) -> bool:
        """Tell whether a run of all photos, or of this shard, did not come to its end."""
        run = read_run_file(self._file(RUN_FILE, self.shard))
        return run is not None and not run.finished

    def write_run_file(self, content: Mapping[str, object]) -> None:
        """Write the run file of this run.

        Raises:
            LockedError: Another run has taken the folder over.
            OSError: It cannot be written.
        """
        self.check_held()
        write_run_file(self._file(RUN_FILE, self.shard), content)

    def sweep(self) -> None:
        """Delete the temporary files of workers that died while others finished the run.

        Where there are shards they may be another one's, which is running.
        """
        if self.shard is None:
            remove_leftovers(self.path, everywhere=True)

    def check_held(self) -> None:
        """Make sure that the folder is still for this run to write to, after `held`.

        Raises:
            LockedError: Another run has taken it over, which can happen behind URLs only.
            BanetError: It is behind a URL and was out of reach for so long that it may have been.
        """
        for check in self._checks:
            check()

    @contextmanager
    def held(self, *, root: Location, announce: Callable[[], None]) -> Iterator[None]:
        """Have the folder, or the part of a shard in it, for oneself during a `with` block.

        Args:
            root: Folder of the photos.
            announce: Writes the run file, so that others learn of the run and its root.

        Raises:
            InputError: The folder holds the results of another folder than `root`.
            LockedError: Another run is writing there.
            BanetError: It cannot be written to.
        """
        with ExitStack() as stack:
            try:
                self._begin(stack, root, announce)
            except OSError as error:
                raise BanetError(
                    f"--out {self.path}: cannot be written ({error.strerror or error}); make "
                    "room or mend its permissions, or choose another folder"
                ) from error
            yield

    def _begin(self, stack: ExitStack, root: Location, announce: Callable[[], None]) -> None:
        if self.shard is None:
            self._checks.append(self._lock(stack, LOCK_FILE))
            self._refuse_running(self._shards(LOCK_FILE))
            self._prepare(root, announce)
            return
        with ExitStack() as beginning:
            self._lock(beginning, SHARDS_LOCK_FILE, wait=BEGIN_SECONDS)
            self._lock(beginning, LOCK_FILE)
            others = self._shards_of_other_counts(LOCK_FILE)
            self._refuse_running(others)
            self._remove(LOCK_FILE, others)  # of dead runs; the next shard is not to ask again
            self._checks.append(self._lock(stack, self._file(LOCK_FILE, self.shard).name))
            self._prepare(root, announce)

    def _prepare(self, root: Location, announce: Callable[[], None]) -> None:
        """Take up what earlier runs left, and make sure that results can be written."""
        self.refuse_other_root(root)
        (self.path / MASKS).mkdir(exist_ok=True)
        write_atomically(self.path / MASKS / ".writable", b"banet")
        (self.path / MASKS / ".writable").unlink()
        if self.shard is not None:
            # What is half written may be another shard's: the next run without --shard sweeps.
            self._take_up(self._shards_of_other_counts(LEDGER_NAME))
            announce()
            return
        remove_leftovers(
            self.path, everywhere=not all(run.finished for run in self._earlier_runs())
        )
        self._take_up(self._shards(LEDGER_NAME))
        if shards := self._shards(RUN_FILE):
            announce()  # before the other files that name the root go
            self._remove(RUN_FILE, shards)
        self._remove(LOCK_FILE, self._shards(LOCK_FILE))

    def _take_up(self, shards: Iterable[Shard]) -> None:
        """Move the rows of shards, of which none is running, into the ledger of all photos."""
        shards = list(shards)
        if not shards:
            return
        rows = read_ledger(self.path / LEDGER_NAME)
        for shard in shards:
            rows |= read_ledger(self._file(LEDGER_NAME, shard))
        write_ledger(self.path / LEDGER_NAME, rows)
        self._remove(LEDGER_NAME, shards)

    def _refuse_running(self, shards: Iterable[Shard]) -> None:
        for shard in shards:
            if is_held(self._file(LOCK_FILE, shard)):
                other = "" if self.shard is None else f" or a --shard of {shard.count}"
                raise LockedError(
                    f"{self.path}: shard {shard} is being written there; wait for it, or choose "
                    f"another place{other}"
                )

    def _lock(self, stack: ExitStack, name: str, *, wait: float = 0) -> Callable[[], None]:
        return stack.enter_context(exclusive(self.path / name, place=self.path, wait=wait))

    def _earlier_runs(self) -> list[EarlierRun]:
        runs = (read_run_file(path) for path, _ in self._run_files())
        return [run for run in runs if run is not None]

    def _run_files(self) -> list[tuple[Location, int | None]]:
        """Return the run files of all runs, and when each was written, as `newest_first` does."""
        with self._listing():
            found = newest_first(self.path, _pattern(RUN_FILE))
        return [
            (path, written_ns)
            for path, written_ns in found
            if path.name == RUN_FILE or _shard_of(path, RUN_FILE) is not None
        ]

    def _file(self, name: str, shard: Shard | None) -> Location:
        """Return the path of a file of all photos, or of the one that a shard has in its place."""
        if shard is None:
            return self.path / name
        stem, _, extension = name.rpartition(".")
        # A hidden file such as `.lock` has no extension.
        return self.path / (f"{stem}.{shard.tag}.{extension}" if stem else f"{name}.{shard.tag}")

    def _shards(self, name: str) -> list[Shard]:
        """Return the shards that have such a file.

        Raises:
            InputError: The folder is out of reach.
        """
        with self._listing():
            shards = [_shard_of(path, name) for path in self.path.glob(_pattern(name))]
        return sorted(shard for shard in shards if shard is not None)

    @contextmanager
    def _listing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise InputError(
                f"--out {self.path}: cannot be read ({error.strerror or error}); mend that or "
                "choose another folder"
            ) from error

    def _shards_of_other_counts(self, name: str) -> list[Shard]:
        assert self.shard is not None
        return [shard for shard in self._shards(name) if shard.count != self.shard.count]

    def _remove(self, name: str, shards: Iterable[Shard]) -> None:
        for shard in shards:
            path = self._file(name, shard)
            if name == LEDGER_NAME:
                remove_ledger(path)
            else:
                path.unlink(missing_ok=True)


def _pattern(name: str) -> str:
    """Return what matches a file of all photos, and those that shards have in its place."""
    stem, _, extension = name.rpartition(".")
    return f"{stem}.*{extension}" if stem else f"{name}*"


def _shard_of(path: Location, name: str) -> Shard | None:
    """Return whose file it is in the place of one of all photos; None if it is no shard's."""
    stem, _, extension = name.rpartition(".")
    before, behind = (f"{stem}.", f".{extension}") if stem else (f"{name}.", "")
    try:
        return Shard.from_tag(path.name.removeprefix(before).removesuffix(behind))
    except ValueError:
        return None
