#!/bin/sh
# All tests, in two processes side by side: those of training, and all others.
# Usage: run_tests.sh BIN_FOLDER
set -u
# Threads of torch that wait sleep instead of spinning, or two processes would slow each other down.
export OMP_WAIT_POLICY=PASSIVE
log=$(mktemp)
trap 'rm -f "$log"' EXIT

"$1/python" -m pytest Testing/unit/training >"$log" 2>&1 &
"$1/python" -m pytest Testing/unit/pipeline Testing/mrml Testing/panel Testing/render
others=$?
wait $!
training=$?
cat "$log"
exit $((training > others ? training : others))
