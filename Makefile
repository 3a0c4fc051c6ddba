# The few things one does here. MPI chooses the MPI (see tools/with-mpi): make test MPI=mpich
MPI ?= default
WITH := tools/with-mpi $(MPI)
# What demo builds; `release` and `dev` are built sooner, and slower.
PROFILE ?= dist
BUILT := $(patsubst dev,debug,$(PROFILE))

.PHONY: help demo test bench check format api site performance trust setup
.DEFAULT_GOAL := help

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## build harness and tune three small kernels with it, under mpirun
	@echo "demo: 1 of 3: looking for compilers and an MPI"
	@tools/setup demo
	@echo "demo: 2 of 3: building harness (5 to 30 minutes the first time, the last step many of them)"
	@$(WITH) cargo build --profile $(PROFILE)
	@echo "demo: 3 of 3: tuning three kernels (half a minute)"
	@rm -f target/demo.journal
	@$(WITH) sh -c '"$$HARNESS_MPIRUN" -n 1 "$$CARGO_TARGET_DIR/$(BUILT)/harness" --journal target/demo.journal campaigns/gemm_tune.lua'
	@$(WITH) sh -c 'echo "demo: that was $$HARNESS_MPIRUN -n 1 $$CARGO_TARGET_DIR/$(BUILT)/harness campaigns/gemm_tune.lua; its records: target/demo.journal"'

test: ## all tests, with the MPI on the search path
	@tools/setup test
	@$(WITH) cargo test --quiet --no-run
	@$(WITH) cargo test --lib --bins --tests --no-fail-fast

bench: ## the figures of docs/performance.md of this machine, and whether hot paths take more instructions than they did
	@tools/setup bench
	@benches/page --show
	@benches/counts

check: ## formatting, lints, docs, the walls between the rooms, types and formatting of the Lua
	cargo fmt --all --check
	$(WITH) cargo clippy --quiet --all-targets -- -D warnings
	tools/with-mpi none cargo clippy --quiet --all-targets --no-default-features -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(WITH) cargo doc --quiet --no-deps --document-private-items
	RUSTDOCFLAGS="-D warnings" tools/with-mpi none cargo doc --quiet --no-deps --document-private-items --no-default-features
	tools/with-mpi none cargo test --quiet --no-default-features --test layers
	tools/lua-check
	tools/lua-format --check

format: ## format the Rust and the Lua
	cargo fmt --all
	tools/lua-format

api: ## write docs/api.md from lua/meta/harness.lua
	@HARNESS_WRITE_PAGES=1 tools/with-mpi none cargo test --quiet --no-default-features --test docs -- api >/dev/null

site: ## make a site of README and docs, with a search and the API reference
	@tools/site

performance: ## run the benches and put the figures into docs/performance.md
	@benches/page

trust: ## rerun what docs/trust.md shows (what is timed only on a calm machine)
	@benches/page trust

setup: ## install what building and testing needs (root or sudo)
	@tools/setup test
