#!/bin/sh
# Trains the shipped packages anew: three trainings, each on from the one before, and the mean of their weights;
# the network for chests, in two parts; that for single slices, in three parts, and the mean of two. The first
# network for chests teaches what comes after it. Seeds are those of the presets where none is given. Run again,
# it goes on where it was stopped. The threshold is the calibrated one, as that of the shipped package (0.35). Of
# its calibration only that of equalised pictures came from as many batches as a training now takes, with
# 'covidselfseg calibrate --equalised --batches 96'.
# Usage: train_shipped.sh FOLDER, with covidselfseg on the PATH and the real scans in $COVIDSELFSEG_DATA
set -eu
models=$1
recipes=$(dirname "$0")
package=covidselfseg-default.safetensors
chests=$models/covidselfseg-lungs
slices=$models/covidselfseg-lungs-slice

# A folder and options; one that is done is not calibrated again.
train() {
    folder=$models/$1
    shift
    [ -f "$folder/$package" ] || covidselfseg train "$models/cohort" "$folder" "$@"
}

covidselfseg prepare-shipped "$models/cohort"
train first --gan-iterations 1200 --segmenter-iterations 1200
train second --preset "$recipes/pictures.toml" --start-from "$models/first/$package"
train third --preset "$recipes/nets.toml" --start-from "$models/second/$package"
covidselfseg mean "$models/cohort" "$models/$package" --of "$models/first/$package" 0.25 \
    --of "$models/second/$package" 0.25 --of "$models/third/$package" 0.5
covidselfseg train-lungs "$chests-4500.safetensors"
covidselfseg train-lungs "$chests.safetensors" --iterations 1300 --rate 1e-3 --seed 24 \
    --start-from "$chests-4500.safetensors" --teacher "$chests-4500.safetensors"
covidselfseg train-lungs --slices "$slices-5000.safetensors"
covidselfseg train-lungs --slices "$slices-8200.safetensors" --iterations 3200 --rate 1.5e-3 \
    --start-from "$slices-5000.safetensors" --teacher "$chests-4500.safetensors"
covidselfseg train-lungs --slices "$slices-9700.safetensors" --iterations 1500 --rate 1e-3 --seed 22 \
    --start-from "$slices-8200.safetensors" --teacher "$chests-4500.safetensors"
covidselfseg mean-lungs "$slices.safetensors" --of "$slices-8200.safetensors" 0.5 --of "$slices-9700.safetensors" 0.5
