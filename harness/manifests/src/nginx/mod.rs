//! nginx's configuration language, as far as a gateway needs it.
//!
//! Owns the reading of one nginx.conf into a [`GatewayConfig`]: tokens, blocks, units, and what each level inherits
//! from the one above, as nginx 1.22 to 1.28 do it. What would change an answer and is not played is refused with its
//! line; the rest is listed in [`GatewayConfig::unplayed`], includes among it. Pure, and bounded in depth and size.

mod http;
mod location;
mod settings;
mod token;
mod tree;
mod value;

use platform::{GatewayConfig, Place};

use tree::Directive;

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
    /// nginx can do it, the rehearsal cannot yet, and leaving it out would change answers.
    #[error("{place}: {what} cannot be rehearsed yet; {fix}")]
    Unsupported {
        /// Where.
        place: Place,
        /// What it is.
        what: String,
        /// What to do.
        fix: String,
    },
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
    let top = tree::parse(text, file)?;
    let mut reader = Reader { file, unplayed: Vec::new() };
    let mut parsed = Parsed { config: GatewayConfig::default(), worker_processes: Some(1) };
    let mut worker_connections = 512;
    let mut block = None;
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
    parsed.config.worker_connections = worker_connections;
    parsed.config.unplayed = reader.unplayed;
    parsed.config.unplayed.sort_by_key(|(_, place)| place.line);
    Ok(parsed)
}

/// Whether a text looks as if it had an `http` block. Errors in it are for [`parse`] to tell.
pub(crate) fn has_http(text: &str) -> bool {
    text.lines().any(|line| line.trim_start().strip_prefix("http").is_some_and(|rest| rest.trim().starts_with('{')))
}

/// What every level of the reading shares.
struct Reader<'a> {
    file: &'a str,
    unplayed: Vec<(String, Place)>,
}

impl Reader<'_> {
    fn place(&self, directive: &Directive) -> Place {
        Place { file: self.file.to_owned(), line: directive.line }
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

    fn unsupported(&self, directive: &Directive, what: &str, fix: &str) -> NginxError {
        NginxError::Unsupported { place: self.place(directive), what: what.to_owned(), fix: fix.to_owned() }
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
