// The page: a model, then pictures or the webcam, and the poses in them.

import { bitmapOf, Detector } from "./detector.js";
import { drawPoses } from "./drawing.js";
import { Latency } from "./latency.js";
import * as panel from "./panel.js";
import { Webcam } from "./webcam.js";

const canvas = document.getElementById("canvas");
const threshold = document.getElementById("threshold");
const webcam = new Webcam();
const latency = { network: new Latency(), frame: new Latency() };

let detector = null;
let shown = null; // {bitmap, found}: found is null until there is a model
let loads = 0;
let turns = 0;

/** Loads a model file and looks at the picture again, if there is one. */
async function useModel(file) {
  const load = ++loads;
  panel.say(`Loading ${file.name} …`);
  const loaded = await Detector.load(await file.arrayBuffer(), file.name);
  if (load !== loads) return loaded.close();
  detector?.close();
  detector = loaded;
  for (const one of Object.values(latency)) one.clear();
  panel.showModel(detector);
  panel.say(shown ? "Ready." : "Ready: choose or drop a picture, or start the webcam.");
  if (shown && !webcam.running) await show(await bitmapOf(shown.bitmap));
}

async function modelFrom(url) {
  panel.say(`Fetching ${url} …`);
  const response = await fetch(url).catch(() => null);
  if (!response?.ok) {
    const reason = response ? `HTTP status ${response.status}` : "no answer";
    throw new Error(`${url}: expected a model file, got ${reason}`);
  }
  const name = new URL(url, location.href).pathname.split("/").pop();
  return new File([await response.blob()], name);
}

async function usePicture(file) {
  webcam.stop();
  panel.showWebcam(false);
  panel.say(`Looking at ${file.name} …`);
  const bitmap = await bitmapOf(file).catch(() => {
    throw new Error(`${file.name}: expected a picture, got what the browser can't read`);
  });
  const size = `${bitmap.width} × ${bitmap.height} pixels`;
  const drawn = await show(bitmap).catch((error) => {
    throw new Error(`${file.name}, ${size}: ${error.message}`);
  });
  if (drawn) panel.say(detector ? `${file.name}, ${size}` : "Now choose a model.");
}

async function toggleWebcam() {
  if (webcam.running) {
    turns++; // the frame that is under way is not shown any more
    webcam.stop();
    panel.showWebcam(false);
    return panel.say("The webcam is off.");
  }
  panel.say("Waiting for the webcam …");
  try {
    await webcam.run(async (video) => {
      panel.showWebcam(true);
      panel.say("The webcam is on.");
      const started = performance.now();
      await show(await bitmapOf(video), started);
    });
  } finally {
    panel.showWebcam(webcam.running);
  }
}

/** Finds the people in a picture and draws it; false if a later one came meanwhile. */
async function show(bitmap, started = performance.now()) {
  const turn = ++turns;
  const used = detector;
  let found = null;
  try {
    found = used && (await used.detect(bitmap));
  } catch (error) {
    if (used === detector) throw error; // else it was closed for another model
  }
  if (turn !== turns) {
    bitmap.close();
    return false;
  }
  shown?.bitmap.close();
  shown = { bitmap, found };
  draw();
  if (!found) return true;
  latency.network.add(found.networkMs);
  latency.frame.add(performance.now() - started);
  panel.showLatency(latency.network, latency.frame);
  window.dispatchEvent(new CustomEvent("qepose", { detail: found }));
  return true;
}

function draw() {
  panel.showThreshold(threshold.valueAsNumber);
  if (!shown) return;
  const { bitmap, found } = shown;
  document.getElementById("stage").classList.remove("empty");
  const people = found ?? { scores: [], poses: [] };
  const skeleton = detector?.metadata.skeleton;
  const count = drawPoses(canvas, bitmap, people, skeleton, threshold.valueAsNumber);
  panel.showPeople(count);
}

const reported =
  (action) =>
  (...given) =>
    action(...given).catch(panel.sayFault);

panel.onFiles({ model: reported(useModel), picture: reported(usePicture) });
threshold.addEventListener("input", draw);
document.getElementById("webcam").addEventListener("click", reported(toggleWebcam));

/** For scripts and the console; every picture shown also sends the event "qepose". */
window.qepose = {
  /** Loads a model: a File, or the address of one. */
  async load(model) {
    await useModel(model instanceof File ? model : await modelFrom(model));
    return detector.metadata;
  },
  /** The poses in a picture, which isn't shown; see Detector.detect. */
  async detect(source) {
    if (!detector) throw new Error("expected a model to be loaded first");
    return detector.detect(source);
  },
};

const address = new URLSearchParams(location.search).get("model");
if (address) reported(window.qepose.load)(address);
