# What people type. Everything also works by cargo alone; this installs what is missing first.

export CARGO_BUILD_JOBS ?= $(shell scripts/jobs.sh)
export CARGO_TERM_COLOR ?= auto
CARGO ?= cargo

.DEFAULT_GOAL := help
.PHONY: help setup setup-tests build demo test ci format-check lint openapi openapi-check bench bench-data doctor test-random test-llama test-kubernetes

help: ## Show this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 24

setup: ## Install what is missing (PostgreSQL, bubblewrap, git, python3, a C compiler)
	@scripts/setup.sh

setup-tests: ## The same for the tests, which also need Docker's engine
	@scripts/setup.sh --tests

build: setup ## Build the release programs: target/release/{journeyman,execd,execd-static}
	$(CARGO) build --release --workspace --bins
	scripts/static-execd.sh release

demo: setup ## Play the main job from a request to a verified patch
	demo/run.sh

test: setup-tests ## Run every test, on real components
	$(CARGO) build --workspace --bins --features kubernetes
	$(CARGO) test --workspace --tests --features kubernetes

ci: setup-tests format-check lint openapi-check test ## What continuous integration runs

format-check:
	$(CARGO) fmt --all --check

lint:
	$(CARGO) clippy --workspace --lib --bins --tests --examples --features kubernetes -- -D warnings

openapi: ## Write openapi.yaml anew from the code
	$(CARGO) run --quiet --bin journeyman --features kubernetes -- openapi > openapi.yaml.new
	mv openapi.yaml.new openapi.yaml

# With the features of the tests, whose programs it then is: another set is another build of everything.
openapi-check:
	$(CARGO) run --quiet --bin journeyman --features kubernetes -- openapi | diff -u openapi.yaml - \
		|| { echo "openapi.yaml is not what the code says: run \`make openapi\`" >&2; exit 1; }

bench: setup-tests ## Measure, each figure against a floor of the same run (docs/BENCHMARKS.md)
	$(CARGO) build --release --workspace --bins
	scripts/static-execd.sh release
	$(CARGO) run --release --example bench -- --write

bench-data: setup-tests ## The same calls on 10,000 users, 200,000 tasks, 5 million events and on a hundredth (JOURNEYMAN_BENCH_SCALE for less)
	$(CARGO) build --release --workspace --bins
	$(CARGO) run --release --example bench -- --only data --scale $${JOURNEYMAN_BENCH_SCALE:-1}

doctor: setup ## Try everything that the main job needs on this machine
	$(CARGO) run --quiet --bin journeyman -- doctor

test-random: setup-tests ## Play 1,000 random tasks to their ends (about 4 minutes; JOURNEYMAN_RANDOM_RUNS=n for others)
	$(CARGO) build --workspace --bins
	JOURNEYMAN_RANDOM_RUNS=$${JOURNEYMAN_RANDOM_RUNS:-1000} $(CARGO) test --test it -- random:: --nocapture

test-llama: setup ## Speak to a real model server (llama.cpp, built on first use: about 20 minutes)
	scripts/test-llama.sh

test-kubernetes: ## Test workspaces in a real cluster (built on first use: about 10 minutes; takes root)
	scripts/test-kubernetes.sh
