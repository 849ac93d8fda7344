"""A diagnosis as one HTML page that needs nothing else: pictures stand inside of it."""

from collections.abc import Callable, Sequence
from html import escape

from qepose_tf.doctor.cards import picture_of, whole_picture
from qepose_tf.doctor.counts import FEW_CELLS
from qepose_tf.doctor.examine import Diagnosis, Examined
from qepose_tf.doctor.finding import HARM, KINDS, Finding
from qepose_tf.doctor.page_style import STYLE
from qepose_tf.doctor.report import best_sigmas, person_name, told, use, verdict
from qepose_tf.doctor.skeleton_drawing import draw_skeleton
from qepose_tf.doctor.sources import picture_name

_SHOWN = 60  # findings of a kind; the others are counted, and stand in --json's file
_OPEN = 12  # of these are seen at once

Shown = Callable[[int, int], None]


def html_page(diagnosis: Diagnosis, progress: Shown | None = None) -> str:
    """The whole page.

    Args:
        diagnosis: What it shows.
        progress: Told how many kinds of findings are drawn, and of how many.
    """
    parts = [_head(diagnosis)]
    if diagnosis.sources.notes:
        parts.append(_notes(diagnosis.sources.notes))
    parts += [_data_set(diagnosis, found) for found in diagnosis.examined]
    parts.append(_skeleton(diagnosis))
    parts.append("<h2>Likely mistakes</h2>")
    for done, kind in enumerate(KINDS, start=1):
        parts.append(_kind(diagnosis, kind))
        if progress is not None:
            progress(done, len(KINDS))
    body = "\n".join(parts)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(diagnosis.examined[0].source.path)}</title>\n"
        f"<style>{STYLE}</style></head>\n<body><main>\n{body}\n</main></body></html>\n"
    )


def _head(diagnosis: Diagnosis) -> str:
    lines = [f"<h1>{escape(verdict(diagnosis))}</h1>"]
    if diagnosis.failure:
        lines.append(f'<p class="failure">{escape(diagnosis.failure)}</p>')
    pictures = sum(found.counts.pictures for found in diagnosis.examined)
    people = sum(found.counts.people for found in diagnosis.examined)
    lines.append(
        f'<p class="soft">{pictures:,} pictures, {people:,} people, '
        f"{diagnosis.skeleton.num_keypoints} keypoints "
        f"({escape(diagnosis.skeleton.name)}).</p>"
    )
    links = []
    for kind, title in KINDS.items():
        count = diagnosis.total(kind)
        faint = "" if count else ' class="none"'
        links.append(f'<a href="#{kind}"{faint}>{title} <b>{count:,}</b></a>')
    return "\n".join([*lines, f"<nav>{''.join(links)}</nav>"])


def _notes(notes: Sequence[str]) -> str:
    items = "".join(f"<li>{escape(note)}</li>" for note in notes)
    return (
        "<h2>What the reader left out or mended</h2>"
        f'<div class="panel"><ul>{items}</ul></div>'
    )


def _data_set(diagnosis: Diagnosis, found: Examined) -> str:
    counts = found.counts
    rows = "".join(
        f"<tr><th>{escape(name)}</th><td>{escape(text)}</td></tr>"
        for name, text in use(diagnosis, found)
    )
    people = _bars(counts.people_per_picture)
    sizes = _bars(counts.sizes_px)
    unreadable = ""
    if found.unreadable:
        items = "".join(f"<li>{escape(line)}</li>" for line in found.unreadable)
        unreadable = (
            f"<details><summary>{len(found.unreadable):,} pictures are not used"
            f"</summary><ul>{items}</ul></details>"
        )
    return f"""<h2>What will be used: {escape(found.source.name)}</h2>
<p class="path">{escape(found.source.path)}</p>
<div class="panel"><table>{rows}</table>{unreadable}</div>
<div class="columns"><div class="panel"><h3>People in a picture</h3>{people}</div>
<div class="panel"><h3>Size in the model, px</h3>{sizes}
<p class="soft">The square root of a person's area where the
picture's short side is {diagnosis.sources.input_size} px. Below {FEW_CELLS * 4} px are
fewer than {FEW_CELLS} cells of the score map in each direction.</p></div></div>"""


def _bars(numbers: dict[str, int]) -> str:
    most = max(numbers.values(), default=1) or 1
    rows = [
        f'<span>{escape(name)}</span><span class="track">'
        f'<i style="width:{100 * count / most:.1f}%"></i></span><span>{count:,}</span>'
        for name, count in numbers.items()
    ]
    return f'<div class="bars">{"".join(rows)}</div>'


