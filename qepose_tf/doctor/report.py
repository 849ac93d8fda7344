"""A diagnosis as words: for the terminal, and as plain values for JSON."""

import dataclasses
from typing import Any

from qepose_tf.doctor.counts import FEW_CELLS
from qepose_tf.doctor.examine import Diagnosis, Examined
from qepose_tf.doctor.finding import KINDS, Finding

_LISTED = 5  # unreadable pictures that the terminal names


def verdict(diagnosis: Diagnosis) -> str:
    """What the whole comes to, in one sentence."""
    if diagnosis.failure:
        return "Training would fail."
    total = sum(diagnosis.total(kind) for kind in KINDS)
    if not total:
        return "Ready to train; no likely mistakes were found."
    return f"Ready to train; {total:,} likely mistakes are worth a look."


def as_text(diagnosis: Diagnosis) -> str:
    """Tables for a terminal."""
    blocks = [verdict(diagnosis)]
    if diagnosis.failure:
        blocks.append(diagnosis.failure)
    blocks += [_block(diagnosis, found) for found in diagnosis.examined]
    blocks.append(_keypoints(diagnosis))
    blocks.append(_mistakes(diagnosis))
    return "\n\n".join(blocks)


def use(diagnosis: Diagnosis, found: Examined) -> list[tuple[str, str]]:
    """What will be used of a data set: pairs of a name and a text."""
    counts, sources = found.counts, diagnosis.sources
    partly = sum(not record.everyone_labelled for record in found.source.records)
    ignored = sum(len(record.ignore) for record in found.source.records)
    skipped = len(found.unreadable)
    taught = counts.people - counts.below_min_area
    rows = [
        ("pictures", f"{counts.pictures:,}, {counts.with_people:,} with people"),
        ("people", f"{counts.people:,}, {taught:,} large enough to be taught"),
        (
            "too small",
            f"{counts.below_min_area:,} below data.min_area {sources.min_area:g} px",
        ),
    ]
    if counts.median_side_px is not None:
        rows.append(
            (
                "size in a model",
                f"{counts.median_side_px:.0f} px (median) at {sources.input_size} px; "
                f"{counts.few_cells:,} smaller than {FEW_CELLS} cells",
            )
        )
    rows.append(("ignored regions", f"{ignored:,} crowds and people without keypoints"))
    if partly:
        rows.append(("partly labelled", f"{partly:,} pictures: background unknown"))
    if skipped:
        rows.append(("not used", f"{skipped:,} pictures that cannot be decoded"))
    return rows


def as_values(diagnosis: Diagnosis) -> dict[str, Any]:
    """All figures and findings, as JSON can hold them."""
    return {
        "verdict": verdict(diagnosis),
        "failure": diagnosis.failure or None,
        "input_size": diagnosis.sources.input_size,
        "min_area": diagnosis.sources.min_area,
        "skeleton": diagnosis.skeleton.to_dict(),
        "notes": diagnosis.sources.notes,
        "same_twice": diagnosis.sources.same_twice,
        "data_sets": [_values(found) for found in diagnosis.examined],
    }


def person_name(found: Examined, row: int) -> str:
    """How a person is called: by place in the picture's list, and by box."""
    first = int((found.people.picture < found.people.picture[row]).sum())
    x, y = found.people.boxes[row, :2]
    return f"person {row - first + 1} at ({x:.0f}, {y:.0f})"


def _block(diagnosis: Diagnosis, found: Examined) -> str:
    counts = found.counts
    rows = [
        *use(diagnosis, found),
        ("people a picture", _listed(counts.people_per_picture)),
        ("sizes in px", _listed(counts.sizes_px)),
    ]
    width = max(len(name) for name, _ in rows)
    lines = [f"{found.source.name}: {found.source.path}"]
    lines += [f"  {name:<{width}}  {text}" for name, text in rows]
    lines += [f"  skipped: {line}" for line in found.unreadable[:_LISTED]]
    if len(found.unreadable) > _LISTED:
        lines.append(f"  skipped: {len(found.unreadable) - _LISTED} more")
    return "\n".join(lines)


def _keypoints(diagnosis: Diagnosis) -> str:
    skeleton, examined = diagnosis.skeleton, diagnosis.examined
    estimated = best_sigmas(diagnosis)
    width = max(len("keypoint"), *map(len, skeleton.keypoints))
    head = f"{'keypoint':<{width}}  labelled    hidden   sigma"
    lines = [head + ("  estimated" if estimated else "")]
    for k, name in enumerate(skeleton.keypoints):
        hidden = sum(found.counts.hidden[k] for found in examined)
        labelled = hidden + sum(found.counts.visible[k] for found in examined)
        line = (
            f"{name:<{width}}  {labelled:>8,}  {hidden:>8,}  {skeleton.sigmas[k]:.4f}"
        )
        if name in estimated:
            sigma, pairs = estimated[name]
            line += f"  {sigma:.4f} from {pairs} pairs"
        lines.append(line)
    pairs = ", ".join(" / ".join(pair) for pair in skeleton.flip_pairs)
    lines.append(f"flip pairs: {pairs or 'none'}")
    return "\n".join(lines)


def _mistakes(diagnosis: Diagnosis) -> str:
    width = max(map(len, KINDS.values()))
    lines = ["likely mistakes"]
    for kind, title in KINDS.items():
        lines.append(f"  {title:<{width}}  {told(diagnosis, kind)}")
    return "\n".join(lines)


def told(diagnosis: Diagnosis, kind: str) -> str:
    """How many mistakes of a kind were found, or why nobody looked."""
    total = f"{diagnosis.total(kind):,}"
    if kind == "unlabelled_person" and not diagnosis.model:
        return "not looked for (--model people)"
    if kind == "near_duplicate":
        if diagnosis.sources.same_twice:
            return "training and validation are the same pictures"
        if not any(found.source.validates for found in diagnosis.examined):
            return "not looked for (a config with data.val)"
    unclear = [f"{f.source.name}: {f.sides}" for f in diagnosis.examined if f.sides]
    if kind == "sides_swapped" and unclear:
        return f"{total}; not judged in {'; '.join(unclear)}"
    return total


def best_sigmas(diagnosis: Diagnosis) -> dict[str, tuple[float, int]]:
    """Of the data set in which most people are labelled again."""
    best: dict[str, tuple[float, int]] = {}
    for found in diagnosis.examined:
        if _pairs(found.sigmas) > _pairs(best):
            best = found.sigmas
    return best


def _pairs(sigmas: dict[str, tuple[float, int]]) -> int:
    return sum(pairs for _, pairs in sigmas.values())


def _listed(numbers: dict[str, int]) -> str:
    return ", ".join(f"{name}: {count:,}" for name, count in numbers.items() if count)


def _values(found: Examined) -> dict[str, Any]:
    return {
        "name": found.source.name,
        "path": found.source.path,
        **dataclasses.asdict(found.counts),
        "unreadable": found.unreadable,
        "sides_not_judged": found.sides or None,
        "sigmas": {name: sigma for name, (sigma, _) in found.sigmas.items()},
        "findings": {
            kind: [_finding(found, finding) for finding in findings]
            for kind, findings in found.findings.items()
        },
    }


def _finding(found: Examined, finding: Finding) -> dict[str, Any]:
    return {
        "file": str(found.source.records[finding.picture].file),
        "image_id": found.source.records[finding.picture].image_id,
        "people": [person_name(found, row) for row in finding.people],
        "why": finding.why,
        "certainty": round(finding.certainty, 4),
        "keypoints": list(finding.keypoints),
        "pose": None if finding.pose is None else finding.pose.round(1).tolist(),
    }
