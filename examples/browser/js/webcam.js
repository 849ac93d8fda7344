// The webcam, one frame after the other: the next is taken when the last one is done.

export class Webcam {
  #video = document.createElement("video");
  #stream = null;

  constructor() {
    this.#video.muted = true;
    this.#video.playsInline = true;
  }

  get running() {
    return this.#stream !== null;
  }

  /**
   * Asks for the camera and hands over its frames until stop is called.
   *
   * @param {function(HTMLVideoElement): Promise} onFrame frames that arrive while it is
   *     at work are left out
   */
  async run(onFrame) {
    const stream = await camera();
    this.stop();
    this.#stream = stream;
    const current = () => this.#stream === stream;
    try {
      this.#video.srcObject = stream;
      await this.#video.play();
      const [track] = stream.getVideoTracks();
      while (current()) {
        await nextFrame(this.#video);
        if (track.readyState === "ended") throw new Error("the camera was disconnected");
        if (current()) await onFrame(this.#video);
      }
    } catch (error) {
      // Stopping interrupts what is under way; that is no failure.
      if (current()) throw error;
    } finally {
      if (current()) this.stop();
    }
  }

  stop() {
    for (const track of this.#stream?.getTracks() ?? []) track.stop();
    this.#video.srcObject = null;
    this.#stream = null;
  }
}

async function camera() {
  if (!navigator.mediaDevices) {
    throw new Error("the camera needs https or a page from this computer");
  }
  try {
    return await navigator.mediaDevices.getUserMedia({
      video: { width: { ideal: 640 }, height: { ideal: 480 } },
    });
  } catch (error) {
    const reasons = {
      NotAllowedError: "the browser was not allowed to use it",
      NotFoundError: "there is none",
      NotReadableError: "another program is using it",
    };
    throw new Error(`no camera: ${reasons[error.name] ?? error.message}`);
  }
}

// With a limit: a camera that is stopped or unplugged sends no more frames.
function nextFrame(video) {
  return new Promise((resolve) => {
    const limit = setTimeout(resolve, 1000);
    const done = () => {
      clearTimeout(limit);
      resolve();
    };
    if (video.requestVideoFrameCallback) video.requestVideoFrameCallback(done);
    else requestAnimationFrame(done);
  });
}
