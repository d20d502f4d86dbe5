//! nginx's configuration language, as far as a gateway needs it.
//!
//! Owns the reading of one nginx.conf, with the files that it includes, into a [`GatewayConfig`]: tokens, blocks,
//! units, variables, and what each level inherits from the one above, as nginx 1.22 to 1.28 do it. What nginx itself
//! would not start with is an error with its line; what it knows and we do not play is kept in
//! [`GatewayConfig::unplayed`]. Pure, and bounded in depth and size.
//!
//! The parser is our own. What the public crates do was looked at first: `nginx-config` (last released in 2019) knows a
//! closed list of directives and fails on any other, such as those of modules; the ports of crossplane keep the tokens
//! and leave units, inheritance and all that nginx refuses to their caller. Tokens and blocks are the small part.

mod config_map;
mod http;
mod include;
mod location;
mod map;
mod rewrite;
mod server;
mod settings;
mod template;
mod token;
mod tree;
mod upstream;
mod value;

use platform::{GatewayConfig, Place};

pub use config_map::config_map;
pub use tree::{Directive, directives};

/// An nginx.conf, understood.
#[derive(Clone, Debug, PartialEq)]
pub struct Parsed {
    /// The `http` block.
    pub config: GatewayConfig,
    /// `worker_processes`, default 1; `None` is `auto`: one per core of the node. `worker_connections` counts for each.
    pub worker_processes: Option<u32>,
}

/// Why an nginx.conf cannot be rehearsed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NginxError {
    /// The text is not nginx's language.
    #[error("{place}: {problem}; {fix}")]
    Syntax {
        /// Where.
        place: Place,
        /// What is wrong.
        problem: String,
        /// What to do.
        fix: String,
    },
    /// nginx itself would not start with this.
    #[error("{place}: {directive}: {problem}; {fix}")]
    Refused {
        /// Where.
        place: Place,
        /// The directive's name.
        directive: String,
        /// What is wrong.
        problem: String,
        /// What to do.
        fix: String,
    },
}

impl NginxError {
    /// Where; line 0 if it is the file as a whole.
    pub const fn place(&self) -> &Place {
        match self {
            Self::Syntax { place, .. } | Self::Refused { place, .. } => place,
        }
    }
}

/// Reads the text of one nginx.conf; `file` is the name that places and errors give.
///
/// ```
/// let text = "events {} http { server { listen 80; location / { return 200 ok; } } }";
/// assert_eq!(manifests::nginx::parse(text, "nginx.conf").unwrap().config.servers[0].port, 80);
/// let error = manifests::nginx::parse("http {\n  server {\n", "nginx.conf").unwrap_err();
/// assert_eq!(error.to_string(), "nginx.conf:2: the block `server` is not closed; add the missing `}`");
/// ```
pub fn parse(text: &str, file: &str) -> Result<Parsed, NginxError> {
    parse_with(text, file, &[])
}

/// The same with the files that `include` may name, by name and text. A file's path is compared by its last part:
/// where a ConfigMap is mounted does not matter.
///
/// A text that has no `http` block and begins with what stands inside of one, as the files of `conf.d` do, is read as
/// the inside of it.
pub fn parse_with(text: &str, file: &str, files: &[(String, String)]) -> Result<Parsed, NginxError> {
    let top = include::expand(tree::parse(text, file)?, files, &mut 0, 0)?;
    let mut reader = Reader { file, unplayed: Vec::new(), maps: Vec::new(), named: Vec::new(), constants: Vec::new() };
    let mut parsed = Parsed { config: GatewayConfig::default(), worker_processes: Some(1) };
    let mut worker_connections = 512;
    let mut block = None;
    let inside =
        |name: &str| matches!(name, "server" | "upstream" | "limit_req_zone" | "limit_conn_zone" | "map" | "geo");
    if !top.iter().any(|directive| directive.name == "http") && top.iter().any(|directive| inside(&directive.name)) {
        parsed.config = http::http(&mut reader, &top)?;
        return Ok(finished(parsed, reader, worker_connections));
    }
    for directive in &top {
        match (directive.name.as_str(), &directive.block) {
            ("worker_processes", None) => {
                parsed.worker_processes = match reader.one(directive)? {
                    "auto" => None,
                    count => Some(reader.number(directive, count, 1)?),
                }
            }
            ("events", Some(events)) => {
                for directive in events {
                    match directive.name.as_str() {
                        "worker_connections" => {
                            worker_connections = reader.number(directive, reader.one(directive)?, 1)?;
                        }
                        _ => reader.leave(directive),
                    }
                }
            }
            ("http", Some(_)) if block.is_some() => {
                return Err(reader.refused(directive, "there is a second http block", "keep one"));
            }
            ("http", Some(inner)) => block = Some(inner),
            _ => reader.leave(directive),
        }
    }
    let Some(block) = block else {
        return Err(NginxError::Syntax {
            place: Place { file: file.to_owned(), line: 0 },
            problem: "there is no http block".to_owned(),
            fix: "write http { … } with the gateway's servers in it".to_owned(),
        });
    };
    parsed.config = http::http(&mut reader, block)?;
    Ok(finished(parsed, reader, worker_connections))
}

