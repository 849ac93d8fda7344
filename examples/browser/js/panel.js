// The controls beside the picture: messages, figures, facts of the model.

const element = (id) => document.getElementById(id);
const set = (id, text) => (element(id).textContent = text);

/** One line for the user. */
export function say(text) {
  element("message").classList.remove("fault");
  set("message", text);
}

/** One line on what went wrong. */
export function sayFault(error) {
  element("message").classList.add("fault");
  set("message", error.message);
}

export function showModel({ metadata, name, threads }) {
  const { skeleton, input, precision } = metadata;
  set("fact-name", name);
  set("fact-skeleton", `${skeleton.name}, ${skeleton.keypoints.length} keypoints`);
  set("fact-input", `${input.width} × ${input.height} pixels`);
  set("fact-precision", precision);
  set("fact-threads", threads ? "CPU, several threads" : "CPU, one thread");
  element("facts").hidden = false;
  element("webcam").disabled = false;
}

export function showPeople(count) {
  set("people", count);
  const label = `Picture with the poses of ${count} ${count === 1 ? "person" : "people"}`;
  element("canvas").setAttribute("aria-label", label);
}

export function showLatency(network, frame) {
  set("network", network);
  set("frame", frame);
}

export function showThreshold(value) {
  set("threshold-value", value.toFixed(2));
}

export function showWebcam(running) {
  set("webcam", running ? "Stop the webcam" : "Start the webcam");
}

/** Calls back with a file that was chosen or dropped. */
export function onFiles({ model, picture }) {
  const stage = element("stage");
  const deliver = (file) => (/\.tflite$/i.test(file.name) ? model : picture)(file);
  for (const [id, chosen] of Object.entries({ model, picture })) {
    element(id).addEventListener("change", ({ target }) => {
      const [file] = target.files;
      // Else choosing the same file once more would be no change.
      target.value = "";
      if (file) chosen(file);
    });
  }
  // Over the whole page: a file dropped beside the stage would replace the page.
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    stage.classList.add("over");
  });
  document.addEventListener("dragleave", () => stage.classList.remove("over"));
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    stage.classList.remove("over");
    const [file] = event.dataTransfer.files;
    if (file) deliver(file);
  });
}
