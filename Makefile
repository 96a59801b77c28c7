# For people and for CI alike. A machine needs python3 (>= 3.11) with pip, and make; the rest comes here.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PIN := --constraint constraints.txt
LITELLM := .venv-litellm
LITELLM_PIN := --constraint constraints-litellm.txt
# Two processes share the tests, file by file; those on Ray, which share a cluster, have it to themselves.
SHARED := --numprocesses 2 --dist loadfile --ignore tests/adapters/ray

.DEFAULT_GOAL := check
.PHONY: venv litellm demo test check lint coverage bench nightly site peers clean

# The environment: pinned, the package editable, only what the project uses today.
# (Without pip at first: some systems ship venv without it.)
venv: $(STAMP)

$(STAMP): pyproject.toml constraints.txt requirements-bfcl.txt
	test -x $(BIN)/python || $(PYTHON) -m venv --clear --without-pip $(VENV)
	$(PYTHON) -m pip --python $(BIN)/python install --quiet $(PIN) pip
	$(BIN)/python -m pip install --quiet $(PIN) --build-constraint constraints.txt \
		--editable . --group dev
	$(BIN)/python -m pip install --quiet --no-deps --require-hashes --requirement requirements-bfcl.txt
	touch $@

# LiteLLM needs older releases of what other frameworks need, so that it has an environment of its own.
litellm: $(LITELLM)/.installed

$(LITELLM)/.installed: pyproject.toml constraints-litellm.txt
	test -x $(LITELLM)/bin/python || $(PYTHON) -m venv --clear --without-pip $(LITELLM)
	$(PYTHON) -m pip --python $(LITELLM)/bin/python install --quiet $(LITELLM_PIN) pip
	$(LITELLM)/bin/python -m pip install --quiet $(LITELLM_PIN) --build-constraint constraints-litellm.txt \
		--editable .[litellm,testing] pytest
	touch $@

# The main job: a real transformer with slow tools, both ways; then real cases, both ways, compared.
demo: venv
	$(BIN)/python -m examples.tiny_llm.demo
	$(BIN)/python -m benchmarks.bfcl

# Everything that must hold before a merge.
test: lint litellm
	$(BIN)/python -m pytest $(SHARED)
	$(BIN)/python -m pytest tests/adapters/ray
	$(LITELLM)/bin/python -m pytest tests/adapters/litellm
	@$(BIN)/python -m tests.peers

# The fast part of `test`, for the edit loop.
check: lint
	$(BIN)/python -m pytest $(SHARED) -m "not slow and not planted and not bfcl and not framework"

lint: venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

coverage: venv
	$(BIN)/coverage run -m pytest
	$(BIN)/coverage report

# Each prints one JSON object as its last line; progress goes to stderr.
bench: venv litellm
	$(BIN)/python benchmarks/import_cost.py --json
	$(BIN)/python -m benchmarks.overhead --json
	$(BIN)/python benchmarks/scale.py --calls 100000 --json
	$(BIN)/python benchmarks/programs.py --programs 20000 --processes 2 --json
	$(BIN)/python -m benchmarks.simulate --json
	$(BIN)/python -m benchmarks.crowd --json
	$(BIN)/python -m benchmarks.protocol --json
	$(BIN)/python -m benchmarks.makespan --json
	$(BIN)/python -m benchmarks.engine --device cpu --json
	$(BIN)/python -m benchmarks.adapters --json
	$(BIN)/python -m benchmarks.page --json
	$(BIN)/python -m benchmarks.mcp --json
	$(BIN)/python -m benchmarks.ray_overhead --json
	$(LITELLM)/bin/python -m benchmarks.adapters --only litellm --json
	$(BIN)/python -m benchmarks.fidelity --tasks 2000 --json

# The property suite with fresh examples, many more of them.
nightly: venv
	HYPOTHESIS_PROFILE=nightly $(BIN)/python -m pytest tests/properties -o faulthandler_timeout=0

# The documentation as a site, in build/site.
site: venv
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# Programs that tests talk to: MCP servers on Node.js and Python, and a browser. Needs node and npm; Chromium
# is installed with apt where that is at hand, and is for you to install where it is not.
peers: .peers/.installed
	@command -v chromium chromium-browser google-chrome >/dev/null \
		|| apt-get install -y -qq --no-install-recommends chromium \
		|| (apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium)

.peers/.installed: tests/adapters/mcp/peers/package-lock.json tests/adapters/mcp/peers/requirements.txt
	mkdir -p .peers
	cp tests/adapters/mcp/peers/package.json tests/adapters/mcp/peers/package-lock.json .peers/
	npm ci --prefix .peers --no-audit --no-fund --loglevel=error
	test -x .peers/python/bin/python || $(PYTHON) -m venv --clear --without-pip .peers/python
	$(PYTHON) -m pip --python .peers/python/bin/python install --quiet \
		--requirement tests/adapters/mcp/peers/requirements.txt
	touch $@

clean:
	rm -rf $(VENV) $(LITELLM) .peers build dist htmlcov .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