fn finished(mut parsed: Parsed, reader: Reader<'_>, worker_connections: u32) -> Parsed {
    let file = reader.file;
    parsed.config.worker_connections = worker_connections;
    parsed.config.worker_processes = parsed.worker_processes.unwrap_or(0);
    parsed.config.unplayed = reader.unplayed;
    // The file itself first, then what it includes.
    parsed.config.unplayed.sort_by(|(a, at), (b, bt)| {
        (at.file != file, &at.file, at.line, a).cmp(&(bt.file != file, &bt.file, bt.line, b))
    });
    parsed.config.unplayed.dedup();
    parsed
}

/// Whether a text looks as if it had an `http` block. Errors in it are for [`parse`] to tell.
pub(crate) fn has_http(text: &str) -> bool {
    has_block(text, "http")
}

/// Whether a text looks as if it had a `server` block: a file of `conf.d`.
pub(crate) fn has_server(text: &str) -> bool {
    has_block(text, "server")
}

fn has_block(text: &str, name: &str) -> bool {
    text.lines().any(|line| line.trim_start().strip_prefix(name).is_some_and(|rest| rest.trim().starts_with('{')))
}

/// What every level of the reading shares.
struct Reader<'a> {
    file: &'a str,
    unplayed: Vec<(String, Place)>,
    /// Names that `map` and `geo` define, in the order of [`GatewayConfig::maps`].
    maps: Vec<String>,
    /// Variables that the server at hand sets or captures.
    named: Vec<String>,
    /// Those of them that have one constant value here.
    constants: Vec<(String, String)>,
}

impl Reader<'_> {
    #[expect(clippy::unused_self, reason = "asked like everything else that reads a directive")]
    fn place(&self, directive: &Directive) -> Place {
        Place { file: directive.file.to_string(), line: directive.line }
    }

    /// Keeps a directive as one that is not played.
    fn leave(&mut self, directive: &Directive) {
        let place = self.place(directive);
        self.unplayed.push((directive.to_string(), place));
    }

    fn refused(&self, directive: &Directive, problem: &str, fix: &str) -> NginxError {
        NginxError::Refused {
            place: self.place(directive),
            directive: directive.name.clone(),
            problem: problem.to_owned(),
            fix: fix.to_owned(),
        }
    }

    /// The only argument.
    fn one<'d>(&self, directive: &'d Directive) -> Result<&'d str, NginxError> {
        match directive.args.as_slice() {
            [argument] => Ok(argument),
            arguments => {
                let problem = format!("takes one argument, not {}", arguments.len());
                Err(self.refused(directive, &problem, "write exactly one"))
            }
        }
    }

    /// A whole number as nginx reads it: digits and nothing else.
    fn number(&self, directive: &Directive, text: &str, least: u32) -> Result<u32, NginxError> {
        let digits = Some(text).filter(|text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()));
        digits.and_then(|text| text.parse().ok()).filter(|number| *number >= least).ok_or_else(|| {
            let fix = format!("write a whole number from {least} up");
            self.refused(directive, &format!("`{text}` is no such number"), &fix)
        })
    }
}
