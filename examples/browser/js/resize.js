// Bilinear resizing, antialiased where it shrinks, in the 8-bit fixed-point arithmetic
// of Pillow: the network sees the pixels that it would see in Python.

const PRECISION_BITS = 22;
const HALF = 1 << (PRECISION_BITS - 1);

/**
 * Resizes RGB pixels.
 *
 * @param {Uint8Array} pixels [height, width, 3]
 * @param {number} height of the pixels
 * @param {number} width of the pixels
 * @param {number} newHeight of the result
 * @param {number} newWidth of the result
 * @returns {Uint8Array} [newHeight, newWidth, 3]; the argument where nothing changes
 */
export function resizeRgb(pixels, height, width, newHeight, newWidth) {
  let result = pixels;
  if (newWidth !== width) result = resizeRows(result, height, width, newWidth);
  if (newHeight !== height) result = resizeColumns(result, height, newWidth, newHeight);
  return result;
}

/** Which source pixels make up each result pixel, and their weights. */
function triangleWeights(size, newSize) {
  const scale = size / newSize;
  const support = Math.max(scale, 1);
  const taps = Math.ceil(support) * 2 + 1;
  const first = new Int32Array(newSize);
  const counts = new Int32Array(newSize);
  const weights = new Int32Array(newSize * taps);
  const exact = new Float64Array(taps);
  for (let i = 0; i < newSize; i++) {
    const centre = (i + 0.5) * scale;
    const from = Math.max(0, Math.trunc(centre - support + 0.5));
    const to = Math.min(size, Math.trunc(centre + support + 0.5));
    let sum = 0;
    for (let j = 0; j < to - from; j++) {
      exact[j] = Math.max(0, 1 - Math.abs(j + from - centre + 0.5) / support);
      sum += exact[j];
    }
    for (let j = 0; j < to - from; j++) {
      weights[i * taps + j] = Math.trunc((exact[j] / sum) * 2 ** PRECISION_BITS + 0.5);
    }
    first[i] = from;
    counts[i] = to - from;
  }
  return { first, counts, weights, taps };
}

function resizeRows(pixels, height, width, newWidth) {
  const { first, counts, weights, taps } = triangleWeights(width, newWidth);
  // Clamped, as Pillow does: rounded weights may sum to a little more than 1.
  const result = new Uint8ClampedArray(height * newWidth * 3);
  let to = 0;
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < newWidth; x++) {
      let from = (y * width + first[x]) * 3;
      let red = HALF;
      let green = HALF;
      let blue = HALF;
      for (let j = x * taps; j < x * taps + counts[x]; j++, from += 3) {
        red += pixels[from] * weights[j];
        green += pixels[from + 1] * weights[j];
        blue += pixels[from + 2] * weights[j];
      }
      result[to++] = red >> PRECISION_BITS;
      result[to++] = green >> PRECISION_BITS;
      result[to++] = blue >> PRECISION_BITS;
    }
  }
  return new Uint8Array(result.buffer);
}

function resizeColumns(pixels, height, width, newHeight) {
  const { first, counts, weights, taps } = triangleWeights(height, newHeight);
  const stride = width * 3;
  const result = new Uint8ClampedArray(newHeight * stride);
  const sums = new Int32Array(stride);
  for (let y = 0; y < newHeight; y++) {
    sums.fill(HALF);
    for (let j = 0; j < counts[y]; j++) {
      const weight = weights[y * taps + j];
      const from = (first[y] + j) * stride;
      for (let i = 0; i < stride; i++) sums[i] += pixels[from + i] * weight;
    }
    for (let i = 0; i < stride; i++) result[y * stride + i] = sums[i] >> PRECISION_BITS;
  }
  return new Uint8Array(result.buffer);
}
