# Everything runs from a virtual environment of the project's own; nothing outside this folder is touched.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: demo test lint bench soak example-flights lock clean

demo: .venv/core
	$(BIN)/sidecar demo

test: .venv/test lint
	$(BIN)/python -m pytest

lint: .venv/test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: .venv/test
	$(BIN)/python -m bench

soak: .venv/test
	$(BIN)/python -m bench.soak

example-flights: .venv-examples/ready
	.venv-examples/bin/python -m examples.flights

# Each set of packages is locked with hashes; the environment is made anew only when its lock changes.
.venv/core: locks/core.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP) --require-hashes -r locks/core.txt
	$(PIP) --no-deps -e .
	touch $@

.venv/test: .venv/core locks/test.txt
	$(PIP) --require-hashes -r locks/test.txt
	touch $@

# Apart from the others: the training libraries want another protobuf than onnxruntime takes.
.venv-examples/ready: locks/examples.txt pyproject.toml
	test -x .venv-examples/bin/python || $(PYTHON) -m venv .venv-examples
	.venv-examples/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r locks/examples.txt
	.venv-examples/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	touch $@

# Needs `uv`; run after a change of the dependencies in pyproject.toml.
lock:
	uv pip compile --quiet --universal --no-emit-index-url --no-annotate --generate-hashes pyproject.toml -o locks/core.txt
	uv pip compile --quiet --universal --no-emit-index-url --no-annotate --generate-hashes pyproject.toml --extra test -c locks/core.txt -o locks/test.txt
	uv pip compile --quiet --universal --no-emit-index-url --no-annotate --generate-hashes pyproject.toml --extra examples -o locks/examples.txt
	printf 'hatchling>=1.27,<2\n' | uv pip compile --quiet --universal --no-emit-index-url --no-annotate --generate-hashes - -o locks/build.txt

clean:
	rm -rf .venv .venv-examples .cache .mypy_cache .ruff_cache .pytest_cache
