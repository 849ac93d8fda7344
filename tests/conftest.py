"""What holds for every test."""

import sys

# The import of OpenVINO alone reports its use; see `exporting.openvino_ir`.
sys.modules.setdefault("openvino_telemetry", None)
