//! Words to a typed expression.

use super::ast::{
    Aggregate, Aggregation, Binary, Cardinality, Expr, Grouping, Matching, Operator, Selector, Subquery, Type,
};
use super::functions;
use super::lex::{Token, words};
use crate::labels::{Compare, Matcher, NAME, anchored};

/// Why a text is no expression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message} (at character {at})")]
pub struct ParseError {
    /// Where, counted from 1.
    pub at: usize,
    /// What.
    pub message: String,
    /// The function that Prometheus knows and rehearse does not evaluate, if that is the reason.
    pub unsupported: Option<String>,
}

impl ParseError {
    pub(super) fn new(at: usize, message: impl Into<String>) -> Self {
        Self { at: at + 1, message: message.into(), unsupported: None }
    }
}

type Parsed<T = Expr> = Result<T, ParseError>;

/// How deep expressions may be nested: beyond anything that people write, and within any stack.
const DEEPEST: u32 = 100;

/// Reads an expression.
pub fn parse(text: &str) -> Parsed {
    let mut parser = Parser { words: words(text)?, next: 0, depth: 0 };
    let expr = parser.binary(0)?;
    parser.end()?;
    Ok(expr)
}

struct Parser {
    words: Vec<(Token, usize)>,
    next: usize,
    depth: u32,
}

impl Parser {
    fn peek(&self) -> &Token {
        &self.words[self.next].0
    }

    fn at(&self) -> usize {
        self.words[self.next].1
    }

    fn take(&mut self) -> Token {
        let token = self.words[self.next].0.clone();
        self.next = (self.next + 1).min(self.words.len() - 1);
        token
    }

    fn is(&self, sign: &str) -> bool {
        matches!(self.peek(), Token::Sign(found) if *found == sign)
    }

    fn accept(&mut self, sign: &str) -> bool {
        let found = self.is(sign);
        if found {
            self.take();
        }
        found
    }

    fn word_is(&self, word: &str) -> bool {
        matches!(self.peek(), Token::Word(found) if found.eq_ignore_ascii_case(word))
    }

    fn accept_word(&mut self, word: &str) -> bool {
        let found = self.word_is(word);
        if found {
            self.take();
        }
        found
    }

    fn expect(&mut self, sign: &str) -> Parsed<()> {
        if self.accept(sign) { Ok(()) } else { Err(self.unexpected(&format!("`{sign}`"))) }
    }

    fn end(&self) -> Parsed<()> {
        if *self.peek() == Token::End { Ok(()) } else { Err(self.unexpected("the end or an operator")) }
    }

    fn unexpected(&self, wanted: &str) -> ParseError {
        let found = match self.peek() {
            Token::End => "the end".to_owned(),
            Token::Word(word) => format!("`{word}`"),
            Token::Sign(sign) => format!("`{sign}`"),
            Token::Number(_) => "a number".into(),
            Token::Duration(_) => "a duration".into(),
            Token::Text(_) => "a text".into(),
        };
        ParseError::new(self.at(), format!("expected {wanted}, found {found}"))
    }

