// A whole picture at the network's size, and poses back in the picture's pixels.

import { resizeRgb } from "./resize.js";

/**
 * Resizes a picture so that it fits the network's input, its aspect ratio kept, puts it
 * at the top left and fills the rest.
 *
 * @param {Uint8ClampedArray} rgba [height, width, 4], opaque
 * @param {number} height of the picture
 * @param {number} width of the picture
 * @param {object} metadata of the model: input size and colour of the filling
 * @returns {{pixels: Uint8Array, scale: number[]}} [input height, input width, 3] and
 *     the scale (x, y) that originalPoints undoes
 */
export function letterbox(rgba, height, width, metadata) {
  const { input, letterbox: rules } = metadata;
  const scale = Math.min(input.height / height, input.width / width);
  const newHeight = Math.max(1, roundHalfToEven(height * scale));
  const newWidth = Math.max(1, roundHalfToEven(width * scale));
  const content = resizeRgb(withoutAlpha(rgba), height, width, newHeight, newWidth);
  const pixels = new Uint8Array(input.height * input.width * 3);
  for (let i = 0; i < pixels.length; i++) pixels[i] = rules.fill[i % 3];
  for (let y = 0; y < newHeight; y++) {
    const row = content.subarray(y * newWidth * 3, (y + 1) * newWidth * 3);
    pixels.set(row, y * input.width * 3);
  }
  return { pixels, scale: [newWidth / width, newHeight / height] };
}

/**
 * Moves points from the network's input back to the picture, in place.
 *
 * @param {Float32Array} points [..., 2] (x, y) in pixels of the input
 * @param {number[]} scale of letterbox
 * @returns {Float32Array} the same array, in pixels of the picture
 */
export function originalPoints(points, scale) {
  for (let i = 0; i < points.length; i++) {
    points[i] = (points[i] + 0.5) / scale[i % 2] - 0.5;
  }
  return points;
}

// As Python rounds: the exporter's own letterbox has the same sizes.
function roundHalfToEven(value) {
  const floor = Math.floor(value);
  if (value - floor !== 0.5) return Math.round(value);
  return floor % 2 ? floor + 1 : floor;
}

function withoutAlpha(rgba) {
  const rgb = new Uint8Array((rgba.length / 4) * 3);
  for (let from = 0, to = 0; from < rgba.length; from += 4, to += 3) {
    rgb[to] = rgba[from];
    rgb[to + 1] = rgba[from + 1];
    rgb[to + 2] = rgba[from + 2];
  }
  return rgb;
}
