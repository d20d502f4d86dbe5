//! Whatever bytes come: an answer or an error, never a panic.

use std::path::Path;

use proptest::prelude::*;

const RENDERED: &str = include_str!("../../../../kind-config/platform/base/nginx-gateway/deployment.yaml");
const NGINX: &str = include_str!("../../../../kind-config/platform/base/nginx-gateway/nginx.conf");

/// Sound text with some bytes overwritten: gets further than noise.
fn mutated(text: &'static str) -> impl Strategy<Value = Vec<u8>> {
    let bytes = proptest::sample::select(b"{}[];:#&*\"'\\$ \n-x09!|>%\xff".to_vec());
    prop::collection::vec((0..text.len(), bytes), 1..6).prop_map(|edits| {
        let mut mutated = text.as_bytes().to_vec();
        for (at, byte) in edits {
            mutated[at] = byte;
        }
        mutated
    })
}

/// Words of the language in any order.
fn words(words: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(proptest::sample::select(words), 0..60).prop_map(|words| words.concat().into_bytes())
}

const YAML: &[&str] = &[
    "a: ", "- ", "\n", "  ", "&a ", "*a", "{", "}", "[", "]", ",", "|\n", ">", "---\n", "'", "\"", "<<: ", "!!int ",
    "1",
];
const CONF: &[&str] = &[
    "http ",
    "server ",
    "location ",
    "/a",
    "{",
    "}",
    ";",
    " ",
    "\n",
    "listen 80;",
    "return 200;",
    "\"",
    "limit_req ",
    "zone=a",
    "proxy_pass ",
    "http://",
    "$",
    "upstream a",
    "events",
    "#",
    "limit_req_zone $remote_addr zone=a:1m;",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn manifests_never_panic(
        bytes in prop_oneof![prop::collection::vec(any::<u8>(), 0..400), words(YAML), mutated(RENDERED)]
    ) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("m.yaml");
        std::fs::write(&file, &bytes).unwrap();
        let loaded = manifests::load(&manifests::Source::Path(file.clone()), "production").map(|loaded| loaded.platform);
        // Text that is UTF-8 reads the same without a file.
        if let Ok(text) = std::str::from_utf8(&bytes) {
            let read = manifests::read(text, &file.display().to_string());
            prop_assert_eq!(loaded.map_err(|e| e.to_string()), read.map_err(|e| e.to_string()));
        }
        let _nodes = manifests::load_nodes(Some(Path::new(&file)));
    }

    #[test]
    fn nginx_never_panics_and_places_stay_within_the_file(
        bytes in prop_oneof![prop::collection::vec(any::<u8>(), 0..400), words(CONF), mutated(NGINX)]
    ) {
        let text = String::from_utf8_lossy(&bytes);
        let last = text.lines().count() as u32 + 1;
        if let Ok(parsed) = manifests::nginx::parse(&text, "nginx.conf") {
            prop_assert!(parsed.config.unplayed.iter().all(|(_, place)| (1..=last).contains(&place.line)));
            let limits = parsed.config.servers.iter().flat_map(|s| &s.locations).flat_map(|l| &l.limits);
            prop_assert!(limits.into_iter().all(|limit| usize::from(limit.zone.0) < parsed.config.zones.len()));
        }
    }
}
