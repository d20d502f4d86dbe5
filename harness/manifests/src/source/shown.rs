//! Paths as people know them: relative to what they gave, never to where the program put a copy.

use std::path::{Component, Path, PathBuf};

/// A directory or file, and the name that it was given by.
#[derive(Clone, Debug)]
pub(super) struct Shown {
    root: PathBuf,
    name: String,
}

impl Shown {
    /// `root` is absolute and without links.
    pub(super) fn new(root: PathBuf, name: String) -> Self {
        Self { root, name }
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The name of an absolute path.
    pub(super) fn of(&self, path: &Path) -> String {
        let (prefix, base) = match self.name.strip_prefix("git:").and_then(|rest| rest.split_once(':')) {
            Some((revision, path)) => (format!("git:{revision}:"), path),
            None => (String::new(), self.name.as_str()),
        };
        let shown = normal(&Path::new(base).join(between(&self.root, path)));
        format!("{prefix}{}", shown.display())
    }

    /// A text in which the root's own path and its parents' are replaced by their names.
    pub(super) fn in_text(&self, text: &str) -> String {
        let Some((revision, below)) = self.name.strip_prefix("git:").and_then(|rest| rest.split_once(':')) else {
            return text.to_owned();
        };
        let above = Path::new(below).components().count();
        let checkout = self.root.ancestors().nth(above).unwrap_or(&self.root);
        text.replace(&checkout.display().to_string(), &format!("git:{revision}:"))
    }
}

/// The way from one absolute directory to an absolute path.
fn between(from: &Path, to: &Path) -> PathBuf {
    let (from, to) = (from.components().collect::<Vec<_>>(), to.components().collect::<Vec<_>>());
    let common = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
    let up = from[common..].iter().map(|_| Component::ParentDir);
    up.chain(to[common..].iter().copied()).collect()
}

/// Without `.` and without what `..` takes back.
pub(super) fn normal(path: &Path) -> PathBuf {
    let mut parts: Vec<Component<'_>> = Vec::new();
    for part in path.components() {
        match (part, parts.last()) {
            (Component::CurDir, _) | (Component::ParentDir, Some(Component::RootDir)) => {}
            (Component::ParentDir, Some(Component::Normal(_))) => drop(parts.pop()),
            _ => parts.push(part),
        }
    }
    if parts.is_empty() { PathBuf::from(".") } else { parts.into_iter().collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_told_from_where_the_user_stands() {
        for (case, name, path, want) in [
            ("below", "deploy", "/repo/deploy/base/a.yaml", "deploy/base/a.yaml"),
            ("beside", "deploy", "/repo/base/a.yaml", "base/a.yaml"),
            ("the working directory", ".", "/repo/deploy/a.yaml", "a.yaml"),
            ("above the working directory", ".", "/repo/base/a.yaml", "../base/a.yaml"),
            ("absolute", "/repo/deploy", "/repo/base/a.yaml", "/repo/base/a.yaml"),
            ("a revision", "git:main:deploy", "/repo/base/a.yaml", "git:main:base/a.yaml"),
        ] {
            let shown = Shown::new("/repo/deploy".into(), name.to_owned());
            assert_eq!(shown.of(Path::new(path)), want, "{case}");
        }
        let revision = Shown::new("/tmp/x/deploy/web".into(), "git:main:deploy/web".to_owned());
        assert_eq!(revision.in_text("open /tmp/x/deploy/a.yaml"), "open git:main:/deploy/a.yaml");
    }
}
