# Everything a developer runs. `make demo` and `make test` do all their own set-up; a second run does none again.

# The first interpreter that really runs: a version manager's shim may be there and be broken.
PYTHON ?= $(shell for name in python3 python3.14 python3.13 python3.12 python3.11 /usr/bin/python3; do \
	test "$$($$name -c 'import ensurepip, sys; print(sys.version_info >= (3, 11))' 2>/dev/null)" = True && \
	echo $$name && exit; done; echo python3)
VENV   := .venv/bin
SETUP  := @$(PYTHON) scripts/setup.py

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-unit test-native test-browser lint format bench models onnx-conformance player wheel clean distclean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## install all that the demo and the tests need, and no more
	$(SETUP) frameworks adapter chromium node

demo: ## name the types of files with Magika's model, natively and in headless Chromium, and compare
	$(SETUP) python 'adapter?' 'chromium?' 'node?'
	@$(VENV)/python -m demos.magika.demo

test: ## run all tests: without a GPU, natively on WebGPU, in the browser (what this machine lacks is said, and skipped)
	$(SETUP) frameworks 'adapter?' 'chromium?' 'node?'
	@$(VENV)/python scripts/run_tests.py

test-unit: ## run the tests that need no GPU driver and no browser
	$(SETUP) frameworks
	@$(VENV)/python scripts/run_tests.py no-device

test-native: ## run the tests that need a Vulkan adapter
	$(SETUP) frameworks adapter chromium
	@$(VENV)/python scripts/run_tests.py native

test-browser: ## run the tests in headless Chromium
	$(SETUP) frameworks adapter chromium node
	@$(VENV)/python scripts/run_tests.py browser

lint: ## check format, lint and types
	$(SETUP) python lint
	@$(VENV)/ruff format --check . && $(VENV)/ruff check . && $(VENV)/mypy

format: ## format the code, and mend what ruff can
	$(SETUP) python lint
	@$(VENV)/ruff format . && $(VENV)/ruff check --fix .

bench: ## measure against ONNX Runtime Web, side by side in Chromium, on WebGPU and on the CPU
	$(SETUP) python chromium peers
	@$(VENV)/python -m benchmarks.browser
	@$(VENV)/python -m benchmarks.browser --device cpu

models: ## measure the named models on all devices, and write docs/models.md (a run that was cut short goes on)
	$(SETUP) frameworks adapter chromium node
	@$(VENV)/python -m scripts.models_table

onnx-conformance: ## run all of ONNX's own node tests, and write docs/onnx-coverage.md (a run that was cut short goes on)
	$(SETUP) python
	@$(VENV)/python scripts/onnx_coverage.py

player: ## assemble the CPU device's player (*.wat) into the .wasm files that are committed
	$(SETUP) python
	@$(VENV)/python scripts/build_player.py

wheel: ## build the wheel into dist/, and the smaller one for Pyodide (no compiler, no tools) into dist/pyodide/
	$(SETUP) python lint
	@$(VENV)/python -m hatchling build -t wheel
	@$(VENV)/python -c "import pathlib, webree.tools.site_parts as s; s.runtime_wheel(pathlib.Path('dist/pyodide'))"
	@ls -l dist/*.whl dist/pyodide/*.whl

clean: ## remove what was built and cached, keep what was installed
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache
	find . -name __pycache__ -not -path './.venv/*' -not -path './node_modules/*' -prune -exec rm -rf {} +

distclean: clean ## remove what was installed too
	rm -rf .venv node_modules