def _skeleton(diagnosis: Diagnosis) -> str:
    skeleton = diagnosis.skeleton
    drawing = draw_skeleton(skeleton, [found.people for found in diagnosis.examined])
    estimated = best_sigmas(diagnosis)
    visible, hidden = (
        [sum(column) for column in zip(*lists, strict=True)]
        for lists in (
            [found.counts.visible for found in diagnosis.examined],
            [found.counts.hidden for found in diagnosis.examined],
        )
    )
    most = max([a + b for a, b in zip(visible, hidden, strict=True)] + [1])
    rows = []
    for k, name in enumerate(skeleton.keypoints):
        both = visible[k] + hidden[k]
        sigma = f'<td class="number">{skeleton.sigmas[k]:.3f}</td>'
        if estimated:
            value = f"{estimated[name][0]:.3f}" if name in estimated else "-"
            sigma += f'<td class="number">{value}</td>'
        rows.append(
            f"<tr><th>{k + 1} {escape(name)}</th>"
            '<td class="wide"><span class="track">'
            f'<i style="width:{100 * visible[k] / most:.1f}%"></i>'
            f'<i style="width:{100 * hidden[k] / most:.1f}%"></i></span></td>'
            f'<td class="number">{both:,}</td>{sigma}</tr>'
        )
    head = '<th class="number">sigma</th>'
    if estimated:
        head += '<th class="number">estimated</th>'
    pairs = "".join(
        f"<li>{escape(first)} and {escape(second)}</li>"
        for first, second in skeleton.flip_pairs
    )
    pairs = (
        f"<ul>{pairs}</ul>"
        if pairs
        else "<p>Pictures are not mirrored in training.</p>"
    )
    return f"""<h2>The skeleton and its keypoints</h2>
<div class="columns uneven"><div class="panel">{drawing}
<p class="soft"><span class="swatch l"></span>first of a pair
<span class="swatch r"></span>second; a dashed line joins the two.</p>
<details><summary>{len(skeleton.flip_pairs)} flip pairs</summary>{pairs}</details>
</div>
<div class="panel scroll"><table><tr><th>keypoint</th><th class="legend">
<span class="swatch"></span>visible
<span class="swatch h"></span>hidden</th><th class="number">labelled</th>{head}</tr>
{"".join(rows)}</table></div></div>"""


def _kind(diagnosis: Diagnosis, kind: str) -> str:
    title, total = KINDS[kind], diagnosis.total(kind)
    heading = (
        f'<h3 id="{kind}">{title} <span class="count">'
        f"{escape(told(diagnosis, kind))}</span></h3>"
    )
    if not total:
        return heading
    shown = sorted(
        (
            (finding, found)
            for found in diagnosis.examined
            for finding in found.findings[kind]
        ),
        key=lambda pair: -pair[0].certainty,
    )[:_SHOWN]
    cards = [_card(diagnosis, found, finding) for finding, found in shown]
    body = f'<div class="cards">{"".join(cards[:_OPEN])}</div>'
    if cards[_OPEN:]:
        body += (
            f"<details><summary>{len(cards) - _OPEN} more</summary>"
            f'<div class="cards">{"".join(cards[_OPEN:])}</div></details>'
        )
    if total > len(cards):
        body += (
            f'<p class="soft">{total - len(cards):,} less '
            "certain ones are in the file that --json writes.</p>"
        )
    return f"{heading}<p>{HARM[kind]}</p>{body}"


def _card(diagnosis: Diagnosis, found: Examined, finding: Finding) -> str:
    record = found.source.records[finding.picture]
    who = ", ".join(person_name(found, row) for row in finding.people)
    try:
        if finding.twin is None:
            sources = [picture_of(found, finding, diagnosis.skeleton)]
        else:
            val = next(f for f in diagnosis.examined if f.source.validates)
            sources = [whole_picture(found, finding.picture)]
            sources.append(whole_picture(val, finding.twin))
    except (OSError, ValueError) as error:  # it broke meanwhile: say so in its place
        sources, who = [], str(error)
    images = "".join(f'<img src="{s}" alt="" loading="lazy">' for s in sources)
    name = picture_name(record)
    return (
        f'<figure><div class="shown">{images}</div><figcaption>{escape(finding.why)}'
        f'<span title="{escape(str(record.file))}">{escape(name)}'
        f"{', ' if who else ''}{escape(who)}</span></figcaption></figure>"
    )
