// What an exported .tflite says of itself: pose.json in the zip archive at its end.

const END_SIGNATURE = 0x06054b50;
const ENTRY_SIGNATURE = 0x02014b50;
const FILE_SIGNATURE = 0x04034b50;
const END_SIZE = 22;
const MAX_COMMENT = 0xffff;
const STORED = 0;

/**
 * Reads and checks the metadata of an exported model.
 *
 * @param {ArrayBuffer} buffer the whole .tflite file
 * @param {string} name of the file, for messages
 * @returns {object} pose.json, its limbs and flip pairs as indices of keypoints
 */
export function readMetadata(buffer, name) {
  const bytes = new Uint8Array(buffer);
  if (new TextDecoder("latin1").decode(bytes.subarray(4, 8)) !== "TFL3") {
    throw new Error(`${name}: expected a TFLite file`);
  }
  const entry = storedEntry(bytes, "pose.json");
  if (!entry) {
    throw new Error(
      `${name}: has no pose.json; expected a file that ` +
        "qepose export --format tflite wrote, whole",
    );
  }
  let metadata;
  try {
    metadata = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(entry));
  } catch {
    throw new Error(`${name}: pose.json is broken; expected a JSON document`);
  }
  return checked(metadata, name);
}

/** The bytes of an entry that is stored uncompressed, or null. */
function storedEntry(bytes, wanted) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const end = endOfDirectory(view);
  if (end === null) return null;
  const count = view.getUint16(end + 10, true);
  const start = end - view.getUint32(end + 12, true);
  // Offsets count from the start of the archive or of the file it is appended to.
  const origin = start - view.getUint32(end + 16, true);
  let at = start;
  for (let i = 0; i < count; i++) {
    if (at < 0 || at + 46 > end) return null;
    if (view.getUint32(at, true) !== ENTRY_SIGNATURE) return null;
    const nameLength = view.getUint16(at + 28, true);
    const name = new TextDecoder().decode(bytes.subarray(at + 46, at + 46 + nameLength));
    if (name === wanted) {
      const stored = view.getUint16(at + 10, true) === STORED;
      const file = origin + view.getUint32(at + 42, true);
      return stored ? content(bytes, view, file, view.getUint32(at + 20, true)) : null;
    }
    at += 46 + nameLength + view.getUint16(at + 30, true) + view.getUint16(at + 32, true);
  }
  return null;
}

function endOfDirectory(view) {
  const last = view.byteLength - END_SIZE;
  for (let at = last; at >= Math.max(0, last - MAX_COMMENT); at--) {
    if (view.getUint32(at, true) === END_SIGNATURE) return at;
  }
  return null;
}

function content(bytes, view, file, size) {
  if (file < 0 || file + 30 > bytes.length) return null;
  if (view.getUint32(file, true) !== FILE_SIGNATURE) return null;
  const start =
    file + 30 + view.getUint16(file + 26, true) + view.getUint16(file + 28, true);
  return start + size <= bytes.length ? bytes.subarray(start, start + size) : null;
}

function checked(metadata, name) {
  const expect = (fine, what) => {
    if (!fine) throw new Error(`${name}: pose.json: expected ${what}`);
  };
  expect(metadata?.schema === 1, `schema 1, got ${metadata?.schema}`);
  const { input, letterbox, skeleton } = metadata;
  const side = (value) => Number.isInteger(value) && value > 0;
  expect(side(input?.height) && side(input?.width), "the input's height and width");
  expect(input.name, "the input's name");
  const fill = letterbox?.fill;
  expect(Array.isArray(fill) && fill.length === 3, "letterbox.fill of three values");
  const names = skeleton?.keypoints;
  expect(Array.isArray(names) && names.length > 0, "the skeleton's keypoints");
  const pairs = (list, what) =>
    (list ?? []).map((pair) => {
      // An end of a limb is a keypoint's name or its index.
      const ends = pair.map((end) => (Number.isInteger(end) ? end : names.indexOf(end)));
      const known = ends.every((end) => end >= 0 && end < names.length);
      expect(known && ends.length === 2, `pairs of keypoints as ${what}, got ${pair}`);
      return ends;
    });
  return {
    ...metadata,
    skeleton: {
      ...skeleton,
      limbs: pairs(skeleton.limbs, "limbs"),
      flip_pairs: pairs(skeleton.flip_pairs, "flip_pairs"),
    },
  };
}
