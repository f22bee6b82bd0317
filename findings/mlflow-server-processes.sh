#!/usr/bin/env bash
# MLflow 3.17.2: `mlflow server --workers 1`, on SQLite and with nothing configured, is not one worker
# but ten Python processes: the command, the worker, a job runner, and seven consumers of job queues.
# The eight of the jobs each import MLflow and wait; seen: 1.3 GB together, and 0.4 GB the server.
#
# Expected: one process that serves, and the command that started it. The switch that gives exactly
# that is MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false.
#
# Why it matters here: whoever starts a server for one workspace, on a laptop or in a test, starts
# these too; and whoever stops it has to stop the children of a child.
#
# Prints "as described" and ends with 0 while this is so; with 1 when it changed. Needs Linux, procps,
# Python 3.10 to 3.13 and a package index; three minutes. Without this project's package.
set -euo pipefail

command -v pgrep >/dev/null || { echo "pgrep is needed (Debian: procps)"; exit 2; }
work=$(mktemp -d)
server=
stop() {
  [ -z "$server" ] || kill -KILL -- "-$server" 2>/dev/null || true
  server=
}
trap 'stop; rm -rf "$work"' EXIT
cd "$work"
unset PIP_CONSTRAINT "${!MLFLOW_@}" "${!_MLFLOW_@}"
export MLFLOW_DISABLE_TELEMETRY=true HOME=$work
python3 -m venv env
env/bin/pip install -q 'mlflow==3.17.2'

# How many processes of the server have a command line that matches $1.
count() { pgrep -c -s "$server" -f "$1" || true; }

# start NAME [VARIABLE=VALUE]: a server in a session of its own, once it answers; sets $processes.
start() {
  local name=$1 log=$1.log before=-1 port=''
  shift
  setsid env "$@" "$work/env/bin/mlflow" server --backend-store-uri "sqlite:///$work/$name.db" \
    --host 127.0.0.1 --port 0 --workers 1 >"$log" 2>&1 &
  server=$!
  for _ in $(seq 120); do
    port=$(sed -n 's|.*running on http://127\.0\.0\.1:\([0-9]*\).*|\1|p' "$log")
    [ -n "$port" ] && break
    kill -0 "$server" || { cat "$log"; exit 1; }
    sleep 1
  done
  # All of them are there when half a minute brought no other one.
  while [ "$before" != "$(count python)" ]; do
    before=$(count python)
    sleep 30
  done
  processes=$before
}

# Of the processes whose command line matches $1: memory in MB, shared pages by their share.
memory() {
  local pid sum=0
  for pid in $(pgrep -s "$server" -f "$1"); do
    sum=$((sum + $(awk '$1 == "Pss:" {sum = $2} END {print sum + 0}' "/proc/$pid/smaps_rollup")))
  done
  echo $((sum / 1024))
}

start jobs
with=$processes runners=$(count 'mlflow\.server\.jobs\._job_runner')
consumers=$(count huey_consumer)
of_jobs=$(memory 'mlflow\.server\.jobs|huey_consumer') of_server=$(memory 'uvicorn|mlflow server')
stop
start plain MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false
without=$processes
stop

printf 'mlflow                                %s\n' \
  "$(env/bin/pip list 2>/dev/null | awk '$1 == "mlflow" {print $2}')"
printf 'processes of `server --workers 1`     %s: %s job runner, %s consumers\n' \
  "$with" "$runners" "$consumers"
printf 'memory of the server, and of the jobs %s MB, %s MB\n' "$of_server" "$of_jobs"
printf 'processes without job execution       %s\n' "$without"

if [ "$with $runners $consumers $without" = "10 1 7 2" ] && [ "$of_jobs" -gt "$of_server" ]; then
  echo "as described"
else
  echo "CHANGED"
  exit 1
fi
