#!/bin/sh
# All tests, in two processes side by side that take as long: of training, lung masks and batches, and all others.
# Usage: run_tests.sh BIN_FOLDER
set -u
# Threads of torch that wait sleep instead of spinning, or two processes would slow each other down.
export OMP_WAIT_POLICY=PASSIVE
# Networks as small as those of the tests are no faster on two threads: they only take more of both cores.
export OMP_NUM_THREADS=1
log=$(mktemp)
"$1/python" -m pytest Testing/unit/training Testing/unit/pipeline/test_lung*.py Testing/unit/pipeline/test_batch.py >"$log" 2>&1 &
beside=$!
# Ctrl-C does not reach what a shell runs in the background.
trap 'kill "$beside" 2>/dev/null; rm -f "$log"' EXIT
trap 'exit 130' INT TERM

"$1/python" -m pytest --ignore-glob='*/test_lung*.py' --ignore-glob='*/test_batch.py' \
    Testing/unit/pipeline Testing/mrml Testing/panel Testing/render
others=$?
wait "$beside"
training=$?
cat "$log"
exit $((training > others ? training : others))
