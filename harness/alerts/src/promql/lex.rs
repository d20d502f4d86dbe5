//! Text to words.

use super::parse::ParseError;

/// A word of an expression.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    /// A metric, label, function or keyword.
    Word(String),
    /// A number.
    Number(f64),
    /// A duration, milliseconds.
    Duration(i64),
    /// A quoted text.
    Text(String),
    /// Anything else: `{`, `=~`, `>=` …
    Sign(&'static str),
    /// The end.
    End,
}

const SIGNS: [&str; 25] = [
    "==", "!=", "=~", "!~", "<=", ">=", "(", ")", "{", "}", "[", "]", ",", ":", "=", "<", ">", "+", "-", "*", "/", "%",
    "^", "@", ";",
];

/// Words with the byte where each begins.
pub(super) fn words(text: &str) -> Result<Vec<(Token, usize)>, ParseError> {
    let mut all = Vec::new();
    let mut at = 0;
    // A colon begins a name everywhere but within brackets, where it parts a subquery's range from its step.
    let mut brackets = 0_u32;
    while let Some(c) = text[at..].chars().next() {
        let start = at;
        if c.is_whitespace() {
            at += c.len_utf8();
        } else if c == '#' {
            at = text[at..].find('\n').map_or(text.len(), |end| at + end);
        } else if c.is_alphabetic() || c == '_' || (c == ':' && brackets == 0) {
            let inside = |c: char| c.is_ascii_alphanumeric() || c == '_' || (c == ':' && brackets == 0);
            at = text[at..].find(|c| !inside(c)).map_or(text.len(), |end| at + end);
            if at == start {
                return Err(ParseError::new(start, format!("`{c}` cannot begin a name")));
            }
            let word = &text[start..at];
            all.push((Token::Word(word.into()), start));
        } else if c.is_ascii_digit() || (c == '.' && text[at + 1..].starts_with(|c: char| c.is_ascii_digit())) {
            at += number_length(&text[at..]);
            let word = &text[start..at];
            let bad = || ParseError::new(start, format!("`{word}` is neither a number nor a duration"));
            all.push((figure(word).ok_or_else(bad)?, start));
        } else if matches!(c, '"' | '\'' | '`') {
            let (value, length) =
                quoted(&text[at..]).ok_or_else(|| ParseError::new(start, "the text has no end, or a wrong escape"))?;
            at += length;
            all.push((Token::Text(value), start));
        } else {
            let sign = SIGNS.iter().find(|sign| text[at..].starts_with(**sign));
            let sign = sign.ok_or_else(|| ParseError::new(start, format!("unexpected `{c}`")))?;
            match *sign {
                "[" => brackets += 1,
                "]" => brackets = brackets.saturating_sub(1),
                _ => {}
            }
            at += sign.len();
            all.push((Token::Sign(sign), start));
        }
    }
    all.push((Token::End, text.len()));
    Ok(all)
}

/// How much of it is a number or a duration: digits, letters, dots, and a sign behind an exponent's `e`.
fn number_length(text: &str) -> usize {
    let bytes = text.as_bytes();
    let hexadecimal = text.starts_with("0x") || text.starts_with("0X");
    let mut length = 0;
    while let Some(byte) = bytes.get(length) {
        let exponent = !hexadecimal && length > 0 && matches!(bytes[length - 1], b'e' | b'E');
        if byte.is_ascii_alphanumeric() || *byte == b'.' || *byte == b'_' || (exponent && matches!(byte, b'+' | b'-')) {
            length += 1;
        } else {
            break;
        }
    }
    length
}

fn figure(word: &str) -> Option<Token> {
    if let Some(digits) = word.strip_prefix("0x").or_else(|| word.strip_prefix("0X")) {
        return i64::from_str_radix(digits, 16).ok().map(|value| Token::Number(value as f64));
    }
    let number = word.parse().ok().filter(|_| !word.contains('_')).map(Token::Number);
    number.or_else(|| super::duration(word).map(Token::Duration))
}

/// A quoted text and how long it was with its quotes.
fn quoted(text: &str) -> Option<(String, usize)> {
    let quote = text.chars().next()?;
    let mut value = String::new();
    let mut chars = text.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        if c == quote {
            return Some((value, at + 1));
        }
        if c != '\\' || quote == '`' {
            if c == '\n' && quote != '`' {
                return None;
            }
            value.push(c);
            continue;
        }
        value.push(match chars.next()?.1 {
            'n' => '\n',
            't' => '\t',
            'r' => '\r',
            'a' => '\x07',
            'b' => '\x08',
            'f' => '\x0c',
            'v' => '\x0b',
            same @ ('\\' | '"' | '\'') => same,
            'x' => char::from(u8::try_from(code(&mut chars, 2)?).ok()?),
            'u' => char::from_u32(code(&mut chars, 4)?)?,
            _ => return None,
        });
    }
    None
}

fn code(chars: &mut impl Iterator<Item = (usize, char)>, digits: usize) -> Option<u32> {
    let text: String = chars.take(digits).map(|(_, c)| c).collect();
    u32::from_str_radix(&text, 16).ok().filter(|_| text.len() == digits)
}
