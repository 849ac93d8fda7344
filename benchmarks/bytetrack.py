"""ByteTrack of Roboflow's `trackers`, in a Python of its own: JSON in, JSON out.

It needs nothing of this package. The input has `settings` of `ByteTrackTracker` and
`videos` of frames with `seconds`, `boxes` and `scores`. The output has the `ids` of
every frame, -1 without one, the `version` and the median `milliseconds` of a frame.
"""

import argparse
import contextlib
import json
import statistics
import sys
import time


def main() -> None:
    """Reads stdin and writes stdout."""
    argparse.ArgumentParser(description=__doc__.split("\n")[0]).parse_args()
    # Whatever the libraries print must not come between the JSON.
    with contextlib.redirect_stdout(sys.stderr):
        answer = tracked(json.load(sys.stdin))
    json.dump(answer, sys.stdout)


def tracked(content: dict) -> dict:
    """The ids of all boxes."""
    import importlib.metadata

    import numpy as np
    import supervision as sv
    from trackers import ByteTrackTracker

    ids, taken = [], []
    for video in content["videos"]:
        rate = (len(video) - 1) / (video[-1]["seconds"] - video[0]["seconds"])
        tracker, rows = ByteTrackTracker(frame_rate=rate, **content["settings"]), []
        for frame in video:
            count = len(frame["scores"])
            detections = sv.Detections(
                xyxy=np.array(frame["boxes"], float).reshape(-1, 4),
                confidence=np.array(frame["scores"], float),
                data={"number": np.arange(count)},
            )
            started = time.perf_counter()
            found = tracker.update(detections)
            taken.append(1e3 * (time.perf_counter() - started))
            row = [-1] * count
            for number, track in zip(
                found.data.get("number", ()), found.tracker_id, strict=True
            ):
                row[int(number)] = int(track)
            rows.append(row)
        ids.append(rows)
    return {
        "ids": ids,
        "version": importlib.metadata.version("trackers"),
        "milliseconds": round(statistics.median(taken), 3),
    }


if __name__ == "__main__":
    main()
