"""Mistakes planted among right people, and what was found of them."""

import dataclasses

import numpy as np

FOUND, ACCUSED = 0.9, 0.02  # 9 of 10 planted, 1 of 50 right


def chosen(rng, allowed, share=0.1):
    """Rows of a share of those that are allowed."""
    rows = np.flatnonzero(allowed)
    return np.sort(rng.choice(rows, max(1, int(share * len(rows))), replace=False))


def with_keypoints(people, keypoints):
    return dataclasses.replace(people, keypoints=keypoints)


def check(findings, planted, people):
    """Nearly all planted are found, and hardly any right one is accused."""
    check_sum([(findings, planted)], people)


def check_sum(runs, people):
    """As `check`, of several plantings together: (findings, planted rows) of each."""
    found = accused = wrong = right = 0
    for findings, planted in runs:
        named = {row for finding in findings for row in finding.people}
        planted = set(planted.tolist())
        found, wrong = found + len(named & planted), wrong + len(planted)
        accused += len(named - planted)
        right += len(people) - len(planted)
    assert wrong >= 20
    assert found >= FOUND * wrong
    assert accused <= ACCUSED * right
