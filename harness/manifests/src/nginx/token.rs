//! Words, braces and semicolons, each with its line (`src/core/ngx_conf_file.c`, `ngx_conf_read_token`).

use platform::Place;

use super::NginxError;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// A word, its quotes and escapes resolved.
    Word(String),
    /// `;`
    End,
    /// `{`
    Open,
    /// `}`
    Close,
}

/// All tokens with the line they start at.
pub(super) fn tokens(text: &str, file: &str) -> Result<Vec<(Token, u32)>, NginxError> {
    let mut scanner = Scanner { rest: text.chars().peekable(), line: 1, file };
    let mut tokens = Vec::new();
    while let Some(&c) = scanner.rest.peek() {
        let line = scanner.line;
        let single = match c {
            ';' => Some(Token::End),
            '{' => Some(Token::Open),
            '}' => Some(Token::Close),
            _ => None,
        };
        if let Some(token) = single {
            scanner.next();
            tokens.push((token, line));
        } else if c.is_ascii_whitespace() {
            scanner.next();
        } else if c == '#' {
            while scanner.next().is_some_and(|c| c != '\n') {}
        } else if c == '"' || c == '\'' {
            tokens.push((Token::Word(scanner.quoted(c)?), line));
        } else {
            tokens.push((Token::Word(scanner.word()), line));
        }
    }
    Ok(tokens)
}

struct Scanner<'a> {
    rest: std::iter::Peekable<std::str::Chars<'a>>,
    line: u32,
    file: &'a str,
}

impl Scanner<'_> {
    fn next(&mut self) -> Option<char> {
        let c = self.rest.next();
        self.line += u32::from(c == Some('\n'));
        c
    }

    /// A word without quotes at its start. A `#` or a quote inside it is a letter like any other, and so is the brace
    /// of `${name}`.
    fn word(&mut self) -> String {
        let mut word = String::new();
        while let Some(&c) = self.rest.peek() {
            let variable = c == '{' && word.ends_with('$');
            if c.is_ascii_whitespace() || c == ';' || (c == '{' && !variable) {
                break;
            }
            if c == '}' && !open_variable(&word) {
                break;
            }
            self.next();
            if c == '\\' { self.escape(&mut word) } else { word.push(c) }
        }
        word
    }

    fn quoted(&mut self, quote: char) -> Result<String, NginxError> {
        let start = self.line;
        self.next();
        let mut word = String::new();
        loop {
            match self.next() {
                Some(c) if c == quote => break,
                Some('\\') => self.escape(&mut word),
                Some(c) => word.push(c),
                None => return Err(self.error(start, format!("the quote {quote} is not closed"), "close it")),
            }
        }
        match self.rest.peek() {
            Some(&c) if !c.is_ascii_whitespace() && !matches!(c, ';' | '{' | ')') => {
                let problem = format!("`{c}` follows a closing quote");
                Err(self.error(self.line, problem, "write a blank or `;` after the quote"))
            }
            _ => Ok(word),
        }
    }

    /// After a backslash: quotes and backslashes stand for themselves, t, r and n for control characters, and
    /// everything else keeps its backslash (regular expressions need that).
    fn escape(&mut self, word: &mut String) {
        match self.next() {
            Some(c @ ('"' | '\'' | '\\')) => word.push(c),
            Some('t') => word.push('\t'),
            Some('r') => word.push('\r'),
            Some('n') => word.push('\n'),
            Some(c) => word.extend(['\\', c]),
            None => word.push('\\'),
        }
    }

    fn error(&self, line: u32, problem: String, fix: &str) -> NginxError {
        NginxError::Syntax { place: Place { file: self.file.to_owned(), line }, problem, fix: fix.to_owned() }
    }
}

/// Whether the word has a `${` that is still open.
fn open_variable(word: &str) -> bool {
    word.rfind("${").is_some_and(|start| !word[start..].contains('}'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_as_nginx_does() {
        for (case, text, want) in [
            ("a directive", "listen 80;", "listen 80 ;"),
            ("a comment to the end of its line", "a; # b { c\nd;", "a ; d ;"),
            ("no comment inside a word", "a b#c;", "a b#c ;"),
            ("quotes keep blanks, braces and semicolons", "a \"b c;{}\" 'd#e';", "a <b c;{}> d#e ;"),
            ("escapes in quotes", r#"a "b\n\"c\"\d";"#, "a <b\n\"c\"\\d> ;"),
            ("a brace needs no blank", "http{server{}}", "http { server { } }"),
            ("variables in braces are one word", "return 200 ${a}b${c};", "return 200 ${a}b${c} ;"),
        ] {
            let words = tokens(text, "t").unwrap().into_iter().map(|(token, _)| match token {
                Token::Word(word) if word.contains([' ', '\n']) => format!("<{word}>"),
                Token::Word(word) => word,
                Token::End => ";".to_owned(),
                Token::Open => "{".to_owned(),
                Token::Close => "}".to_owned(),
            });
            assert_eq!(words.collect::<Vec<_>>().join(" "), want, "{case}");
        }
    }

    #[test]
    fn refuses_open_quotes_where_they_open() {
        for (case, text, want) in [
            ("not closed", "a;\nb \"c\n;\n", "t:2: the quote \" is not closed; close it"),
            ("glued", "a 'b'c;", "t:1: `c` follows a closing quote; write a blank or `;` after the quote"),
        ] {
            assert_eq!(tokens(text, "t").unwrap_err().to_string(), want, "{case}");
        }
    }
}
