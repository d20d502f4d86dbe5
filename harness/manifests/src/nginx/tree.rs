//! Directives and blocks, without any meaning yet.

use std::fmt;
use std::rc::Rc;

use platform::Place;

use super::NginxError;
use super::token::{Token, tokens};

/// Blocks inside blocks: nginx's own modules need six.
const DEPTH_MAX: u32 = 16;
/// Directives of one file; keeps every index of the configuration within 16 bits.
pub(super) const DIRECTIVES_MAX: u32 = 20_000;

/// `name argument … ;` or `name argument … { … }`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directive {
    /// Its name.
    pub name: String,
    /// Its arguments, without quotes.
    pub args: Vec<String>,
    /// The file it stands in, as places name it.
    pub file: Rc<str>,
    /// Its line, counted from 1.
    pub line: u32,
    /// What stands in its block; `None`: it has none.
    pub block: Option<Vec<Self>>,
}

/// As one would write it, blocks without their content.
impl fmt::Display for Directive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        self.args.iter().try_for_each(|argument| write!(f, " {argument}"))?;
        if self.block.is_some() { f.write_str(" { … }") } else { Ok(()) }
    }
}

/// The directives of a file as they are written, without any meaning; includes are not followed.
pub fn directives(text: &str, file: &str) -> Result<Vec<Directive>, NginxError> {
    parse(text, file)
}

pub(super) fn parse(text: &str, file: &str) -> Result<Vec<Directive>, NginxError> {
    let mut parser = Parser { tokens: tokens(text, file)?.into_iter(), file, name: Rc::from(file), count: 0 };
    parser.block(None, 0)
}

struct Parser<'a> {
    tokens: std::vec::IntoIter<(Token, u32)>,
    file: &'a str,
    name: Rc<str>,
    count: u32,
}

impl Parser<'_> {
    /// Directives up to the `}` of the block that `outer` (its name and line) opened, or to the end of the file.
    fn block(&mut self, outer: Option<(&str, u32)>, depth: u32) -> Result<Vec<Directive>, NginxError> {
        let mut directives = Vec::new();
        let mut words: Vec<String> = Vec::new();
        let mut start = 0;
        loop {
            let Some((token, line)) = self.tokens.next() else {
                return match (words.first(), outer) {
                    (Some(name), _) => Err(self.unended(start, name)),
                    (None, Some((name, line))) => {
                        Err(self.error(line, format!("the block `{name}` is not closed"), "add the missing `}`"))
                    }
                    (None, None) => Ok(directives),
                };
            };
            let block = match token {
                Token::Word(word) => {
                    if words.is_empty() {
                        start = line;
                    }
                    words.push(word);
                    continue;
                }
                Token::Close => {
                    return match (words.first(), outer) {
                        (Some(name), _) => Err(self.unended(start, name)),
                        (None, Some(_)) => Ok(directives),
                        (None, None) => Err(self.error(line, "`}` closes no block".to_owned(), "remove it")),
                    };
                }
                Token::End => None,
                Token::Open if depth == DEPTH_MAX => {
                    let problem = format!("blocks nest deeper than {DEPTH_MAX}");
                    return Err(self.error(line, problem, "write them flatter"));
                }
                Token::Open => match words.first() {
                    Some(name) => Some(self.block(Some((name, start)), depth + 1)?),
                    None => return Err(self.error(line, "`{` opens a block without a name".to_owned(), "name it")),
                },
            };
            if words.is_empty() {
                return Err(self.error(line, "`;` ends no directive".to_owned(), "remove it"));
            }
            self.count += 1;
            if self.count > DIRECTIVES_MAX {
                let problem = format!("there are more than {DIRECTIVES_MAX} directives");
                return Err(self.error(line, problem, "split the gateway"));
            }
            let name = words.remove(0);
            let (args, file) = (std::mem::take(&mut words), Rc::clone(&self.name));
            directives.push(Directive { name, args, file, line: start, block });
        }
    }

    fn unended(&self, line: u32, name: &str) -> NginxError {
        self.error(line, format!("the directive `{name}` does not end"), "add the missing `;`")
    }

    fn error(&self, line: u32, problem: String, fix: &str) -> NginxError {
        NginxError::Syntax { place: Place { file: self.file.to_owned(), line }, problem, fix: fix.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_line_that_is_wrong() {
        let deep = "a { ".repeat(20);
        for (case, text, want) in [
            ("a missing semicolon", "a 1;\nb 2\n", "t:2: the directive `b` does not end; add the missing `;`"),
            ("before a brace", "a {\n  b 2\n}\n", "t:2: the directive `b` does not end; add the missing `;`"),
            ("an open block", "a {\n  b {\n }\n", "t:1: the block `a` is not closed; add the missing `}`"),
            ("a brace too many", "a 1;\n}\n", "t:2: `}` closes no block; remove it"),
            ("a lone semicolon", "a 1;;", "t:1: `;` ends no directive; remove it"),
            ("a nameless block", "{ a; }", "t:1: `{` opens a block without a name; name it"),
            ("too deep", &deep, "t:1: blocks nest deeper than 16; write them flatter"),
        ] {
            assert_eq!(parse(text, "t").unwrap_err().to_string(), want, "{case}");
        }
    }
}
