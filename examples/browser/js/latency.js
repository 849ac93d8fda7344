// How long the last runs took.

const REMEMBERED = 15;

export class Latency {
  #runs = [];

  add(milliseconds) {
    this.#runs = [...this.#runs, milliseconds].slice(-REMEMBERED);
  }

  clear() {
    this.#runs = [];
  }

  /** The median of the last runs in milliseconds, as text. */
  toString() {
    if (!this.#runs.length) return "–";
    const sorted = [...this.#runs].sort((a, b) => a - b);
    const middle = sorted.length / 2;
    const median = (sorted[Math.ceil(middle) - 1] + sorted[Math.floor(middle)]) / 2;
    return `${median.toFixed(median < 10 ? 1 : 0)} ms`;
  }
}
