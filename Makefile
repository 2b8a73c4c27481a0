# make fit     trains digits          make fit FLAGS="--dataset=fashion_mnist --run_dir=runs/fashion"
# make export  writes runs/mnist as SavedModel and .tflite files to exported/
#              make export RUN_DIR=runs/fashion EXPORTED=fashion/
# make web     serves a page that draws with them     make web EXPORTED=folder/
# make test    runs the tests
# make lint    checks the style, the types and which room imports which
# All make .venv first if it is missing or its requirements have changed.

PYTHON ?= python3
VENV ?= .venv
FLAGS ?=
RUN_DIR ?= runs/mnist
EXPORTED ?= exported/
# CUDA if an NVIDIA driver answers; force either with make REQUIREMENTS=requirements-cpu.txt (or requirements.txt).
REQUIREMENTS ?= $(if $(shell nvidia-smi -L 2>/dev/null),requirements.txt,requirements-cpu.txt)

.PHONY: fit export web test lint clean

fit: $(VENV)/installed-$(REQUIREMENTS)
	$(VENV)/bin/python -m keras_dcgan.fit $(FLAGS)

export: $(VENV)/installed-requirements-export.txt
	$(VENV)/bin/python -m export --run_dir="$(RUN_DIR)" --out="$(EXPORTED)" $(FLAGS)

# npm writes this file last, so an interrupted installation runs again.
web: export/web/node_modules/.package-lock.json
	$(PYTHON) export/web/serve.py --exported="$(EXPORTED)" $(FLAGS)

export/web/node_modules/.package-lock.json: export/web/package-lock.json
	cd export/web && npm ci --omit=dev

test: $(VENV)/installed-requirements-dev.txt
	$(VENV)/bin/python -m pytest --numprocesses=2 --dist=loadfile

lint: $(VENV)/installed-requirements-dev.txt
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

# A copy of each requirements file marks what is installed.
$(VENV)/installed-$(REQUIREMENTS): $(REQUIREMENTS) | $(VENV)/bin/pip
	$(VENV)/bin/pip install --disable-pip-version-check -r $(REQUIREMENTS)
	cp $(REQUIREMENTS) $@

$(VENV)/installed-requirements-dev.txt: requirements-export.txt requirements-onnx.txt requirements-server.txt requirements-cloud.txt

$(VENV)/installed-requirements-%.txt: requirements-%.txt $(VENV)/installed-$(REQUIREMENTS)
	$(VENV)/bin/pip install --disable-pip-version-check -r $<
	cp $< $@

$(VENV)/bin/pip:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || \
	  { echo "error: $(PYTHON) is not Python 3.11 to 3.13; choose one with make PYTHON=python3.12" >&2; exit 2; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo "error: $(PYTHON) cannot make environments; run: apt-get install python3-venv" >&2; exit 2; }
	$(PYTHON) -m venv --upgrade-deps $(VENV)

clean:
	rm -rf $(VENV)
