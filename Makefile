# Everything runs from a virtual environment of the project's own; nothing outside this folder is touched.
PYTHON ?= python3
BIN := .venv/bin
# The tests of whatever is compiled, and whole processes with it.
TWIN := tests/wire tests/proxy tests/decide/test_breaker.py tests/decide/test_ceiling.py tests/decide/test_pressure.py \
	tests/app/test_worker.py tests/process/test_reload.py tests/process/test_stopping.py tests/architecture/test_compiled.py
# Some of the sidecar's own faults are brought in by replacing methods, which an extension does not let itself be done.
TWIN_CHAOS := $(filter-out %/test_own_faults.py,$(wildcard tests/chaos/test_*.py))
COMPILED := SIDECAR_TWIN=compiled PYTHONPATH=$(CURDIR)/build/compiled PYTHONSAFEPATH=1
# A file's tests share what they set up. tests/conftest.py orders the files.
PYTEST := $(BIN)/python -m pytest --dist loadfile --no-loadscope-reorder
# Tests, so many at a time: most of them wait for processes that they started. A busy machine may fail one that waits, so
# what failed has one more try alone; a fault of the product fails again, and the log has both.
tests = $(PYTEST) --numprocesses $(1) $(2) || { test $$? -eq 1 && $(PYTEST) --numprocesses 0 --last-failed $(2); }
# Bytecode is made when a module is first imported, for most of what is installed never is. It is kept here, also where
# the environment would have it thrown away: a sidecar's processes take three times as long to start without.
unexport PYTHONDONTWRITEBYTECODE
export PYTHONPYCACHEPREFIX := $(CURDIR)/.cache/pycache
# Packages are put into an environment by uv, in a tenth of pip's time, and lie on the disk once, however many
# environments have them; pip does it where only pip was told of a mirror or a certificate.
UV := $(BIN)/uv
export UV_CACHE_DIR := $(CURDIR)/.cache/uv
export UV_PYTHON_DOWNLOADS := never
PIP := -m pip --disable-pip-version-check --quiet
install = $(UV) pip install --quiet --python $(1)/bin/python $(2) || $(BIN)/python $(PIP) --python $(1) install --no-compile $(2)
# $(call environment,ITS FOLDER,ITS LOCK)
define environment
test -x $(1)/bin/python || $(UV) venv --quiet --python $(BIN)/python $(1)
$(call install,$(1),--require-hashes -r $(2))
endef
# Real servers that the tests start, a caller of our API, what looks at our packages: each apart, for their packages would
# not live beside ours or each other's.
SERVERS := .venv-mlflow .venv-mlserver .venv-kserve .venv-triton .venv-schemathesis .venv-supply

# Prometheus and Alertmanager, which the alert rules are tried with.
ALERTING := .cache/alerting
# zsh and fish, which completion is tried in.
SHELLS := .cache/shells
# What Kubernetes says of its manifests.
SCHEMAS := .cache/schemas

# Two builds at once would mix their files.
ALONE := $(if $(shell command -v flock),flock build/lock)

.PHONY: demo test test-browser prepared compiled lint audit sbom image-steps bench bench-drift bench-decide soak example-flights example-loop example-ray lock clean

demo: .venv/core
	$(BIN)/sidecar demo

# Twice where it counts: what is compiled has the same tests as its source. Python's safe path keeps this folder, where
# the sources lie, off the front of the search path; children inherit both variables.
test: prepared
	$(call tests,3,--ignore tests/chaos --ignore tests/browser)
	$(call tests,3,tests/chaos)
	export $(COMPILED); $(call tests,3,$(TWIN))

# The dashboard in a real Chromium: SIDECAR_BROWSER, the machine's own, or what `playwright install chromium` brings. Apart
# from the others, for a machine may have none, and no test is passed over in silence.
test-browser: .venv/test
	$(call tests,0,tests/browser)

# Two at a time: unpacking, the types and the compiler are bound by one core each.
prepared:
	$(MAKE) --no-print-directory --jobs 2 lint compiled $(SERVERS:%=%/ready) $(ALERTING)/ready $(SHELLS)/ready $(SCHEMAS)/ready

# The product as it is shipped: `PYTHONPATH=build/compiled PYTHONSAFEPATH=1 .venv/bin/sidecar run ...`
compiled: .venv/test
	mkdir -p build
	$(ALONE) $(MAKE) --no-print-directory build/compiled/.made

lint: .venv/test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/hadolint --failure-threshold warning --no-color Dockerfile
	$(BIN)/mypy

# Known weaknesses of the packages that we ship and develop with. No part of `make lint`: only pypi.org itself answers,
# whereas a mirror of packages has no such pages, and an audit that could ask nobody fails.
audit: .venv-supply/ready
	.venv-supply/bin/pip-audit --strict --require-hashes --disable-pip -r locks/core.txt -r locks/test.txt

# What is in an installation: CycloneDX, made of the lock; the same lock gives the same file.
sbom: .venv/test .venv-supply/ready
	mkdir -p build
	$(BIN)/python -m scripts.write_sbom build/sbom.cdx.json

# The Dockerfile's steps in a clean root made of Debian's packages, and what comes of them run as a container would.
# As root; about five minutes.
image-steps: .venv/core
	$(BIN)/python -m scripts.image_steps

