//! Any text: a platform or an error.
#![cfg_attr(feature = "run", no_main)]

libfuzzer_sys::fuzz_target!(|text: &str| drop(manifests::read(text, "fuzz.yaml")));

/// libFuzzer brings another; this one lets the target be compiled without it.
#[cfg(not(feature = "run"))]
fn main() {}
