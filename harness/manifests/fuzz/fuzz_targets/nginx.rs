//! Any text: a configuration or an error.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| drop(manifests::nginx::parse(text, "nginx.conf")));
