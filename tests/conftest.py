"""What holds for every test."""

from __future__ import annotations

import os
import signal

# Before MLflow is imported anywhere: a test run is no usage to report.
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["DO_NOT_TRACK"] = "true"

# A shell starts what runs in its background with Ctrl-C ignored, and a test's processes inherit it.
signal.signal(signal.SIGINT, signal.default_int_handler)
