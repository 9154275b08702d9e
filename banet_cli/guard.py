"""Makes sure that `models` and `pipelines` are ours.

Both are names that anybody's project may have. Python takes them from the current folder first
when it is started with `-m`, and would fail deep inside of somebody else's code.
"""

from importlib.util import find_spec
from pathlib import Path

OWN_PACKAGES = ("pipelines", "models")
HOME = Path(__file__).resolve().parent.parent


def foreign_package_message() -> str | None:
    """Return the sentence about a package that is missing or not ours, None if all is well."""
    for name in OWN_PACKAGES:
        spec = find_spec(name)
        if spec is None:
            return f"the package {name!r} that belongs to banet is missing: install banet again"
        places = [Path(place).resolve() for place in spec.submodule_search_locations or []]
        place = places[0] if places else Path(spec.origin or name).resolve()
        if place != HOME / name:
            return (
                f"{place} hides the package {name!r} that belongs to banet (in {HOME}): start "
                "banet by its own command `banet`, or from another folder"
            )
    return None
