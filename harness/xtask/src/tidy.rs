//! What holds for files: every package takes the workspace's lints, and no file tells where somebody's machine keeps
//! its things. Pure.

/// Folders that exist on one machine only. Kept in parts, or this file would be its own first finding.
const MACHINE: [(&str, &str); 3] = [("/", "work/"), ("/", "root/"), ("/", "home/")];

/// Whether a manifest takes the lints of the workspace.
pub(crate) fn takes_the_lints(manifest: &str) -> bool {
    let mut lines = manifest.lines().map(|line| line.split('#').next().unwrap_or_default().replace(' ', ""));
    let mut table = String::new();
    lines.any(|line| {
        if line.starts_with('[') {
            table.clone_from(&line);
        }
        (table.is_empty() && line == "lints.workspace=true") || (table == "[lints]" && line == "workspace=true")
    })
}

/// The lines, from 1, that name a folder of one machine, each with that folder.
pub(crate) fn machine_paths(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (index, line) in text.lines().enumerate() {
        for (slash, rest) in MACHINE {
            let folder = format!("{slash}{rest}");
            if line.match_indices(&folder).any(|(at, _)| begins_a_path(&line[..at])) {
                found.push((index + 1, folder));
            }
        }
    }
    found
}

/// Whether a slash after `before` is the root of a file system: `a/b`, `$HOME/b`, `./b` and `example.org/b` are not.
fn begins_a_path(before: &str) -> bool {
    before.chars().next_back().is_none_or(|last| !(last.is_alphanumeric() || "._-}/)*~".contains(last)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_takes_the_lints_or_does_not() {
        for (case, manifest, want) in [
            ("as a table", "[package]\nname = \"a\"\n\n[lints]\nworkspace = true # all\n", true),
            ("as a key", "lints.workspace = true\n", true),
            ("without", "[package]\nname = \"a\"\n", false),
            ("another table's key", "[lints]\n[dependencies.a]\nworkspace = true\n", false),
            ("commented out", "[lints]\n# workspace = true\n", false),
            ("its own", "[lints.rust]\nunsafe_code = \"allow\"\n", false),
        ] {
            assert_eq!(takes_the_lints(manifest), want, "{case}");
        }
    }

    #[test]
    fn a_path_of_one_machine_is_found() {
        let folder = |name: &str| format!("/{name}/");
        for (case, text, want) in [
            ("at the start", format!("{}a", folder("work")), vec![1]),
            ("quoted, on the second line", format!("a\n\"{}b\"", folder("home")), vec![2]),
            ("after an equals sign", format!("DIR={}c", folder("root")), vec![1]),
            ("relative", format!("../a{}b", folder("work")), vec![]),
            ("after a variable", format!("${{X}}{}b", folder("work")), vec![]),
            ("in an address", format!("https://example.org{}b", folder("home")), vec![]),
            ("another word", "/working/ /homeless/".to_owned(), vec![]),
        ] {
            let lines: Vec<usize> = machine_paths(&text).into_iter().map(|(line, _)| line).collect();
            assert_eq!(lines, want, "{case}");
        }
    }
}
