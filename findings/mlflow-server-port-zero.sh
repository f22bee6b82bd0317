#!/usr/bin/env bash
# MLflow 3.17.2: `mlflow server --port 0` listens on a port that the system chose and prints it, but
# tells its own job workers (LLM judges, online scorers, the gateway behind them) that the server is
# at port 0: MLFLOW_TRACKING_URI=http://127.0.0.1:0 and MLFLOW_GATEWAY_URI=http://127.0.0.1:0.
#
# Expected: either a refused option, as with a port that is taken, or workers that are told the port
# that the server has. Behaviour seen: pages and the REST API work, so nothing looks wrong, and
# whatever a job sends goes to another port.
#
# Why it matters here: whoever starts a server for a workspace has to choose its port, and then to
# keep it from others until the server has bound it.
#
# Prints "as described" and ends with 0 while this is so; with 1 when it changed. Needs Linux, procps,
# Python 3.10 to 3.13 and a package index; two minutes. Without this project's package.
set -euo pipefail

command -v pgrep >/dev/null || { echo "pgrep is needed (Debian: procps)"; exit 2; }
work=$(mktemp -d)
server=
stop() {
  [ -z "$server" ] || kill -KILL -- "-$server" 2>/dev/null || true
  rm -rf "$work"
}
trap stop EXIT
cd "$work"
unset PIP_CONSTRAINT "${!MLFLOW_@}" "${!_MLFLOW_@}"
export MLFLOW_DISABLE_TELEMETRY=true HOME=$work no_proxy=127.0.0.1
python3 -m venv env
env/bin/pip install -q 'mlflow==3.17.2'

# In a session of its own, so that it can be ended with all its workers.
setsid env/bin/mlflow server --backend-store-uri "sqlite:///$work/mlflow.db" \
  --host 127.0.0.1 --port 0 --workers 1 >log 2>&1 &
server=$!

value() { tr '\0' '\n' <"/proc/$1/environ" 2>/dev/null | sed -n "s/^$2=//p"; }

port='' runner=''
for _ in $(seq 120); do
  port=$(sed -n 's|.*running on http://127\.0\.0\.1:\([0-9]*\).*|\1|p' log)
  runner=$(pgrep -s "$server" -f 'mlflow\.server\.jobs\._job_runner' | head -n 1 || true)
  [ -n "$port" ] && [ -n "$runner" ] && [ -n "$(value "$runner" MLFLOW_TRACKING_URI)" ] && break
  kill -0 "$server" || { cat log; exit 1; }
  sleep 1
done
health=$(python3 -c "import sys, urllib.request as r; print(r.urlopen(sys.argv[1]).read().decode())" \
  "http://127.0.0.1:$port/health")

printf 'mlflow                  %s\n' "$(env/bin/pip list 2>/dev/null | awk '$1 == "mlflow" {print $2}')"
printf 'the server listens on   %s, and answers %s\n' "$port" "$health"
printf 'its workers are told    MLFLOW_TRACKING_URI=%s\n' "$(value "$runner" MLFLOW_TRACKING_URI)"
printf '                        MLFLOW_GATEWAY_URI=%s\n' "$(value "$runner" MLFLOW_GATEWAY_URI)"

if [ "$port" != 0 ] && [ "$health" = OK ] &&
  [ "$(value "$runner" MLFLOW_TRACKING_URI)" = http://127.0.0.1:0 ] &&
  [ "$(value "$runner" MLFLOW_GATEWAY_URI)" = http://127.0.0.1:0 ]; then
  echo "as described"
else
  echo "CHANGED"
  exit 1
fi
