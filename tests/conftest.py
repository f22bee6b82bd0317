"""What holds for every test."""

from __future__ import annotations

import os

# Before MLflow is imported anywhere: a test run is no usage to report.
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["DO_NOT_TRACK"] = "true"
