"""Where `mlflow-artifacts:/...` of a workspace physically lives."""
