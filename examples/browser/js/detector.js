// An exported model: loaded once, then asked for the poses in one picture after another.

import { readMetadata } from "./metadata.js";

export class Detector {
  /**
   * Loads a model into a worker of its own.
   *
   * @param {ArrayBuffer} buffer the whole .tflite file
   * @param {string} name of the file, for messages
   * @returns {Promise<Detector>}
   */
  static async load(buffer, name) {
    const detector = new Detector(readMetadata(buffer, name), name);
    try {
      const { metadata } = detector;
      const loaded = await detector.#ask("load", { buffer, metadata }, [buffer]);
      detector.threads = loaded.threads;
    } catch (error) {
      detector.close();
      throw new Error(`${name}: LiteRT.js cannot run this model: ${error.message}`);
    }
    return detector;
  }

  #worker = new Worker(new URL("litert_worker.js", import.meta.url));
  #waiting = new Map();
  #lastId = 0;

  /** For load, which makes it usable. */
  constructor(metadata, name) {
    this.metadata = metadata;
    this.name = name;
    this.#worker.onmessage = ({ data: { id, result, error } }) => {
      const { resolve, reject } = this.#waiting.get(id);
      this.#waiting.delete(id);
      if (error) reject(new Error(error));
      else resolve(result);
    };
    this.#worker.onerror = (event) => {
      event.preventDefault();
      this.#fail(event.message || "the worker could not start");
    };
  }

  /**
   * Finds the people in a picture.
   *
   * @param {Blob|ImageBitmap|HTMLImageElement|HTMLVideoElement|HTMLCanvasElement} source
   * @returns {Promise<object>} one row per person, the best first: scores,
   *     poses [[[x, y], ...], ...] in pixels of the picture, keypointScores, cells;
   *     and networkMs, width, height
   */
  async detect(source) {
    const bitmap = await bitmapOf(source);
    return this.#ask("detect", { bitmap }, [bitmap]);
  }

  /** Ends the worker and what it holds; whoever still waits gets an error. */
  close() {
    this.#worker.terminate();
    this.#fail("another model was loaded");
  }

  #ask(command, request, transfer) {
    const id = ++this.#lastId;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#worker.postMessage({ id, command, ...request }, transfer);
    });
  }

  #fail(reason) {
    for (const { reject } of this.#waiting.values()) reject(new Error(reason));
    this.#waiting.clear();
  }
}

/** The picture's stored colours, as Python reads them, upright by its orientation tag. */
export function bitmapOf(source) {
  return createImageBitmap(source, { colorSpaceConversion: "none" });
}
