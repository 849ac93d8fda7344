"""People who walk: the same body at every moment of its way."""

from dataclasses import dataclass

import numpy as np

from qepose_tf.data.synthetic.body import (
    Body,
    arm,
    leg,
    rotation,
    seen_from,
    torso_and_head,
)

_HIP_HALF_WIDTH = 0.065
TURN_SECONDS = 0.8
_STEP_LENGTH = 0.42  # heights, at usual speed
_USUAL_SPEED = 0.75  # heights a second, about 1.3 m/s


@dataclass(frozen=True)
class Walker:
    """A person who walks to and fro on a straight line across the picture.

    Attributes:
        seed: Of the body's build; the body is the same at every moment.
        start: Where the hips' middle is at second 0, in heights to the right.
        speed: Heights a second until the first turn; negative to the left.
        turns: The seconds at which the person begins to turn round, at least
            `TURN_SECONDS` apart.
        phase: Of the gait at second 0, in steps.
        sidelong: Degrees by which the way deviates from the picture's plane, towards
            the camera.
    """

    seed: tuple[int, ...]
    start: float
    speed: float
    turns: tuple[float, ...] = ()
    phase: float = 0.0
    sidelong: float = 15.0

    def heading(self, seconds: float) -> float:
        """Where the chest points: 90 to the right of the picture, 0 at the camera."""
        begun = sum(turn <= seconds for turn in self.turns)
        ahead = np.copysign(90.0 - self.sidelong, self.speed) * (-1) ** begun
        if not begun:
            return float(ahead)
        turned = min((seconds - self.turns[begun - 1]) / TURN_SECONDS, 1.0)
        return float(-ahead * np.cos(np.pi * turned))

    def place(self, seconds: float) -> float:
        """The x of the hips' middle in heights.

        The speed follows the heading: halfway through a turn the person stands.
        """
        x, speed, walked = self.start, self.speed, 0.0
        for turn in self.turns:
            if seconds <= turn:
                break
            turning = min(seconds - turn, TURN_SECONDS)
            curve = np.sin(np.pi * turning / TURN_SECONDS) * TURN_SECONDS / np.pi
            x += speed * (turn - walked + curve)
            if turning < TURN_SECONDS:
                return float(x)
            speed, walked = -speed, turn + TURN_SECONDS
        return float(x + speed * (seconds - walked))

    def body(self, seconds: float) -> Body:
        """The joints at a moment, seen by the camera."""
        rng = np.random.default_rng(self.seed)
        points = torso_and_head(rng)
        half_width = rng.uniform(0.9, 1.15) * _HIP_HALF_WIDTH
        bend, spread, swing = rng.uniform((5, 3, 0.8), (35, 14, 1.2))
        vigour = min(abs(self.speed) / _USUAL_SPEED, 1.3)
        steps = self.phase + abs(self.speed) * seconds / (
            _STEP_LENGTH * np.sqrt(max(vigour, 0.3))
        )
        stride = 26.0 * np.sqrt(vigour) * swing
        for side in (1, -1):
            wave = np.pi * (steps + (side < 0))
            # The knee bends most while the leg swings forward.
            knee = 6.0 + 48.0 * vigour * max(np.cos(wave), 0.0) ** 2
            points |= leg(side, half_width, 2.0, stride * np.sin(wave), knee)
            points |= arm(side, spread, -0.9 * stride * np.sin(wave), 0.0, bend, points)
        heading = self.heading(seconds)
        view = rotation("x", 4.0) @ rotation("y", heading)
        return Body(seen_from(view, points), from_behind=abs(heading) > 90)
