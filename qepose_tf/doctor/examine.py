"""Everything that is found out about data sets, before any of it is shown."""

import contextlib
import dataclasses
from collections.abc import Callable, Generator
from pathlib import Path

from qepose_tf.doctor.counts import Counts, count
from qepose_tf.doctor.doubles import doubled_people, estimated_sigmas, labelled_again
from qepose_tf.doctor.finding import KINDS, Finding
from qepose_tf.doctor.limbs import impossible_limbs
from qepose_tf.doctor.near_duplicates import near_duplicates
from qepose_tf.doctor.outside_box import outside_box
from qepose_tf.doctor.people import People, people_of
from qepose_tf.doctor.pictures import Seen, look_at
from qepose_tf.doctor.sides import sides_swapped
from qepose_tf.doctor.sources import Source, Sources, picture_name
from qepose_tf.skeleton import Skeleton

Progress = Callable[[int, int], None]
ProgressBar = Callable[[str], contextlib.AbstractContextManager[Progress]]


@dataclasses.dataclass(frozen=True, eq=False)
class Examined:
    """One data set and all that was found in it.

    Attributes:
        source: The data set.
        people: Its people.
        seen: One look at each picture.
        counts: Its figures.
        sides: Why left and right were not judged; empty where they were.
        sigmas: By keypoint, the estimated sigma and the pairs of labels behind it.
        findings: Of each kind, the most certain first.
    """

    source: Source
    people: People
    seen: list[Seen]
    counts: Counts
    sides: str
    sigmas: dict[str, tuple[float, int]]
    findings: dict[str, list[Finding]]

    @property
    def unreadable(self) -> list[str]:
        """Why each picture that training skips is skipped."""
        return [picture.trouble for picture in self.seen if picture.trouble]


@dataclasses.dataclass(frozen=True, eq=False)
class Diagnosis:
    """What a doctor has to say of data sets.

    Attributes:
        sources: As they were read.
        examined: Each data set.
        model: That looked for unlabelled people; empty where none did.
        failure: Why training would fail; empty where it would not.
    """

    sources: Sources
    examined: list[Examined]
    model: str
    failure: str

    @property
    def skeleton(self) -> Skeleton:
        """Of all data sets."""
        return self.sources.skeleton

    def total(self, kind: str) -> int:
        """How many mistakes of a kind are likely, in all data sets."""
        return sum(len(found.findings[kind]) for found in self.examined)


def examine(
    sources: Sources, model: str | Path | None = None, bar: ProgressBar | None = None
) -> Diagnosis:
    """Looks once at all annotations and all pictures.

    Args:
        sources: Of `read_sources`.
        model: Looks for people whom nobody labelled, where one is given.
        bar: Makes a progress bar of a title.

    Raises:
        OSError: There is no such model.
        ValueError: It is no model.
    """
    bar = _no_bar if bar is None else bar
    examined = [_examine(sources, source, model, bar) for source in sources.sources]
    for val in (found for found in examined if found.source.validates):
        names = [picture_name(record) for record in val.source.records]
        for train in (found for found in examined if not found.source.validates):
            same = near_duplicates(train.seen, val.seen, names)
            train.findings["near_duplicate"] += _sorted(same)
    named = "" if model is None else str(model)
    return Diagnosis(sources, examined, named, _failure(sources, examined))


def _examine(
    sources: Sources, source: Source, model: str | Path | None, bar: ProgressBar
) -> Examined:
    skeleton, records = sources.skeleton, source.records
    people = people_of(records, skeleton.num_keypoints)
    with bar(f"pictures of {source.name}") as progress:
        seen = look_at(records, progress)
    again = labelled_again(people)
    sides = sides_swapped(people, skeleton)
    findings = {
        "sides_swapped": sides.findings,
        "outside_box": outside_box(people, skeleton),
        "impossible_limb": impossible_limbs(people, skeleton),
        "doubled_person": doubled_people(people, again),
    }
    if model is not None:
        from qepose_tf.doctor.unlabelled import unlabelled_people

        with bar(f"people of {source.name}") as progress:
            findings["unlabelled_person"] = unlabelled_people(
                records, seen, model, progress
            )
    return Examined(
        *(source, people, seen),
        count(people, len(records), sources.input_size, sources.min_area),
        sides.unclear,
        estimated_sigmas(people, again, skeleton),
        {kind: _sorted(findings.get(kind, [])) for kind in KINDS},
    )


def _sorted(findings: list[Finding]) -> list[Finding]:
    return sorted(findings, key=lambda finding: -finding.certainty)


def _failure(sources: Sources, examined: list[Examined]) -> str:
    """Why training would fail although everything could be read."""
    for found in examined:
        if len(found.unreadable) == len(found.seen):
            return (
                f"{found.source.path}: none of {len(found.seen)} pictures can be used "
                f"(first: {found.unreadable[0]})"
            )
    return sources.failure


@contextlib.contextmanager
def _no_bar(title: str) -> Generator[Progress]:
    yield lambda done, total: None
