"""Serves the browser example on this computer only.

`python3 serve.py` or, to have a model in the page from the start, `python3 serve.py
pose.tflite`. Needs nothing but Python, and `npm ci` once.
"""

import argparse
import sys
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

HERE = Path(__file__).resolve().parent
MODEL_FOLDER = "/model/"


class Handler(SimpleHTTPRequestHandler):
    """The example's files, and the model under `/model/`."""

    # Some systems' tables have a script as plain text, which browsers refuse.
    extensions_map = {
        **SimpleHTTPRequestHandler.extensions_map,
        ".js": "text/javascript",
        ".wasm": "application/wasm",
        ".tflite": "application/octet-stream",
    }

    def __init__(self, *arguments, model: Path | None, **named):
        self.model = model
        super().__init__(*arguments, **named)

    def translate_path(self, path: str) -> str:
        """The file that an address names."""
        if self.model and path.partition("?")[0].startswith(MODEL_FOLDER):
            return str(self.model)
        return super().translate_path(path)

    def end_headers(self) -> None:
        """Adds what LiteRT.js needs for threads, and no stale copies."""
        self.send_header("Cross-Origin-Opener-Policy", "same-origin")
        self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        self.send_header("Cache-Control", "no-cache")
        super().end_headers()

    def log_message(self, *_: object) -> None:
        """Says nothing of requests."""


def main() -> None:
    """Parses the command line and serves until Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", nargs="?", type=Path, help="an exported .tflite file")
    parser.add_argument("--port", type=int, default=8000, help="0 takes a free one")
    options = parser.parse_args()
    if options.model and not options.model.is_file():
        sys.exit(f"{options.model}: no such model file")
    if not (HERE / "node_modules" / "@litertjs").is_dir():
        sys.exit(f"LiteRT.js is not installed; run: npm ci --prefix {HERE}")
    handler = partial(Handler, directory=str(HERE), model=options.model)
    try:
        server = ThreadingHTTPServer(("127.0.0.1", options.port), handler)
    except (OSError, OverflowError) as error:
        sys.exit(f"port {options.port}: cannot listen, {error}")
    query = f"?model={MODEL_FOLDER}{options.model.name}" if options.model else ""
    print(f"http://127.0.0.1:{server.server_port}/{query}", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        print()


if __name__ == "__main__":
    main()
