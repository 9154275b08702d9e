"""Why photos of a run failed: kept in its ledger, not in its memory."""

from collections.abc import Collection

from pipelines.ledger import ledger_rows
from pipelines.segment_options import Failure
from pipelines.storage import Location

UNKNOWN = "the ledger does not say why; run the same command again"


def read_failures(ledger: Location, sources: Collection[str]) -> tuple[Failure, ...]:
    """Return why photos failed, sorted by their paths.

    Args:
        ledger: Of the run, complete.
        sources: Of the photos that failed; earlier runs had others, perhaps, which stand there too.

    Raises:
        InputError: The ledger cannot be read.
    """
    if not sources:
        return ()
    reasons = dict.fromkeys(sources, UNKNOWN)
    for row in ledger_rows(ledger, status="failed"):
        if row.source in reasons:
            reasons[row.source] = row.error or UNKNOWN
    return tuple(Failure(source=source, error=reasons[source]) for source in sorted(reasons))
