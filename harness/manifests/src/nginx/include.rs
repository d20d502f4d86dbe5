//! `include`: files at hand take the place of the directive that names them.

use super::NginxError;
use super::tree::{self, DIRECTIVES_MAX, Directive};
use platform::Place;

/// Files within files: more is a circle.
const DEPTH_MAX: u32 = 8;

/// Directives with those of included files in their place. An include of nothing at hand stays, to be listed.
pub(super) fn expand(
    directives: Vec<Directive>,
    files: &[(String, String)],
    count: &mut u32,
    depth: u32,
) -> Result<Vec<Directive>, NginxError> {
    let mut expanded = Vec::with_capacity(directives.len());
    for mut directive in directives {
        *count += 1;
        let refuse = |problem: String, fix: &str| NginxError::Refused {
            place: Place { file: directive.file.to_string(), line: directive.line },
            directive: directive.name.clone(),
            problem,
            fix: fix.to_owned(),
        };
        if *count > DIRECTIVES_MAX {
            return Err(refuse(format!("there are more than {DIRECTIVES_MAX} directives"), "split the gateway"));
        }
        if let Some(block) = directive.block.take() {
            directive.block = Some(expand(block, files, count, depth)?);
            expanded.push(directive);
            continue;
        }
        let ("include", [wanted]) = (directive.name.as_str(), directive.args.as_slice()) else {
            expanded.push(directive);
            continue;
        };
        let mut found: Vec<_> = files.iter().filter(|(name, _)| fits(wanted, name)).collect();
        found.sort();
        if !found.is_empty() && depth == DEPTH_MAX {
            return Err(refuse(
                format!("includes nest deeper than {DEPTH_MAX}"),
                "look for a file that includes itself",
            ));
        }
        for (name, text) in &found {
            expanded.extend(expand(tree::parse(text, name)?, files, count, depth + 1)?);
        }
        // The media types that nginx brings change no answer that is played.
        if found.is_empty() && last(wanted) != "mime.types" {
            expanded.push(directive);
        }
    }
    Ok(expanded)
}

/// Whether `include wanted` names this file: by its last part, since a ConfigMap is mounted anywhere.
fn fits(wanted: &str, name: &str) -> bool {
    glob(last(wanted).as_bytes(), last(name).as_bytes())
}

fn last(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// `*` and `?` of a shell, in time that grows with the product of both lengths at most.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(c) if *c == b'?' || *c == text[t] => (p, t) = (p + 1, t + 1),
            _ => {
                let Some((at, from)) = star else { return false };
                star = Some((at, from + 1));
                (p, t) = (at + 1, from + 1);
            }
        }
    }
    pattern[p..].iter().all(|c| *c == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_files_as_a_shell_does() {
        for (wanted, name, want) in [
            ("/etc/nginx/conf.d/*.conf", "api.conf", true),
            ("conf.d/*.conf", "ConfigMap/gateway/api.conf", true),
            ("conf.d/*.conf", "api.conf.bak", false),
            ("zones.conf", "zones.conf", true),
            ("zone?.conf", "zones.conf", true),
            ("*a*b", "xaxab", true),
        ] {
            assert_eq!(fits(wanted, name), want, "{wanted} {name}");
        }
    }
}
