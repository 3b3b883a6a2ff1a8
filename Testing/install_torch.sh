#!/bin/sh
# Install PyTorch into the virtual environment whose bin folder is $1.
#
# Without an NVIDIA driver the CPU build is wanted: PyPI's Linux wheel would bring gigabytes of CUDA. It is taken
# from wherever pip is set up to look, else through uv, which knows where PyTorch keeps its builds for each
# machine; PyPI's own wheel is the last resort.
set -eu
bin=$1
torch=torch==2.13.0
if [ "$(uname -sm)" = "Darwin x86_64" ]; then
    torch=torch==2.2.2 # the last one for Intel Macs
fi

if "$bin/python" -c 'import torch' 2>/dev/null; then
    exit 0
fi
if ! command -v nvidia-smi >/dev/null 2>&1 && [ "$(uname -s)" = Linux ]; then
    if "$bin/python" -m pip install --quiet "$torch+cpu" 2>/dev/null; then
        exit 0
    fi
fi
"$bin/python" -m pip install --quiet uv
"$bin/uv" pip install --quiet --python "$bin/python" --torch-backend auto "$torch" ||
    "$bin/python" -m pip install "$torch"
