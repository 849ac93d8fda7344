// Poses over a picture: left, right and middle told apart by colour.

// Blue, orange and green-yellow stay apart for colour-blind eyes too.
const LEFT = "rgb(40 150 255)";
const RIGHT = "rgb(255 120 20)";
const MIDDLE = "rgb(225 235 70)";
const OUTLINE = "rgb(15 15 15 / 0.85)";
// Without flip pairs there's no left and right: then each person has a colour.
const PEOPLE = [LEFT, RIGHT, "rgb(90 220 90)", "rgb(240 80 180)", MIDDLE];
// Small pictures are painted enlarged, so that limbs are smooth, and large ones smaller.
const PAINTED_SIDE = 1280;

/**
 * Paints a picture and the people in it, the best one on top.
 *
 * @param {HTMLCanvasElement} canvas takes the picture's shape
 * @param {ImageBitmap} bitmap the picture
 * @param {object} found what Detector.detect returned
 * @param {object} skeleton with limbs and flip_pairs as indices
 * @param {number} minScore people that score less aren't drawn
 * @returns {number} people drawn
 */
export function drawPoses(canvas, bitmap, found, skeleton, minScore) {
  const zoom = PAINTED_SIDE / Math.max(bitmap.width, bitmap.height);
  const [width, height] = [bitmap.width, bitmap.height].map((side) =>
    Math.max(1, Math.round(side * zoom)),
  );
  // Setting a size clears the canvas, which would flicker from frame to frame.
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
  const context = canvas.getContext("2d");
  context.fillStyle = "white";
  context.fillRect(0, 0, width, height);
  context.drawImage(bitmap, 0, 0, width, height);
  context.lineCap = "round";
  // Limbs and digits stay readable where the page shows the canvas much smaller.
  const unit = Math.max(1, width / (canvas.clientWidth || width));
  const shown = found.scores.filter((score) => score >= minScore).length;
  for (let person = shown - 1; person >= 0; person--) {
    const points = found.poses[person].map(([x, y]) => [
      (x + 0.5) * zoom,
      (y + 0.5) * zoom,
    ]);
    drawPerson(context, points, skeleton, colours(skeleton, person), unit);
    drawScore(context, points, found.scores[person], unit);
  }
  return shown;
}

function colours(skeleton, person) {
  const all = skeleton.keypoints.map(() => MIDDLE);
  if (!skeleton.flip_pairs.length) return all.fill(PEOPLE[person % PEOPLE.length]);
  for (const [left, right] of skeleton.flip_pairs) {
    all[left] = LEFT;
    all[right] = RIGHT;
  }
  return all;
}

function drawPerson(context, points, skeleton, colour, unit) {
  const [left, top, right, bottom] = box(points);
  const size = Math.hypot(right - left, bottom - top);
  const radius = Math.min(Math.max(0.014 * size, 2 * unit), 5 * unit);
  const rim = Math.max(0.45 * radius, unit);
  const limb = (ends, width, style) => {
    context.strokeStyle = style;
    context.lineWidth = width;
    context.beginPath();
    for (const end of ends) context.lineTo(...points[end]);
    context.stroke();
  };
  const joint = (point, reach, style) => {
    context.fillStyle = style;
    context.beginPath();
    context.arc(...point, reach, 0, 2 * Math.PI);
    context.fill();
  };
  // A dark rim under everything keeps the colours apart from any background.
  for (const ends of skeleton.limbs) limb(ends, 1.2 * radius + 2 * rim, OUTLINE);
  for (const point of points) joint(point, radius + rim, OUTLINE);
  for (const [from, to] of skeleton.limbs) {
    const same = colour[from] === colour[to];
    limb([from, to], 1.2 * radius, same ? colour[from] : MIDDLE);
  }
  points.forEach((point, i) => joint(point, radius, colour[i]));
}

function drawScore(context, points, score, unit) {
  const [left, top] = box(points);
  context.font = `600 ${14 * unit}px system-ui, sans-serif`;
  context.lineWidth = 3 * unit;
  context.lineJoin = "round";
  context.strokeStyle = OUTLINE;
  context.fillStyle = "white";
  const at = [Math.max(left, 4 * unit), Math.max(top - 9 * unit, 15 * unit)];
  context.strokeText(score.toFixed(2), ...at);
  context.fillText(score.toFixed(2), ...at);
}

function box(points) {
  const [x, y] = [0, 1].map((axis) => points.map((point) => point[axis]));
  return [Math.min(...x), Math.min(...y), Math.max(...x), Math.max(...y)];
}
