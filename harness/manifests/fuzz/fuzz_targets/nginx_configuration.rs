//! Any text: a configuration or an error.
#![cfg_attr(feature = "run", no_main)]

libfuzzer_sys::fuzz_target!(|text: &str| drop(manifests::nginx::parse(text, "nginx.conf")));

/// libFuzzer brings another; this one lets the target be compiled without it.
#[cfg(not(feature = "run"))]
fn main() {}
