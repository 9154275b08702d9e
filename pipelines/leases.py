"""Locks for object stores, which free nothing when a process dies: leases that run out.

The lock is an object that says who holds it. Its holder writes it anew as long as it lives. When
nobody has done so for a while, another run may take it over; at once, if the holder was a process
of this machine that is gone. The age of the object is judged by the clock of the store alone.
"""

import getpass
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from random import uniform
from time import monotonic, sleep
from uuid import uuid4

import psutil

from pipelines.errors import BanetError, LockedError
from pipelines.storage import RemotePath, Status

LEASE_SECONDS = 120.0
"""For how long a lease holds that is not renewed."""

RENEWAL_SECONDS = 20.0

POLL_SECONDS = 2.0
"""Between two tries, at first, where a run waits for another one to let go."""

POLL_SHARE = 0.25
"""Of the time that it has waited, after which it tries again: were it always the same time, runs
that begin together would cost requests by the square of their number."""

SETTLING_SECONDS = 1.0
"""How long two runs that took a lease at once need to see which of them has it."""


@dataclass(frozen=True, kw_only=True)
class _Holder:
    """Who holds a lease, as its object says.

    Attributes:
        id: Of this one lease.
        name: For people.
        machine: Within which the number of the process is unique; None if that is not known.
        process: Its number.
        started: When the process started, in seconds since 1970.
    """

    id: str
    name: str
    machine: str | None
    process: int
    started: float

    def is_gone(self) -> bool:
        """Tell whether the holder was a process of this machine that has ended."""
        if self.machine is None or self.machine != _machine():
            return False
        try:
            return psutil.Process(self.process).create_time() != self.started
        except psutil.NoSuchProcess:
            return True
        except psutil.Error:
            return False


@contextmanager
def leased(file: RemotePath, *, place: str, wait: float = 0) -> Iterator[Callable[[], None]]:
    """Hold a lease for the time of a `with` block, in which a thread renews it.

    Args:
        file: The object.
        place: What it protects, named in errors.
        wait: Seconds to wait for another run to let go of it.

    Yields:
        What makes sure that the lease is still held: it raises LockedError if another run took it
        over, which happens to computers that sleep, and BanetError if the store is out of reach
        for so long that this is not known.

    Raises:
        LockedError: Another run holds it.
        OSError: The store cannot be read or written.
    """
    lease = _Lease(file, place)
    started = monotonic()
    while not lease.take():
        waited = monotonic() - started
        if waited >= wait:
            raise LockedError(lease.refusal())
        pause = max(POLL_SECONDS, POLL_SHARE * waited)
        # At random, since of runs that try at the same moment all but one try in vain.
        sleep(min(pause * uniform(0.5, 1.0), wait - waited))  # noqa: S311 # no secret
    lease.start()
    try:
        yield lease.check
    finally:
        lease.release()


def is_leased(file: RemotePath) -> bool:
    """Tell whether a run holds a lease.

    Raises:
        OSError: The store cannot be read or written.
    """
    holder = _read(file)
    return holder is not None and not holder.is_gone() and _seconds_left(file) > 0


