"""MLflow's stores, pinned to the workspace that a URI names."""
