"""What every reader does when a data set is opened: read a few samples, and refuse the set where they are not right."""

from typing import Final

from hoiray.datasets.annotation_checks import NUM_CHECKED, first_problem
from hoiray.datasets.conventions import Conventions, refuse
from hoiray.datasets.iterate import iterate, spread_indices
from hoiray.datasets.order_checks import order_problem
from hoiray.datasets.sample import AnnotatedDataset, DeadLetter, Sample
from hoiray.errors import ContractError, describe
from hoiray.hand.load import HandArrays
from hoiray.io.store import Store

MAX_BAD_SHARE: Final = 0.5
"""Where more of the checked samples cannot be read, the set is wrong and not some of its files."""


def check_opened(
    dataset: AnnotatedDataset,
    store: Store,
    conventions: Conventions,
    *,
    hand: HandArrays | None,
    image_size_wh: tuple[int, int] | None,
) -> None:
    """Read samples spread over the set and check what they claim.

    Raises:
        ContractError: no sample, too many that cannot be read, no images, or annotations that break the declared
            conventions or lie beside other images than their own; the message names what the files look like instead.
    """
    name = f"{dataset.name} ({dataset.split}) at {store.uri}"
    if len(dataset) == 0:
        raise ContractError(describe(what=name, expected="samples", found="none", fix="Check split and location."))
    results = list(iterate(dataset, spread_indices(len(dataset), NUM_CHECKED), only_plausible=False))
    letters = [result for result in results if isinstance(result, DeadLetter)]
    samples = [result for result in results if isinstance(result, Sample)]
    if len(letters) > MAX_BAD_SHARE * len(results):
        found = f"{len(letters)} of {len(results)} that cannot be read; the first: {letters[0].reason}"
        fix = "Restore the files, or check that this is the format and split meant."
        raise ContractError(describe(what=name, expected="samples that can be read", found=found, fix=fix))
    if not any(store.exists(sample.image_key) for sample in samples):
        found = f"none of {len(samples)} looked for, such as {samples[0].image_key}"
        fix = "Unpack the images below the same root."
        raise ContractError(describe(what=name, expected="images", found=found, fix=fix))
    refuse(first_problem(samples, conventions, hand=hand, image_size_wh=image_size_wh), name=name)
    refuse(order_problem(dataset, hand), name=name)


def require_split(split: str, allowed: tuple[str, ...], *, name: str) -> None:
    """Refuse a split the format does not have.

    Raises:
        ContractError: names those it has.
    """
    if split not in allowed:
        expected = f"one of {', '.join(allowed)}"
        raise ContractError(describe(what=f"split of {name}", expected=expected, found=repr(split), fix="Choose one."))


def require_count(found: int, expected: int, *, what: str, expected_from: str) -> None:
    """Refuse a list of another length than its neighbour.

    Raises:
        ContractError: the counts differ.
    """
    if found != expected:
        fix = "The files are of different releases or cut off: copy them again."
        wanted = f"{expected} entries, as {expected_from} has"
        raise ContractError(describe(what=what, expected=wanted, found=str(found), fix=fix))
