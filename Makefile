# make demo | app | test | test-slow | lint | bench | benchmark | models: each makes its own virtual environment first and can be repeated.

PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
OUT ?= demo
SCAN ?=
PICTURE ?=

.PHONY: demo app test test-slow lint bench benchmark models clean

demo: $(VENV)/.ready
	$(BIN)/covidselfseg demo --output $(OUT) $(if $(SCAN),"$(SCAN)")

# The panel and its views in the test host (not 3D Slicer): make app SCAN=ct.nrrd, make app PICTURE=window.png
app: $(VENV)/.ready-dev
	$(BIN)/python Testing/app.py $(if $(SCAN),--scan "$(SCAN)") $(if $(PICTURE),--picture "$(PICTURE)")

test: $(VENV)/.ready-dev
	sh Testing/run_tests.sh $(BIN)

# What `make test` leaves out, for it takes many minutes: every preset learns, and the module's self test runs a worker.
test-slow: $(VENV)/.ready-dev
	$(BIN)/python -m pytest -m slow

lint: $(VENV)/.ready-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.ready-dev
	$(BIN)/python -m Testing.bench --output bench

# How right the models are: every package, baseline and protocol on one sheet. Goes on where it was stopped.
benchmark: $(VENV)/.ready
	$(BIN)/covidselfseg benchmark --output benchmark --phantoms 4 --builtin-lungs

# Trains the shipped packages anew into models/: hours to a day on two cores, less on a GPU. Goes on where it was stopped.
models: $(VENV)/.ready
	PATH="$(CURDIR)/$(BIN):$$PATH" sh Resources/Recipes/train_shipped.sh models

$(VENV)/.ready: pyproject.toml Testing/install_torch.sh
	$(PYTHON) -m venv $(VENV)
	sh Testing/install_torch.sh $(BIN)
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

# Independent implementations that tests compare with. Without dependencies, since they must not replace torch;
# `noise` is compiled on install. Where one is missing, its tests compare with closed forms or stored values.
$(VENV)/.ready-dev: $(VENV)/.ready
	$(BIN)/python -m pip install --quiet --editable ".[dev]"
	$(BIN)/python -m pip install --quiet noise==1.2.2 || echo "noise was not built; going on without it"
	$(BIN)/python -m pip install --quiet --no-deps monai==1.6.1 pytorch-metric-learning==2.9.0 \
	    || echo "going on without MONAI and pytorch-metric-learning"
	touch $@

clean:
	rm -rf $(VENV) demo bench benchmark models
