//! Any text: a platform or an error.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| drop(manifests::read(text, "fuzz.yaml")));
