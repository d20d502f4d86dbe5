//! What goes into each image, and from where.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::docker::{DockerError, program};
use crate::images::{Image, ImageError};
use crate::rootfs::Root;

/// The user of nginx in upstream's image.
pub(crate) const NGINX_USER: u64 = 101;
/// The user of PostgreSQL and of Redis in upstream's images.
pub(crate) const DATA_USER: u64 = 999;
const NOBODY: u64 = 65_534;

/// An image before it is built.
#[derive(Debug)]
pub(crate) struct Recipe {
    pub(crate) root: Root,
    /// What follows `FROM scratch` and the files.
    pub(crate) dockerfile: String,
    /// The version of what it holds, by its own word.
    pub(crate) version: String,
}

/// Collects what an image is made of. `mock_service`: that program, if it is not beside this one.
pub(crate) fn recipe(image: Image, mock_service: Option<&Path>) -> Result<Recipe, ImageError> {
    match image {
        Image::Nginx => nginx(),
        Image::Postgres => postgres(),
        Image::Redis => redis(),
        Image::MockService => mock(mock_service),
        Image::Driver => driver(),
    }
}

/// What upstream's image has by itself, for a ConfigMap that only has files of `conf.d`.
const NGINX_CONF: &str =
    "events {}\nhttp {\n    include /etc/nginx/mime.types;\n    include /etc/nginx/conf.d/*.conf;\n}\n";

fn nginx() -> Result<Recipe, ImageError> {
    let nginx = wanted(Image::Nginx, "nginx")?;
    let mut root = base();
    root.program(&nginx, Path::new("/usr/sbin/nginx"))?;
    let types = Path::new("/etc/nginx/mime.types");
    if types.is_file() {
        root.copy(types, types)?;
    } else {
        root.text("/etc/nginx/mime.types", "types { text/html html; application/json json; }\n", 0o644);
    }
    root.text("/etc/nginx/nginx.conf", NGINX_CONF, 0o644);
    // Where distributions and upstream have it write, whatever the configuration says.
    for folder in ["/var/cache/nginx", "/var/lib/nginx", "/var/log/nginx", "/run"] {
        root.folder(folder, 0o755, NGINX_USER);
    }
    root.link("/var/run", "/run");
    root.link("/var/log/nginx/access.log", "/dev/stdout").link("/var/log/nginx/error.log", "/dev/stderr");
    // As upstream's image has it: SIGQUIT lets requests in flight end.
    let dockerfile = "STOPSIGNAL SIGQUIT\nCMD [\"/usr/sbin/nginx\", \"-g\", \"daemon off;\"]\n".to_owned();
    Ok(Recipe { root, dockerfile, version: version(Image::Nginx, &nginx, "-v")? })
}

fn redis() -> Result<Recipe, ImageError> {
    let server = wanted(Image::Redis, "redis-server")?;
    let mut root = base();
    root.program(&server, Path::new("/usr/bin/redis-server"))?;
    if let Some(client) = program("redis-cli") {
        root.program(&client, Path::new("/usr/bin/redis-cli"))?;
    }
    let shell = wanted(Image::Redis, "sh")?;
    root.program(&std::fs::canonicalize(&shell).map_err(DockerError::file(&shell))?, Path::new("/bin/sh"))?;
    root.program(&wanted(Image::Redis, "timeout")?, Path::new("/usr/bin/timeout"))?;
    root.folder("/data", 0o755, DATA_USER).text("/start", include_str!("../images/redis/start"), 0o755);
    let dockerfile = format!("USER {DATA_USER}:{DATA_USER}\nWORKDIR /data\nCMD [\"/bin/sh\", \"/start\"]\n");
    Ok(Recipe { root, dockerfile, version: version(Image::Redis, &server, "--version")? })
}

/// The programs of PostgreSQL that a server and its standby use.
const POSTGRES: [&str; 9] =
    ["postgres", "initdb", "pg_basebackup", "pg_ctl", "pg_dump", "pg_isready", "pg_restore", "pg_rewind", "psql"];

fn postgres() -> Result<Recipe, ImageError> {
    let bin = postgres_programs().ok_or(ImageError::NotInstalled(Image::Postgres))?;
    let mut root = base();
    for name in POSTGRES {
        root.program(&bin.join(name), &bin.join(name))?;
        root.link(&format!("/usr/bin/{name}"), &bin.join(name).display().to_string());
    }
    // initdb has a shell start the server.
    let shell = wanted(Image::Postgres, "sh")?;
    let shell = std::fs::canonicalize(&shell).map_err(DockerError::file(&shell))?;
    root.program(&shell, Path::new("/bin/sh"))?;
    for name in ["dd", "rm", "sleep"] {
        root.program(&wanted(Image::Postgres, name)?, &Path::new("/usr/bin").join(name))?;
    }
    // What compiles queries is larger than all the rest, and loaded only if it is there.
    root.tree(&pg_config(&bin, "--pkglibdir"), &|path| {
        path.extension().is_some_and(|ending| ending == "so") && !path.to_string_lossy().contains("llvmjit")
    })?;
    root.tree(&pg_config(&bin, "--sharedir"), &|_| true)?;
    for zone in ["/usr/share/zoneinfo/UTC", "/usr/share/zoneinfo/GMT", "/usr/share/zoneinfo/Etc/UTC"].map(Path::new) {
        if zone.is_file() {
            root.copy(zone, zone)?;
        }
    }
    root.folder("/data", 0o700, DATA_USER).folder("/var/run/postgresql", 0o755, DATA_USER);
    root.text("/start", include_str!("../images/postgres/start"), 0o755);
    // As upstream's image has it: SIGINT is a fast shutdown.
    let dockerfile =
        format!("USER {DATA_USER}:{DATA_USER}\nENV TZ=UTC\nSTOPSIGNAL SIGINT\nCMD [\"/bin/sh\", \"/start\"]\n");
    Ok(Recipe { root, dockerfile, version: version(Image::Postgres, &bin.join("postgres"), "--version")? })
}