    /// An expression of operators that bind at least as tightly as `least`.
    fn binary(&mut self, least: u8) -> Parsed {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(ParseError::new(self.at(), "the expression is nested too deeply"));
        }
        let mut left = self.unary()?;
        while let Some(operator) = self.operator().filter(|operator| operator.precedence() >= least) {
            let at = self.at();
            self.take();
            let (returns_bool, matching) = (self.accept_word("bool"), self.matching()?);
            // `^` binds to the right, all others to the left.
            let right = self.binary(operator.precedence() + u8::from(operator != Operator::Pow))?;
            left = joined(at, operator, returns_bool, matching, left, right)?;
        }
        self.depth -= 1;
        Ok(left)
    }

    fn operator(&self) -> Option<Operator> {
        use Operator as O;
        Some(match self.peek() {
            Token::Sign(sign) => match *sign {
                "+" => O::Add,
                "-" => O::Sub,
                "*" => O::Mul,
                "/" => O::Div,
                "%" => O::Mod,
                "^" => O::Pow,
                "==" => O::Equal,
                "!=" => O::NotEqual,
                "<" => O::Less,
                "<=" => O::LessEqual,
                ">" => O::Greater,
                ">=" => O::GreaterEqual,
                _ => return None,
            },
            Token::Word(word) => match word.to_ascii_lowercase().as_str() {
                "and" => O::And,
                "or" => O::Or,
                "unless" => O::Unless,
                "atan2" => O::Atan2,
                _ => return None,
            },
            _ => return None,
        })
    }

    fn matching(&mut self) -> Parsed<Matching> {
        let mut matching = Matching::default();
        if self.word_is("on") || self.word_is("ignoring") {
            matching.on = self.word_is("on");
            self.take();
            matching.labels = self.names()?;
            if self.word_is("group_left") || self.word_is("group_right") {
                matching.cardinality =
                    if self.word_is("group_left") { Cardinality::ManyToOne } else { Cardinality::OneToMany };
                self.take();
                if self.is("(") {
                    matching.include = self.names()?;
                }
            }
        }
        Ok(matching)
    }

    /// `(a, b)`
    fn names(&mut self) -> Parsed<Vec<String>> {
        let mut names = Vec::new();
        self.expect("(")?;
        while !self.accept(")") {
            match self.take() {
                Token::Word(name) if !name.contains(':') => names.push(name),
                _ => {
                    self.next -= 1;
                    return Err(self.unexpected("a label's name"));
                }
            }
            if !self.is(")") {
                self.expect(",")?;
            }
        }
        Ok(names)
    }

    fn unary(&mut self) -> Parsed {
        let at = self.at();
        let negative = self.is("-");
        if !negative && !self.is("+") {
            let expr = self.primary()?;
            return self.suffixes(expr);
        }
        self.take();
        // A sign binds like `*`: only `^` is tighter.
        let expr = self.binary(Operator::Pow.precedence())?;
        match expr.kind() {
            Type::Scalar | Type::Vector if negative => Ok(match expr {
                Expr::Number(value) => Expr::Number(-value),
                expr => Expr::Negate(Box::new(expr)),
            }),
            Type::Scalar | Type::Vector => Ok(expr),
            other => Err(ParseError::new(at, format!("a sign needs a scalar or a vector, not a {}", other.name()))),
        }
    }

    fn primary(&mut self) -> Parsed {
        let at = self.at();
        if !matches!(self.peek(), Token::Number(_) | Token::Text(_) | Token::Word(_) | Token::Sign("(" | "{")) {
            return Err(self.unexpected("an expression"));
        }
        match self.take() {
            Token::Number(value) => Ok(Expr::Number(value)),
            Token::Text(text) => Ok(Expr::Text(text)),
            Token::Sign("(") => {
                let expr = self.binary(0)?;
                self.expect(")")?;
                Ok(expr)
            }
            Token::Sign("{") => {
                self.next -= 1;
                self.selector(None, at)
            }
            Token::Word(word) => self.named(&word, at),
            _ => unreachable!("looked at above"),
        }
    }

    fn named(&mut self, word: &str, at: usize) -> Parsed {
        let lower = word.to_ascii_lowercase();
        if let Some((_, how)) = Aggregation::ALL.iter().find(|(name, _)| *name == lower)
            && (self.is("(") || self.word_is("by") || self.word_is("without"))
        {
            return self.aggregate(*how, at);
        }
        if self.is("(") {
            return self.call(word, at);
        }
        if matches!(lower.as_str(), "inf" | "nan") && !self.is("{") {
            return Ok(Expr::Number(if lower == "inf" { f64::INFINITY } else { f64::NAN }));
        }
        self.selector(Some(word), at)
    }

    fn aggregate(&mut self, how: Aggregation, at: usize) -> Parsed {
        let mut grouping = self.grouping()?;
        let mut arguments = self.arguments()?;
        if grouping.is_none() {
            grouping = self.grouping()?;
        }
        let wanted = 1 + usize::from(how.parameter().is_some());
        if arguments.len() != wanted {
            return Err(ParseError::new(at, format!("expected {wanted} argument(s), found {}", arguments.len())));
        }
        let expr = arguments.pop().expect("counted above");
        let parameter = arguments.pop();
        for (found, wanted) in parameter.iter().zip(how.parameter()).chain([(&expr, Type::Vector)]) {
            of_type(at, found, wanted, "an aggregation")?;
        }
        Ok(Expr::Aggregate(Box::new(Aggregate { how, grouping: grouping.unwrap_or_default(), parameter, expr })))
    }

    fn grouping(&mut self) -> Parsed<Option<Grouping>> {
        let without = self.word_is("without");
        if !without && !self.word_is("by") {
            return Ok(None);
        }
        self.take();
        Ok(Some(Grouping { without, labels: self.names()? }))
    }

    fn arguments(&mut self) -> Parsed<Vec<Expr>> {
        let mut arguments = Vec::new();
        self.expect("(")?;
        while !self.accept(")") {
            arguments.push(self.binary(0)?);
            if !self.is(")") {
                self.expect(",")?;
            }
        }
        Ok(arguments)
    }

    fn call(&mut self, name: &str, at: usize) -> Parsed {
        let Some(function) = functions::find(name) else {
            if functions::UNSUPPORTED.contains(&name) {
                let message = format!("rehearse does not evaluate the function {name} yet");
                return Err(ParseError { unsupported: Some(name.into()), ..ParseError::new(at, message) });
            }
            return Err(ParseError::new(at, format!("there is no function {name}")));
        };
        let arguments = self.arguments()?;
        let (least, most) = (function.arguments.len() - function.optional, function.arguments.len());
        if arguments.len() < least || (arguments.len() > most && !function.variadic) {
            return Err(ParseError::new(at, format!("{name} does not take {} arguments", arguments.len())));
        }
        for (index, argument) in arguments.iter().enumerate() {
            of_type(at, argument, function.arguments[index.min(most - 1)], name)?;
        }
        Ok(Expr::Call(function.name, arguments))
    }

    fn selector(&mut self, name: Option<&str>, at: usize) -> Parsed {
        let mut matchers: Vec<Matcher> = name.iter().map(|name| Matcher::equal(NAME, name)).collect();
        if self.accept("{") {
            while !self.accept("}") {
                matchers.push(self.matcher()?);
                if !self.is("}") {
                    self.expect(",")?;
                }
            }
        }
        if matchers.iter().all(|matcher| matcher.accepts("")) {
            let message = "vector selector must contain at least one non-empty matcher";
            return Err(ParseError::new(at, message));
        }
        if name.is_some() && matchers.iter().skip(1).any(|matcher| matcher.label == NAME) {
            return Err(ParseError::new(at, "metric name must not be set twice"));
        }
        Ok(Expr::Instant(Selector { matchers, offset: 0, at: None }))
    }

    fn matcher(&mut self) -> Parsed<Matcher> {
        let label = match self.take() {
            Token::Word(label) if !label.contains(':') => label,
            // Prometheus 3: a quoted name alone is the metric's.
            Token::Text(text) if self.is(",") || self.is("}") => return Ok(Matcher::equal(NAME, &text)),
            Token::Text(text) => text,
            _ => {
                self.next -= 1;
                return Err(self.unexpected("a label's name"));
            }
        };
        let (at, operator) = (self.at(), self.take());
        let Token::Text(value) = self.peek().clone() else { return Err(self.unexpected("a quoted text")) };
        self.take();
        let expression =
            || anchored(&value).map_err(|error| ParseError::new(at, format!("`{value}` is no expression: {error}")));
        let compare = match operator {
            Token::Sign("=") => Compare::Equal,
            Token::Sign("!=") => Compare::NotEqual,
            Token::Sign("=~") => Compare::Matches(expression()?),
            Token::Sign("!~") => Compare::NotMatches(expression()?),
            _ => return Err(ParseError::new(at, "expected one of = != =~ !~")),
        };
        Ok(Matcher { label, compare, value })
    }

    /// `[5m]`, `[1h:1m]`, `offset 5m`, `@ 123`.
    fn suffixes(&mut self, mut expr: Expr) -> Parsed {
        loop {
            let at = self.at();
            if self.accept("[") {
                let range = self.duration()?;
                if range <= 0 {
                    return Err(ParseError::new(at, "a range must be greater than 0"));
                }
                if self.accept(":") {
                    let step = if self.is("]") { None } else { Some(self.duration()?) };
                    of_type(at, &expr, Type::Vector, "a subquery")
                        .or_else(|_| of_type(at, &expr, Type::Scalar, "a subquery"))?;
                    if step == Some(0) {
                        return Err(ParseError::new(at, "a step must be greater than 0"));
                    }
                    expr = Expr::Subquery(Box::new(Subquery { expr, range, step, offset: 0, at: None }));
                } else {
                    let Expr::Instant(selector) = expr else {
                        return Err(ParseError::new(at, "ranges only allowed for vector selectors"));
                    };
                    expr = Expr::Range(selector, range);
                }
                self.expect("]")?;
            } else if self.accept_word("offset") {
                let sign = if self.accept("-") { -1 } else { 1 };
                let by = sign * self.duration()?;
                match &mut expr {
                    Expr::Instant(selector) | Expr::Range(selector, _) => selector.offset = by,
                    Expr::Subquery(subquery) => subquery.offset = by,
                    _ => return Err(ParseError::new(at, "offset must follow a selector or a subquery")),
                }
            } else if self.accept("@") {
                let sign = if self.accept("-") { -1.0 } else { 1.0 };
                let seconds = match self.take() {
                    Token::Number(seconds) => sign * seconds,
                    Token::Word(word) if word == "start" || word == "end" => {
                        let message = format!("rehearse does not evaluate @ {word}() yet");
                        return Err(ParseError {
                            unsupported: Some(format!("@ {word}()")),
                            ..ParseError::new(at, message)
                        });
                    }
                    _ => return Err(ParseError::new(at, "@ must be followed by a time in seconds")),
                };
                let instant = Some((seconds * 1_000.0).round() as i64);
                match &mut expr {
                    Expr::Instant(selector) | Expr::Range(selector, _) => selector.at = instant,
                    Expr::Subquery(subquery) => subquery.at = instant,
                    _ => return Err(ParseError::new(at, "@ must follow a selector or a subquery")),
                }
            } else {
                return Ok(expr);
            }
        }
    }

    /// A duration; Prometheus 3 takes a number of seconds, too.
    fn duration(&mut self) -> Parsed<i64> {
        match *self.peek() {
            Token::Duration(ms) => {
                self.take();
                Ok(ms)
            }
            Token::Number(seconds) => {
                self.take();
                Ok((seconds * 1_000.0).round() as i64)
            }
            _ => Err(self.unexpected("a duration")),
        }
    }
}

