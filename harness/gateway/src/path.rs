//! The path that nginx compares and hands on: decoded, slashes merged, dots resolved.
//!
//! Source: `ngx_http_parse_complex_uri` (`src/http/ngx_http_parse.c`, 1.22) with `merge_slashes on`, the default.

/// A request target, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target<'a> {
    /// What locations are compared with. Bytes, since `%ff` is no text.
    pub(crate) path: Vec<u8>,
    /// Whether the path had a `%`: nginx escapes what it hands on only then.
    pub(crate) quoted: bool,
    /// The query, empty without one.
    pub(crate) query: &'a str,
}

/// `None` where nginx answers 400: above the root, `%` without two digits, or a zero byte. `merge` is `merge_slashes`.
pub(crate) fn parse(target: &str, merge: bool) -> Option<Target<'_>> {
    let target = target.split('#').next().unwrap_or_default();
    let (raw, query) = target.split_once('?').unwrap_or((target, ""));
    let mut path = Vec::with_capacity(raw.len());
    let mut state = State::Usual;
    let mut bytes = raw.bytes();
    while let Some(byte) = bytes.next() {
        let byte = match byte {
            b'%' => match hex(bytes.next()?)? << 4 | hex(bytes.next()?)? {
                0 => return None,
                // What would end the path or begin an escape is an ordinary byte once it is decoded.
                escaped @ (b'%' | b'#' | b'?') => {
                    state = State::Usual;
                    path.push(escaped);
                    continue;
                }
                decoded => decoded,
            },
            plain => plain,
        };
        state = match (state, byte) {
            (State::Slash, b'/') if merge => continue,
            (State::Dot, b'/') => {
                path.pop();
                State::Slash
            }
            (State::DotDot, b'/') => {
                up(&mut path)?;
                State::Slash
            }
            (before, byte) => {
                path.push(byte);
                match (before, byte) {
                    (_, b'/') => State::Slash,
                    (State::Slash, b'.') => State::Dot,
                    (State::Dot, b'.') => State::DotDot,
                    _ => State::Usual,
                }
            }
        };
    }
    match state {
        State::Dot => drop(path.pop()),
        State::DotDot => up(&mut path)?,
        State::Usual | State::Slash => {}
    }
    Some(Target { path, quoted: raw.contains('%'), query })
}

/// What stands before the next byte.
#[derive(Clone, Copy)]
enum State {
    Usual,
    Slash,
    Dot,
    DotDot,
}

/// Takes back `/..` and the segment before it, but not that segment's slash.
fn up(path: &mut Vec<u8>) -> Option<()> {
    path.truncate(path.len() - 3);
    let slash = path.iter().rposition(|byte| *byte == b'/')?;
    path.truncate(slash + 1);
    Some(())
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

/// Escapes as `ngx_escape_uri` does with `NGX_ESCAPE_URI`.
pub(crate) fn escape(path: &[u8]) -> String {
    let mut escaped = String::with_capacity(path.len());
    for &byte in path {
        if byte <= b' ' || byte >= 0x7f || b"\"#%<>?\\^`{|}".contains(&byte) {
            escaped.push('%');
            for nibble in [byte >> 4, byte & 15] {
                escaped.push(char::from(b"0123456789ABCDEF"[usize::from(nibble)]));
            }
        } else {
            escaped.push(char::from(byte));
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolves_a_path_as_nginx_does() {
        for (case, target, want) in [
            ("as it is", "/a/b", Some("/a/b")),
            ("the query is no part of it", "/a?b=/../c", Some("/a")),
            ("nor the fragment", "/a#b?c", Some("/a")),
            ("slashes merge", "//a///b//", Some("/a/b/")),
            ("a dot goes", "/a/./b/.", Some("/a/b/")),
            ("two dots go up", "/a/b/../c/..", Some("/a/")),
            ("up to the root", "/a/..", Some("/")),
            ("above the root is refused", "/a/../..", None),
            ("dots inside a name stay", "/a../.b/...", Some("/a../.b/...")),
            ("decoded", "/%61%20b", Some("/a b")),
            ("an escaped slash is one", "/a%2fb%2F/c", Some("/a/b/c")),
            ("escaped dots are dots", "/a/%2e%2E/b", Some("/b")),
            ("an escaped question mark is none", "/a%3Fb?c", Some("/a?b")),
            ("nor does an escaped escape escape", "/a%252e", Some("/a%2e")),
            ("half an escape is refused", "/a%2", None),
            ("so is a wrong digit", "/a%2g", None),
            ("and a zero byte", "/a%00", None),
        ] {
            let got = parse(target, true).map(|target| String::from_utf8(target.path).unwrap());
            assert_eq!(got.as_deref(), want, "{case}");
        }
    }

    #[test]
    fn escapes_what_a_request_line_cannot_hold() {
        assert_eq!(escape(b"/a b?c%\xff+'&=~"), "/a%20b%3Fc%25%FF+'&=~");
    }
}