bench: .venv/test compiled
	$(BIN)/python -m bench

# The statistics on real data, beside their peers; the first time these are installed under .cache/.
bench-drift: .venv/test
	$(BIN)/python -m bench.drift

# How gates decide and what deciding stands.
bench-decide: .venv/test .venv-mlflow/ready
	$(BIN)/python -m bench.decide

# The faults in their long form first: about a quarter of an hour.
soak: .venv/test compiled
	SIDECAR_CHAOS=long $(BIN)/python -m pytest tests/chaos
	$(COMPILED) $(BIN)/python -m pytest $(TWIN_CHAOS)
	$(BIN)/python -m bench.soak

example-flights: .venv-examples/ready
	.venv-examples/bin/python -m examples.flights

# The loop that closes: an event of the sidecar starts a training whose version takes over. About two minutes.
example-loop: .venv-examples/ready .venv-mlflow/ready
	.venv-examples/bin/python -m examples.loop

# A baseline built by Ray's tasks on this machine, as on a cluster; exits with 1 if it is not that of one process.
example-ray: .venv-ray/ready
	.venv-ray/bin/python -m examples.baseline_on_ray

build/compiled/.made: hatch_build.py pyproject.toml locks/build.txt $(shell find sidecar registry_client -type f ! -name '*.pyc')
	rm -rf build/wheel build/unpacked
	touch build/begun
	HATCH_BUILD_HOOKS_ENABLE=true $(BIN)/python -m hatchling build -t wheel -d build/wheel
	$(BIN)/python -m zipfile -e build/wheel/*.whl build/unpacked
	rm -rf build/compiled
	mv build/unpacked build/compiled
	touch -r build/begun $@

# Each set of packages is locked with hashes; the environment is made anew only when its lock changes.
$(UV): locks/installer.txt
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python $(PIP) install --no-compile --require-hashes -r $<
	touch $@

.venv/core: $(UV) locks/core.txt pyproject.toml
	$(call environment,.venv,locks/core.txt)
	$(call install,.venv,--no-deps -e .)
	touch $@

.venv/test: .venv/core locks/test.txt
	$(call environment,.venv,locks/test.txt)
	touch $@

# Apart from the others: the training libraries want another protobuf than onnxruntime takes.
.venv-examples/ready: $(UV) locks/examples.txt pyproject.toml
	$(call environment,.venv-examples,locks/examples.txt)
	$(call install,.venv-examples,--no-deps -e .)
	touch $@

# Apart from the others: Ray brings much that nothing else needs.
.venv-ray/ready: $(UV) locks/ray.txt pyproject.toml
	$(call environment,.venv-ray,locks/ray.txt)
	$(call install,.venv-ray,--no-deps -e .)
	touch $@

$(SERVERS:%=%/ready): .venv-%/ready: locks/%.txt $(UV)
	$(call environment,.venv-$*,$<)
	touch $@

# Unpacked here from Debian's packages, which apt checks the signatures of; its lists are kept here too, so that nothing
# outside this folder is touched. On another system: install the four programs and say DEBIAN_APT=true.
DEBIAN_APT ?= apt-get -qq -o Dir::State::Lists=$(CURDIR)/$(@D)/lists -o Dir::Cache=$(CURDIR)/$(@D)/archives \
	-o APT::Sandbox::User=root
$(ALERTING)/ready: PACKAGES := prometheus prometheus-alertmanager
$(SHELLS)/ready: PACKAGES := zsh zsh-common fish fish-common libpcre2-32-0
$(ALERTING)/ready $(SHELLS)/ready:
	mkdir -p $(@D)/lists/partial $(@D)/archives/partial
	$(DEBIAN_APT) update
	cd $(@D) && $(DEBIAN_APT) download $(PACKAGES)
	for package in $(@D)/*.deb; do test ! -e "$$package" || dpkg-deb --extract "$$package" $(@D); done
	rm -rf $(@D)/*.deb $(@D)/lists $(@D)/archives
	touch $@

$(SCHEMAS)/ready: locks/schemas.txt .venv/core
	mkdir -p $(SCHEMAS)
	$(BIN)/python $(PIP) download --no-deps --require-hashes -r $< -d $(SCHEMAS)
	touch $@

# Run after a change of the dependencies in pyproject.toml.
LOCK := $(UV) pip compile --quiet --universal --no-emit-index-url --no-annotate --generate-hashes pyproject.toml
lock: $(UV)
	$(LOCK) -o locks/core.txt
	$(LOCK) --extra test --group build -c locks/core.txt -o locks/test.txt
	$(LOCK) --extra examples -o locks/examples.txt
	$(LOCK) --extra ray -c locks/core.txt -o locks/ray.txt
	$(subst pyproject.toml,--group build,$(LOCK)) -c locks/test.txt -o locks/build.txt
	$(foreach server,installer $(SERVERS:.venv-%=%),$(subst pyproject.toml,locks/$(server).in,$(LOCK)) -o locks/$(server).txt &&) true

clean:
	rm -rf .venv .venv-examples .venv-ray $(SERVERS) build .cache .mypy_cache .ruff_cache .pytest_cache
