# /// script
# requires-python = ">=3.10"
# dependencies = ["mlflow-ws-plugin[examples]"]
# ///
"""A plain MLflow script: it never imports the plugin, and runs on any tracking URI.

    MLFLOW_TRACKING_URI=ws://demo python train.py

Handwritten digits (scikit-learn's bundled 1,797 images): a nested hyper-parameter search with
autologging, a learning curve, a confusion matrix, a traced prediction, and a model that is logged,
registered, loaded back by its alias and used.
"""

import matplotlib as mpl
import mlflow
import numpy as np
from mlflow import MlflowClient
from sklearn.datasets import load_digits
from sklearn.linear_model import SGDClassifier
from sklearn.metrics import ConfusionMatrixDisplay, accuracy_score, log_loss
from sklearn.model_selection import train_test_split
from sklearn.svm import SVC

mpl.use("Agg")  # no display is needed

MODEL_NAME = "digits"
EPOCHS = 20


def load_data() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Pixels scaled to 0-1, split the same way in every run."""
    digits = load_digits()
    return train_test_split(digits.data / 16.0, digits.target, test_size=0.25, random_state=0)


def search(x_train: np.ndarray, x_test: np.ndarray, y_train: np.ndarray, y_test: np.ndarray) -> SVC:
    """Try a few support vector machines, each in a nested run that autologging fills."""
    best, best_accuracy = None, -1.0
    for c in (0.1, 1.0, 10.0):
        with mlflow.start_run(run_name=f"svc-C={c}", nested=True):
            model = SVC(C=c).fit(x_train, y_train)
            accuracy = accuracy_score(y_test, model.predict(x_test))
            mlflow.log_metric("accuracy", accuracy)
            if accuracy > best_accuracy:
                best, best_accuracy = model, accuracy
    mlflow.log_metric("best_accuracy", best_accuracy)
    return best


def learning_curve(
    x_train: np.ndarray, x_test: np.ndarray, y_train: np.ndarray, y_test: np.ndarray
) -> None:
    """One linear model, epoch by epoch: a metric with a history."""
    model = SGDClassifier(loss="log_loss", random_state=0)
    order = np.random.default_rng(0)
    for epoch in range(EPOCHS):
        shuffled = order.permutation(len(x_train))
        model.partial_fit(x_train[shuffled], y_train[shuffled], classes=np.unique(y_train))
        mlflow.log_metrics(
            {
                "train_loss": log_loss(y_train, model.predict_proba(x_train)),
                "test_accuracy": model.score(x_test, y_test),
            },
            step=epoch,
        )


@mlflow.trace(name="recognise")
def recognise(model: mlflow.pyfunc.PyFuncModel, images: np.ndarray) -> list[int]:
    """Predict, with a trace of the call."""
    with mlflow.start_span("predict") as span:
        span.set_inputs({"images": len(images)})
        answer = [int(digit) for digit in model.predict(images)]
        span.set_outputs(answer)
    return answer


def main() -> None:
    """Run the whole example."""
    mlflow.set_experiment("digits")
    mlflow.sklearn.autolog(log_models=False, silent=True)
    x_train, x_test, y_train, y_test = load_data()

    with mlflow.start_run(run_name="search") as run:
        best = search(x_train, x_test, y_train, y_test)
        mlflow.sklearn.autolog(disable=True, silent=True)
        learning_curve(x_train, x_test, y_train, y_test)

        figure = ConfusionMatrixDisplay.from_estimator(best, x_test, y_test).figure_
        mlflow.log_figure(figure, "confusion_matrix.png")
        mlflow.log_dict({"classes": list(range(10)), "pixels": 64}, "data/shape.json")

        mlflow.sklearn.log_model(
            best,
            name="model",
            input_example=x_test[:2],
            registered_model_name=MODEL_NAME,
        )

    client = MlflowClient()
    newest = max(
        client.search_model_versions(f"name='{MODEL_NAME}'"), key=lambda found: int(found.version)
    )
    client.set_registered_model_alias(MODEL_NAME, "champion", newest.version)

    champion = mlflow.pyfunc.load_model(f"models:/{MODEL_NAME}@champion")
    answer = recognise(champion, x_test[:5])
    mlflow.flush_trace_async_logging()

    print(f"run      {run.info.run_id}")
    print(f"model    {MODEL_NAME} version {newest.version} (champion)")
    print(f"digits   {answer}, really {[int(digit) for digit in y_test[:5]]}")


if __name__ == "__main__":
    main()