fn of_type(at: usize, found: &Expr, wanted: Type, whose: &str) -> Parsed<()> {
    if found.kind() == wanted {
        return Ok(());
    }
    Err(ParseError::new(at, format!("{whose} takes a {}, not a {}", wanted.name(), found.kind().name())))
}

fn joined(
    at: usize,
    operator: Operator,
    returns_bool: bool,
    mut matching: Matching,
    left: Expr,
    right: Expr,
) -> Parsed {
    let wrong = |message: &str| Err(ParseError::new(at, message));
    let (a, b) = (left.kind(), right.kind());
    if [a, b].iter().any(|kind| matches!(kind, Type::Matrix | Type::Text)) {
        return wrong("binary expressions take scalars and instant vectors only");
    }
    let scalars = [a, b].iter().filter(|kind| **kind == Type::Scalar).count();
    if returns_bool && !operator.is_comparison() {
        return wrong("bool modifier can only be used on comparison operators");
    }
    if operator.is_comparison() && scalars == 2 && !returns_bool {
        return wrong("comparisons between scalars must use the bool modifier");
    }
    if operator.is_set() {
        if scalars > 0 {
            return wrong("set operators take vectors only");
        }
        if matching.cardinality != Cardinality::OneToOne {
            return wrong("no grouping allowed for set operations");
        }
    }
    if scalars > 0 && (matching.on || !matching.labels.is_empty()) {
        return wrong("vector matching only allowed between instant vectors");
    }
    if matching.on && matching.include.iter().any(|label| matching.labels.contains(label)) {
        return wrong("a label must not occur in on and in group clauses at once");
    }
    if !matching.on {
        matching.labels.sort();
    }
    Ok(Expr::Binary(Box::new(Binary { operator, returns_bool, matching, left, right })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operators_bind_as_in_prometheus() {
        for (text, want) in [
            ("1 + 2 * 3", 7.0),
            ("(1 + 2) * 3", 9.0),
            ("-2 ^ 2", -4.0),
            ("2 ^ 3 ^ 2", 512.0),
            ("10 - 3 - 2", 5.0),
            ("1 < bool 2 + 3", 1.0),
            ("0x1f % 4", 3.0),
        ] {
            let value = crate::promql::Evaluator::new(&crate::Store::default()).at(&parse(text).unwrap(), 0).unwrap();
            assert!(matches!(value, crate::promql::Value::Scalar(found) if found == want), "{text}: {value:?}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        for (text, want) in [
            ("up{job=\"a\"", "expected `,`, found the end (at character 11)"),
            ("rate(up)", "rate takes a range vector, not a instant vector (at character 1)"),
            ("up[5m] > 1", "binary expressions take scalars"),
            ("1 > 2", "must use the bool modifier"),
            ("{job=~\".*\"}", "at least one non-empty matcher"),
            ("rat(up[5m])", "there is no function rat"),
            ("holt_winters(up[5m], 0.5, 0.5)", "does not evaluate the function holt_winters yet"),
            ("sum(up", "expected `,`, found the end"),
            ("up{job=~\"(\"}", "is no expression"),
            ("", "expected an expression, found the end"),
            ("up ! 1", "unexpected `!`"),
        ] {
            let error = parse(text).expect_err(text).to_string();
            assert!(error.contains(want), "{text}: {error}");
        }
        assert!(parse(&"(".repeat(100_000)).is_err());
    }

    #[test]
    fn real_rules_are_read() {
        for text in [
            "histogram_quantile(0.95, sum by (le) (rate(x_bucket{job=\"services\",service=~\"a|b\"}[5m]))) > 0.8",
            "clamp_min(predict_linear(service:http:rate5m[30m], 600), 0)\n  or service:http:rate5m offset 7d",
            "sum(a) by (x) / on (x) group_left (y) sum(b) by (x, y) # why",
            "max_over_time(rate(a[5m])[1h:1m])",
            "absent(up{job=\"a\"}) or up{job='a'} == bool 0",
            "count without (pod) (up) unless ignoring (le) b",
            "{__name__=~\"a.*\", job!=\"\"} @ 12.5 offset -1m",
            "sum_over_time(a[1h30m]) > 1e3 and on () vector(1) == 1",
            "topk(3, sum by (sum) (rate))",
        ] {
            parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        }
    }
}
