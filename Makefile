# What contributors and CI call. Nothing here is needed to build or run: that is `cargo` alone.

FUZZ_TARGETS := query name corefile zonefile changes reply serve resp gotemplate ixfr feed update journal tsig
FUZZ_SECONDS ?= 20
BINARY = $(or $(CARGO_TARGET_DIR),target)/release/catena
SHIPPED = $(or $(CARGO_TARGET_DIR),target)/dist/catena

.PHONY: run test lint unit smoke kills bench fuzz miri compare cases need-cargo-fuzz need-dnspython need-peers

run: ## serve Corefile.example on port 1053
	cargo run --release -- -conf Corefile.example

test: lint unit smoke ## all that must hold before a commit

lint: ## format and clippy, warnings as errors
	cargo fmt --all --check
	rustfmt --check --edition 2024 fuzz/fuzz_targets/*.rs
	cargo clippy --workspace --all-targets -- -D warnings

unit: need-peers ## all tests: rooms, plugins, scenarios, README examples, tidy, the real binary and its peers
	cargo test --workspace

smoke: need-cargo-fuzz ## FUZZ_SECONDS (20) of each fuzz target, from the seeds
	.ci/fuzz smoke $(FUZZ_SECONDS) $(FUZZ_TARGETS)

fuzz: need-cargo-fuzz ## search for longer: FUZZ_SECONDS=600 make fuzz [FUZZ_TARGETS=name]
	.ci/fuzz search $(FUZZ_SECONDS) $(FUZZ_TARGETS)

kills: need-peers ## 200 kills of a server that takes updates: no update that was confirmed is lost
	CATENA_KILLS=200 cargo test --release --test interop what_was_confirmed_survives_kills -- --nocapture

bench: ## the real binary, as packages ship it, beside its peers: benches/README.md
	cargo build --profile dist
	CATENA=$${CATENA:-$(abspath $(SHIPPED))} cargo bench --bench servers

miri: ## the allocator's tests under miri: needs a nightly toolchain with the components miri and rust-src
	cargo +nightly miri test -p catena-sys --lib allocator

compare: ## every scenario put to this server and to the `coredns` on PATH
	cargo test --test compare

cases: need-dnspython ## black-box cases that others wrote, where they lie beside the repository
	cargo build --release
	.ci/cases $(BINARY) ../shared/cases

need-cargo-fuzz:
	@command -v c++ g++ clang++ >/dev/null || .ci/install c++ g++
	@cargo fuzz --version >/dev/null 2>&1 || cargo install cargo-fuzz --locked

# The programs that tests/interop compares with, and the packages that have them.
PEERS := knotd:knot nsd:nsd named:bind9 unbound:unbound dnsdist:dnsdist fstrm_capture:fstrm-bin \
	dnstap-read:bind9-dnsutils kdig:knot-dnsutils redis-server:redis-server

need-peers:
	@PATH="$$PATH:/usr/sbin"; for peer in $(PEERS); do \
		command -v $${peer%:*} >/dev/null || .ci/install $${peer%:*} $${peer#*:} || exit 1; \
	done

need-dnspython:
	@command -v python3 >/dev/null || .ci/install python3 python3
	@python3 -c 'import dns' 2>/dev/null || python3 -m pip install --quiet dnspython 2>/dev/null \
		|| .ci/install dnspython python3-dnspython
	@python3 -c 'import dns'