class _Lease:
    def __init__(self, file: RemotePath, place: str) -> None:
        self._file = file
        self._place = place
        self._holder = _Holder(
            id=uuid4().hex,
            name=f"{_user()}@{socket.gethostname()}, process {os.getpid()}",
            machine=_machine(),
            process=os.getpid(),
            started=psutil.Process().create_time(),
        )
        self._renewed = 0.0
        self._etag: str | None = None
        self._lost = False
        self._at_work = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="lease", daemon=True)

    def take(self) -> bool:
        """Take the lease if it is free or has run out."""
        holder = _read(self._file)
        if holder is None:
            taken = self._file.create(self._content())
        elif holder.is_gone() or _seconds_left(self._file) <= 0:
            try:
                status = self._file.status()
            except FileNotFoundError:  # let go of a moment ago
                return self.take()
            # Not if somebody else took it over in the meantime.
            taken = _read(self._file) == holder and self._write(status.etag)
            sleep(SETTLING_SECONDS)
        else:
            taken = False
        if taken:
            self._note_renewal()
        return taken and _read(self._file) == self._holder

    def refusal(self) -> str:
        """Say who holds the lease and how long."""
        holder = _read(self._file)
        who = "" if holder is None else f" ({holder.name})"
        end = time.strftime("%H:%M:%S %Z", time.localtime(time.time() + _seconds_left(self._file)))
        return (
            f"{self._place}: another run of banet is writing there{who}; wait for it or choose "
            f"another place. If it has died, its lease ends at {end}"
        )

    def start(self) -> None:
        """Begin to renew the lease."""
        self._thread.start()

    def check(self) -> None:
        """Make sure that the lease is still held.

        Raises:
            LockedError: Another run has taken it over.
            BanetError: The store does not answer.
        """
        if time.time() - self._renewed > LEASE_SECONDS / 2:
            try:
                self._renew()
            except OSError as error:
                if time.time() - self._renewed < LEASE_SECONDS:
                    return
                raise BanetError(
                    f"{self._file}: cannot be written for {LEASE_SECONDS:.0f} seconds "
                    f"({error.strerror}), so that another run may take this folder over; run the "
                    "same command again, which goes on from there"
                ) from error
        if self._lost:
            raise LockedError(
                f"{self._place}: another run of banet took it over, since this one had not been "
                f"heard of for {LEASE_SECONDS:.0f} seconds; leave the work to that one"
            )

    def release(self) -> None:
        """Let go of the lease, if it is still held. If that fails, it runs out."""
        self._ended.set()
        self._thread.join()
        with suppress(OSError):
            if _read(self._file) == self._holder:
                self._file.unlink(missing_ok=True)

    def _keep(self) -> None:
        while not self._ended.wait(RENEWAL_SECONDS) and not self._lost:
            with suppress(OSError):  # `check` tells of it, if it lasts
                self._renew()

    def _renew(self) -> None:
        with self._at_work:
            if self._lost:
                return
            if _read(self._file) == self._holder and self._write(self._etag):
                self._note_renewal()
            else:
                self._lost = True

    def _write(self, etag: str | None) -> bool:
        return self._file.replace_content(self._content(), etag=etag)

    def _note_renewal(self) -> None:
        self._renewed = time.time()  # this clock goes on while a computer sleeps
        self._etag = self._file.status().etag

    def _content(self) -> bytes:
        return json.dumps(vars(self._holder), indent=2).encode("ascii")


def _read(file: RemotePath) -> _Holder | None:
    """Return who holds a lease, None if nobody does."""
    try:
        return _Holder(**json.loads(file.read_bytes()))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError):  # of another version of banet, or of no banet at all
        return _Holder(id="", name="unknown", machine=None, process=0, started=0.0)


def _seconds_left(file: RemotePath) -> float:
    """Return for how long a lease holds if it is not renewed, by the clock of the store."""
    try:
        written = file.status()
    except FileNotFoundError:
        return 0.0
    return LEASE_SECONDS - (_now(file).mtime_ns or 0) / 1e9 + (written.mtime_ns or 0) / 1e9


def _now(file: RemotePath) -> Status:
    """Return the status of an object that is written now."""
    probe = file.with_name(f"{file.name}.{uuid4().hex}.clock")
    probe.write_bytes(b"banet")
    try:
        return probe.status()
    finally:
        with suppress(OSError):
            probe.unlink(missing_ok=True)


def _machine() -> str | None:
    """Return what is the same for all processes that this one could see, and nowhere else."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
        return f"{boot}/{Path('/proc/self/ns/pid').stat().st_ino}"
    except OSError:  # not on Linux
        return None


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container whose user has no name
        return "somebody"
