// Runs LiteRT.js in a worker, so that the page answers while the network computes.
// A classic worker: LiteRT.js loads its WebAssembly by importScripts.

const PACKAGES = new URL("../node_modules/@litertjs/", self.location.href).href;
const WASM = `${PACKAGES}core/wasm/`;

let litert;
let modules;
let model;
let metadata;

self.onmessage = async ({ data: { id, command, ...request } }) => {
  try {
    const result = command === "load" ? await load(request) : await detect(request);
    self.postMessage({ id, result });
  } catch (error) {
    self.postMessage({ id, error: oneLine(error) });
  }
};

async function load(request) {
  modules = await import("./letterbox.js");
  litert = await importLiteRt();
  const threads = await startLiteRt();
  metadata = request.metadata;
  const bytes = new Uint8Array(request.buffer);
  model = await litert.loadAndCompile(bytes, { accelerator: "wasm" });
  checkShapes();
  // The first run is slow, and what cannot run shows here and not at the first picture.
  await run(new Uint8Array(0));
  return { threads };
}

async function importLiteRt() {
  const response = await fetch(`${PACKAGES}core/dist/index.js`);
  if (!response.ok) {
    throw new Error("LiteRT.js is not installed; run npm ci in the example's folder");
  }
  // Import maps don't reach workers, so the package's one bare import is written out.
  const source = (await response.text()).replaceAll(
    '"@litertjs/wasm-utils"',
    JSON.stringify(`${PACKAGES}wasm-utils/dist/index.js`),
  );
  const url = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
  try {
    return await import(url);
  } finally {
    URL.revokeObjectURL(url);
  }
}

async function startLiteRt() {
  // In a worker the script cannot find its own folder.
  self.Module = {
    locateFile: (file) => WASM + file,
    mainScriptUrlOrBlob: `${WASM}litert_wasm_threaded_internal.js`,
  };
  // Shared memory is there only under the headers that serve.py sends.
  const threads =
    self.crossOriginIsolated && (await litert.supportsFeature("relaxedSimd"));
  await litert.loadLiteRt(WASM, { threads });
  return threads;
}

function checkShapes() {
  const { name, height, width } = metadata.input;
  const input = model.getInputDetails().find((tensor) => tensor.name === name);
  const shape = input ? [...input.shape] : [];
  if (input?.dtype !== "uint8" || `${shape.slice(1)}` !== `${[height, width, 3]}`) {
    throw new Error(
      `expected the input ${name}, uint8 [batch, ${height}, ${width}, 3], ` +
        `got ${input?.dtype ?? "none of that name"} [${shape.join(", ")}]`,
    );
  }
  const outputs = new Map(model.getOutputDetails().map((one) => [one.name, one]));
  for (const wanted of ["poses", "scores", "keypoint_scores", "cells"]) {
    if (!outputs.has(wanted)) {
      throw new Error(`expected the output ${wanted}, got ${[...outputs.keys()]}`);
    }
  }
  const keypoints = outputs.get("poses").shape[2];
  const named = metadata.skeleton.keypoints.length;
  if (keypoints !== named) {
    throw new Error(`pose.json names ${named} keypoints, the poses have ${keypoints}`);
  }
}

async function detect({ bitmap }) {
  const { width, height } = bitmap;
  const rgba = opaquePixels(bitmap);
  const { pixels, scale } = modules.letterbox(rgba, height, width, metadata);
  const started = performance.now();
  const outputs = await run(pixels);
  const networkMs = performance.now() - started;
  return { ...found(outputs, scale), networkMs, width, height };
}

/** RGBA pixels of a picture on white, whose own are returned where it is opaque. */
function opaquePixels(bitmap) {
  const { width, height } = bitmap;
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d", { alpha: false, willReadFrequently: true });
  context.fillStyle = "white";
  context.fillRect(0, 0, width, height);
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  return context.getImageData(0, 0, width, height).data;
}

async function run(pixels) {
  const { name, shape } = model.getInputDetails()[0];
  // In a file for several images at once the others stay black.
  const batch = new Uint8Array(shape.reduce((product, side) => product * side, 1));
  batch.set(pixels);
  const images = new litert.Tensor(batch, [...shape]);
  let tensors = {};
  try {
    tensors = await model.run({ [name]: images });
    const values = Object.entries(tensors).map(([key, tensor]) => {
      const all = tensor.toTypedArray();
      return [key, all.slice(0, all.length / shape[0])];
    });
    return Object.fromEntries(values);
  } finally {
    images.delete();
    for (const tensor of Object.values(tensors)) tensor.delete();
  }
}

/** The rows with a score, as plain arrays. */
function found(outputs, scale) {
  const keypoints = metadata.skeleton.keypoints.length;
  const scores = [...outputs.scores].filter((score) => score > 0);
  const points = modules.originalPoints(outputs.poses, scale);
  const rows = (values, size) =>
    scores.map((_, i) => [...values.subarray(i * size, (i + 1) * size)]);
  const pairs = (values) =>
    Array.from({ length: values.length / 2 }, (_, i) => values.slice(2 * i, 2 * i + 2));
  return {
    scores,
    poses: rows(points, 2 * keypoints).map(pairs),
    keypointScores: rows(outputs.keypoint_scores, keypoints),
    cells: rows(outputs.cells, 2),
  };
}

function oneLine(error) {
  const text = String(error?.message ?? error);
  return text.trim().split("\n")[0] || "unknown reason";
}
