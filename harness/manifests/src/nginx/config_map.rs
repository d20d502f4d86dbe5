//! An nginx.conf inside of a ConfigMap manifest.

use std::collections::BTreeMap;

use serde::Deserialize;

#[derive(Deserialize)]
struct Document {
    #[serde(default)]
    kind: String,
    #[serde(default)]
    metadata: Metadata,
    #[serde(default)]
    data: BTreeMap<String, String>,
}

#[derive(Default, Deserialize)]
struct Metadata {
    #[serde(default)]
    name: String,
}

/// The files of the first ConfigMap in a YAML text that holds nginx's configuration, the main one first, each under
/// `ConfigMap/NAME/KEY`. `None`: there is none, so the text may be a configuration itself.
pub fn config_map(text: &str) -> Option<Vec<(String, String)>> {
    let documents = text.split("\n---").filter(|document| document.contains("ConfigMap"));
    documents.filter_map(|document| serde_saphyr::from_str::<Document>(document.trim_start_matches('-')).ok()).find_map(
        |document| {
            if document.kind != "ConfigMap" {
                return None;
            }
            let main = document.data.keys().find(|key| *key == "nginx.conf").or_else(|| {
                let has = |look: fn(&str) -> bool| {
                    document
                        .data
                        .iter()
                        .find(|(key, text)| {
                            key.rsplit_once('.').is_some_and(|(_, ending)| ending == "conf") && look(text)
                        })
                        .map(|(key, _)| key)
                };
                has(super::has_http).or_else(|| has(super::has_server))
            })?;
            let named = |key: &str| format!("ConfigMap/{}/{key}", document.metadata.name);
            let others = document.data.iter().filter(|(key, _)| *key != main);
            let main = [(named(main), document.data[main].clone())];
            Some(main.into_iter().chain(others.map(|(key, text)| (named(key), text.clone()))).collect())
        },
    )
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_main_file_comes_first() {
        let map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: edge}\ndata:\n  a.conf: |\n    gzip on;\n  \
                   nginx.conf: |\n    http {\n    include a.conf;\n    }\n";
        let files = super::config_map(&format!("kind: Service\n---\n{map}")).unwrap();
        assert_eq!(
            files.iter().map(|f| f.0.as_str()).collect::<Vec<_>>(),
            ["ConfigMap/edge/nginx.conf", "ConfigMap/edge/a.conf"]
        );
        let parsed = super::super::parse_with(&files[0].1, &files[0].0, &files[1..]).unwrap();
        assert!(parsed.config.unplayed.is_empty());
        assert_eq!(super::config_map("http { server { } } # ConfigMap"), None);
    }
}
