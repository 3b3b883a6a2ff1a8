#!/bin/sh
# All tests, in two processes side by side that take as long: those of training and of the doctor, and all others.
# Usage: run_tests.sh BIN_FOLDER
set -u
# Threads of torch that wait sleep instead of spinning, or two processes would slow each other down.
export OMP_WAIT_POLICY=PASSIVE
doctor=Testing/unit/pipeline/test_doctor.py
log=$(mktemp)
"$1/python" -m pytest Testing/unit/training "$doctor" >"$log" 2>&1 &
beside=$!
# Ctrl-C does not reach what a shell runs in the background.
trap 'kill "$beside" 2>/dev/null; rm -f "$log"' EXIT
trap 'exit 130' INT TERM

"$1/python" -m pytest --ignore="$doctor" Testing/unit/pipeline Testing/mrml Testing/panel Testing/render
others=$?
wait "$beside"
training=$?
cat "$log"
exit $((training > others ? training : others))
