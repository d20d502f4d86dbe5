//! A root file system of programs of this machine: each with the libraries that its loader names, and nothing else.
//!
//! Same files, same bytes: entries are in order and carry no time, so that Docker's own cache knows a layer again.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::docker::DockerError;

/// Files of an image by their path in it.
#[derive(Debug, Default)]
pub(crate) struct Root {
    entries: BTreeMap<PathBuf, Entry>,
}

#[derive(Debug, PartialEq, Eq)]
enum Entry {
    Folder { mode: u32, owner: u64 },
    File { bytes: Vec<u8>, mode: u32 },
    Link(PathBuf),
}

impl Root {
    /// A folder that `owner` may write in.
    pub(crate) fn folder(&mut self, path: &str, mode: u32, owner: u64) -> &mut Self {
        self.put(Path::new(path), Entry::Folder { mode, owner })
    }

    /// A file of this text.
    pub(crate) fn text(&mut self, path: &str, text: &str, mode: u32) -> &mut Self {
        self.put(Path::new(path), Entry::File { bytes: text.as_bytes().to_vec(), mode })
    }

    /// A symbolic link.
    pub(crate) fn link(&mut self, path: &str, target: &str) -> &mut Self {
        self.put(Path::new(path), Entry::Link(PathBuf::from(target)))
    }

    /// A file of this machine, at `to` in the image.
    pub(crate) fn copy(&mut self, from: &Path, to: &Path) -> Result<&mut Self, DockerError> {
        let error = |source| DockerError::File { path: from.to_owned(), source };
        let bytes = fs::read(from).map_err(error)?;
        let mode = fs::metadata(from).map_err(error)?.permissions().mode() & 0o755;
        Ok(self.put(to, Entry::File { bytes, mode }))
    }

    /// A program or library of this machine with all libraries that it loads, at `to`.
    pub(crate) fn program(&mut self, from: &Path, to: &Path) -> Result<&mut Self, DockerError> {
        for library in libraries(from)? {
            self.copy(&library, &library)?;
        }
        self.copy(from, to)
    }

    /// A folder of this machine with everything in it that `wanted` takes; libraries among it with theirs.
    pub(crate) fn tree(&mut self, folder: &Path, wanted: &dyn Fn(&Path) -> bool) -> Result<&mut Self, DockerError> {
        let mut open = vec![folder.to_owned()];
        while let Some(folder) = open.pop() {
            for entry in fs::read_dir(&folder).map_err(DockerError::file(&folder))? {
                let path = entry.map_err(DockerError::file(&folder))?.path();
                if path.is_dir() {
                    open.push(path);
                } else if wanted(&path) && path.extension().is_some_and(|ending| ending == "so") {
                    self.program(&path, &path)?;
                } else if wanted(&path) {
                    self.copy(&path, &path)?;
                }
            }
        }
        Ok(self)
    }

    /// Puts an entry, with the folders above it.
    fn put(&mut self, path: &Path, entry: Entry) -> &mut Self {
        for above in path.ancestors().skip(1).filter(|above| above.parent().is_some()) {
            self.entries.entry(above.to_owned()).or_insert(Entry::Folder { mode: 0o755, owner: 0 });
        }
        self.entries.insert(path.to_owned(), entry);
        self
    }

    /// As a tar archive.
    pub(crate) fn tar(&self) -> Result<Vec<u8>, DockerError> {
        let mut archive = tar::Builder::new(Vec::new());
        for (path, entry) in &self.entries {
            let inside = path.strip_prefix("/").unwrap_or(path);
            let mut header = tar::Header::new_gnu();
            header.set_mtime(0);
            let added = match entry {
                Entry::Folder { mode, owner } => {
                    header.set_entry_type(tar::EntryType::Directory);
                    header.set_mode(*mode);
                    header.set_uid(*owner);
                    header.set_gid(*owner);
                    header.set_size(0);
                    archive.append_data(&mut header, inside, std::io::empty())
                }
                Entry::File { bytes, mode } => {
                    header.set_mode(*mode);
                    header.set_uid(0);
                    header.set_gid(0);
                    header.set_size(bytes.len() as u64);
                    archive.append_data(&mut header, inside, bytes.as_slice())
                }
                Entry::Link(target) => {
                    header.set_entry_type(tar::EntryType::Symlink);
                    header.set_mode(0o777);
                    header.set_uid(0);
                    header.set_gid(0);
                    header.set_size(0);
                    archive.append_link(&mut header, inside, target)
                }
            };
            added.map_err(DockerError::file(path))?;
        }
        archive.into_inner().map_err(DockerError::file(Path::new("the archive of an image")))
    }
}

/// The libraries that a program loads, by the word of its own loader. None if it is static.
fn libraries(program: &Path) -> Result<Vec<PathBuf>, DockerError> {
    let told = Command::new("ldd").arg(program).output().map_err(DockerError::file(program))?;
    Ok(loaded(&String::from_utf8_lossy(&told.stdout)))
}

/// The paths in what `ldd` prints: `libz.so.1 => /lib/libz.so.1 (0x…)` or `/lib64/ld-linux-x86-64.so.2 (0x…)`.
fn loaded(text: &str) -> Vec<PathBuf> {
    let path = |line: &str| {
        let line = line.trim();
        let path = line.split_once(" => ").map_or(line, |(_, path)| path);
        let path = path.split_whitespace().next().filter(|path| path.starts_with('/'))?;
        (!path.ends_with(':')).then(|| PathBuf::from(path))
    };
    text.lines().filter_map(path).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_those_that_the_loader_names() {
        let told = "\tlinux-vdso.so.1 (0x00007ffd)\n\tlibz.so.1 => /lib/x86_64-linux-gnu/libz.so.1 (0x00007f)\n\
                    \tlibgone.so => not found\n\t/lib64/ld-linux-x86-64.so.2 (0x00007f)\n";
        let want = ["/lib/x86_64-linux-gnu/libz.so.1", "/lib64/ld-linux-x86-64.so.2"].map(PathBuf::from);
        assert_eq!(loaded(told), want);
        assert_eq!(loaded("\tnot a dynamic executable\n"), Vec::<PathBuf>::new());
    }

    #[test]
    fn the_same_files_make_the_same_archive_with_folders_before_what_is_in_them() {
        let make = |reversed: bool| {
            let mut root = Root::default();
            if reversed {
                root.text("/etc/b", "b", 0o644).folder("/data", 0o700, 999).text("/etc/a", "a", 0o644);
            } else {
                root.text("/etc/a", "a", 0o644).text("/etc/b", "b", 0o644).folder("/data", 0o700, 999);
            }
            root.link("/etc/c", "/etc/a").tar().unwrap()
        };
        let bytes = make(false);
        assert_eq!(bytes, make(true));
        let mut archive = tar::Archive::new(bytes.as_slice());
        let entries = archive.entries().unwrap().map(Result::unwrap);
        let told: Vec<_> =
            entries.map(|entry| (entry.path().unwrap().display().to_string(), entry.header().uid().unwrap())).collect();
        let want = [("data", 999), ("etc", 0), ("etc/a", 0), ("etc/b", 0), ("etc/c", 0)];
        assert_eq!(told, want.map(|(path, owner)| (path.to_owned(), owner)));
    }
}
