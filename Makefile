# One line each; read them as documentation. `make demo` and `make test` do all the set-up there is.
.PHONY: demo test check e2e update bench release clean

demo:    ; @tests/demo                     # ship an example twice in the sandbox, under load
test:    ; @tests/ensure-engine && tests/ensure-tools && cargo test --all-targets --no-fail-fast
check:   ; cargo fmt --check && cargo clippy --all-targets -- -D warnings && RUSTDOCFLAGS='-D warnings' cargo doc --no-deps --lib
e2e:     ; @tests/ensure-engine && cargo test --test e2e
update:  ; UPDATE=1 INSTA_UPDATE=always cargo test --test suite --lib   # snapshots and generated files
bench:   ; @tests/ensure-engine && cargo build --release && benches/run
release: ; cargo build --release
clean:   ; cargo clean && rm -rf examples/hello/target examples/hello/app/hello
