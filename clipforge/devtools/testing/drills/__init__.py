"""Fault drills: a throw-away service under load, one fault, and a result that counts the damage.

While the load runs, each client sends the same request under the same key until it is answered, as
a careful customer does. Afterwards every request has one effect (none lost, none double), whatever
broke meanwhile, and the ledger adds up. `manage.py faultdrill` runs them for an operator.

`load` is the service and its clients, `faults` the faults of the service, `workers` the faults of
the workers, `results` the judgement.
"""

from clipforge.devtools.testing.drills.faults import FAULTS
from clipforge.devtools.testing.drills.load import Counts, Load, Stand, is_explained, stand
from clipforge.devtools.testing.drills.results import (
    RECOVERY_SECONDS,
    Row,
    attempt,
    breaches,
    too_slow,
)

__all__ = [
    "FAULTS",
    "RECOVERY_SECONDS",
    "Counts",
    "Load",
    "Row",
    "Stand",
    "attempt",
    "breaches",
    "is_explained",
    "stand",
    "too_slow",
]