fn mock(given: Option<&Path>) -> Result<Recipe, ImageError> {
    let beside = || std::env::current_exe().ok().map(|own| own.with_file_name("mock-service"));
    let found = given.map(Path::to_owned).or_else(|| beside().filter(|file| file.is_file()));
    let mock = found.or_else(|| program("mock-service")).ok_or(ImageError::NoMockService)?;
    let mut root = base();
    root.program(&mock, Path::new("/mock-service"))?;
    let dockerfile = format!("USER {NOBODY}:{NOBODY}\nENTRYPOINT [\"/mock-service\"]\n");
    Ok(Recipe { root, dockerfile, version: version(Image::MockService, &mock, "--version")? })
}

fn driver() -> Result<Recipe, ImageError> {
    let own = std::env::current_exe().map_err(DockerError::file(Path::new("rehearse")))?;
    let mut root = base();
    root.program(&own, Path::new("/rehearse"))?;
    let dockerfile = format!("USER {NOBODY}:{NOBODY}\nENTRYPOINT [\"/rehearse\", \"drive\"]\n");
    Ok(Recipe { root, dockerfile, version: version(Image::Driver, &own, "--version")? })
}

/// What every image has: who is who, and a place to write.
fn base() -> Root {
    let mut root = Root::default();
    let users = [("root", 0), ("nginx", NGINX_USER), ("postgres", DATA_USER), ("nobody", NOBODY)];
    let passwd: String = users.iter().map(|(name, id)| format!("{name}:x:{id}:{id}::/tmp:/bin/sh\n")).collect();
    let mut group: String = users.iter().map(|(name, id)| format!("{name}:x:{id}:\n")).collect();
    // Debian's nginx, as root without a `user` of its own, works for nobody in this one.
    group += &format!("nogroup:x:{NOBODY}:\n");
    // Names are in the hosts file, and nowhere else.
    root.text("/etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\n", 0o644);
    root.text("/etc/passwd", &passwd, 0o644).text("/etc/group", &group, 0o644).folder("/tmp", 0o1777, 0);
    root
}

fn wanted(image: Image, name: &str) -> Result<PathBuf, ImageError> {
    let found = program(name).ok_or(ImageError::NotInstalled(image))?;
    Ok(std::fs::canonicalize(&found).map_err(DockerError::file(&found))?)
}

/// Where PostgreSQL 15 or later has its programs: distributions keep several versions side by side, off PATH.
pub fn postgres_programs() -> Option<PathBuf> {
    let on_path = program("postgres").and_then(|file| std::fs::canonicalize(file).ok());
    let side_by_side = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let mut versions: Vec<(u32, PathBuf)> = side_by_side
        .filter_map(|entry| {
            let folder = entry.ok()?.path();
            Some((folder.file_name()?.to_str()?.parse().ok()?, folder.join("bin")))
        })
        .filter(|(version, bin)| *version >= 15 && bin.join("postgres").is_file() && bin.join("initdb").is_file())
        .collect();
    versions.sort();
    let beside = on_path.and_then(|file| file.parent().map(Path::to_owned)).filter(|bin| bin.join("initdb").is_file());
    versions.pop().map(|(_, bin)| bin).or(beside)
}

/// A folder of PostgreSQL's, by its own word; where distributions leave out `pg_config`, by their custom.
fn pg_config(bin: &Path, which: &str) -> PathBuf {
    let own = bin.join("pg_config");
    let told = Command::new(&own).arg(which).output().ok().filter(|told| told.status.success());
    if let Some(told) = told {
        return PathBuf::from(String::from_utf8_lossy(&told.stdout).trim());
    }
    let version = bin.parent().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
    let version = version.unwrap_or_default();
    PathBuf::from(match which {
        "--pkglibdir" => format!("/usr/lib/postgresql/{version}/lib"),
        _ => format!("/usr/share/postgresql/{version}"),
    })
}

/// What a program says of its version: its first number with dots.
fn version(image: Image, program: &Path, argument: &str) -> Result<String, ImageError> {
    let told = Command::new(program).arg(argument).output().map_err(DockerError::file(program))?;
    let text = format!("{}{}", String::from_utf8_lossy(&told.stdout), String::from_utf8_lossy(&told.stderr));
    number(&text).ok_or_else(|| ImageError::Another { image, path: program.to_owned() })
}

fn number(text: &str) -> Option<String> {
    let words = text.split(|c: char| c.is_whitespace() || matches!(c, '/' | '=' | '('));
    let is = |word: &&str| word.contains('.') && word.starts_with(|c: char| c.is_ascii_digit());
    words.into_iter().find(is).map(|word| word.trim_matches(|c: char| !c.is_ascii_alphanumeric()).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_what_programs_say() {
        for (text, want) in [
            ("nginx version: nginx/1.22.1", Some("1.22.1")),
            ("Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.2.1", Some("7.0.15")),
            ("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)", Some("15.18")),
            ("mock-service 0.1.0", Some("0.1.0")),
            ("nothing", None),
        ] {
            assert_eq!(number(text).as_deref(), want, "{text}");
        }
    }

    #[test]
    fn a_program_of_that_name_without_a_version_is_not_it() {
        let told = version(Image::Nginx, &wanted(Image::Nginx, "echo").unwrap(), "no number").unwrap_err();
        assert!(told.to_string().contains("for the image of nginx, and does not say its version"), "{told}");
    }
}
