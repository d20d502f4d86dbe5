//! What an expression is made of.

use crate::labels::{Matcher, NAME};

/// How old the last sample of a series may be, milliseconds (`--query.lookback-delta`).
pub(crate) const LOOKBACK: i64 = 300_000;

/// An expression whose types are checked.
#[derive(Clone, Debug)]
pub enum Expr {
    /// `0.8`
    Number(f64),
    /// `"text"`
    Text(String),
    /// `up{job="node"}`
    Instant(Selector),
    /// `up[5m]`
    Range(Selector, i64),
    /// `EXPR[1h:1m]`
    Subquery(Box<Subquery>),
    /// `rate(…)`
    Call(&'static str, Vec<Expr>),
    /// `sum by (job) (…)`
    Aggregate(Box<Aggregate>),
    /// `a > b`
    Binary(Box<Binary>),
    /// `-a`
    Negate(Box<Expr>),
}

/// The type of an expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// One number.
    Scalar,
    /// A sample for each of some label sets.
    Vector,
    /// Samples over a span of time for each of some label sets.
    Matrix,
    /// A text.
    Text,
}

impl Type {
    /// As Prometheus' messages name it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Vector => "instant vector",
            Self::Matrix => "range vector",
            Self::Text => "string",
        }
    }
}

/// Which series, and when.
#[derive(Clone, Debug, Default)]
pub struct Selector {
    /// All of them hold.
    pub matchers: Vec<Matcher>,
    /// How much earlier, milliseconds; negative: later.
    pub offset: i64,
    /// `@`: at this instant instead, milliseconds.
    pub at: Option<i64>,
}

impl Selector {
    /// The metric's name, where the selector names one.
    pub fn name(&self) -> Option<&str> {
        let equal = |m: &&Matcher| m.label == NAME && matches!(m.compare, crate::labels::Compare::Equal);
        self.matchers.iter().find(equal).map(|m| m.value.as_str())
    }
}

impl std::fmt::Display for Selector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name().unwrap_or_default())?;
        let others: Vec<String> = self.matchers.iter().filter(|m| m.label != NAME).map(Matcher::to_string).collect();
        if others.is_empty() { Ok(()) } else { write!(f, "{{{}}}", others.join(",")) }
    }
}

/// An expression at many instants.
#[derive(Clone, Debug)]
pub struct Subquery {
    /// Which.
    pub expr: Expr,
    /// How far back, milliseconds.
    pub range: i64,
    /// How far apart, milliseconds; `None`: the evaluation interval.
    pub step: Option<i64>,
    /// As of a selector.
    pub offset: i64,
    /// As of a selector.
    pub at: Option<i64>,
}

/// How an aggregation folds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the PromQL word itself")]
pub enum Aggregation {
    Sum,
    Avg,
    Min,
    Max,
    Count,
    Group,
    Stddev,
    Stdvar,
    Quantile,
    Topk,
    Bottomk,
    CountValues,
}

impl Aggregation {
    pub(crate) const ALL: [(&'static str, Self); 12] = [
        ("sum", Self::Sum),
        ("avg", Self::Avg),
        ("min", Self::Min),
        ("max", Self::Max),
        ("count", Self::Count),
        ("group", Self::Group),
        ("stddev", Self::Stddev),
        ("stdvar", Self::Stdvar),
        ("quantile", Self::Quantile),
        ("topk", Self::Topk),
        ("bottomk", Self::Bottomk),
        ("count_values", Self::CountValues),
    ];

    /// The type of its parameter, if it has one.
    pub(crate) const fn parameter(self) -> Option<Type> {
        match self {
            Self::Quantile | Self::Topk | Self::Bottomk => Some(Type::Scalar),
            Self::CountValues => Some(Type::Text),
            _ => None,
        }
    }
}

/// `sum by (job) (…)`
#[derive(Clone, Debug)]
pub struct Aggregate {
    /// How it folds.
    pub how: Aggregation,
    /// Into which groups.
    pub grouping: Grouping,
    /// `k`, `φ` or a label's name.
    pub parameter: Option<Expr>,
    /// What is folded.
    pub expr: Expr,
}

/// `by (…)` or `without (…)`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grouping {
    /// `without`.
    pub without: bool,
    /// The labels.
    pub labels: Vec<String>,
}

/// A binary operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the PromQL operator itself")]
pub enum Operator {
    Add,
    Sub,
    Mul,
    Div,
    Mod,
    Pow,
    Atan2,
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    And,
    Or,
    Unless,
}

impl Operator {
    /// How tightly it binds (`promql/parser/generated_parser.y`).
    pub(crate) const fn precedence(self) -> u8 {
        match self {
            Self::Or => 1,
            Self::And | Self::Unless => 2,
            Self::Equal | Self::NotEqual | Self::Less | Self::LessEqual | Self::Greater | Self::GreaterEqual => 3,
            Self::Add | Self::Sub => 4,
            Self::Mul | Self::Div | Self::Mod | Self::Atan2 => 5,
            Self::Pow => 6,
        }
    }

    /// `==` and its kin.
    pub const fn is_comparison(self) -> bool {
        self.precedence() == 3
    }

    /// `and`, `or`, `unless`.
    pub const fn is_set(self) -> bool {
        self.precedence() <= 2
    }

    /// As written.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Sub => "-",
            Self::Mul => "*",
            Self::Div => "/",
            Self::Mod => "%",
            Self::Pow => "^",
            Self::Atan2 => "atan2",
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessEqual => "<=",
            Self::Greater => ">",
            Self::GreaterEqual => ">=",
            Self::And => "and",
            Self::Or => "or",
            Self::Unless => "unless",
        }
    }
}

/// `a > bool on (x) group_left (y) b`
#[derive(Clone, Debug)]
pub struct Binary {
    /// Between them.
    pub operator: Operator,
    /// `bool`.
    pub returns_bool: bool,
    /// How vectors are matched.
    pub matching: Matching,
    /// Left.
    pub left: Expr,
    /// Right.
    pub right: Expr,
}

/// How the samples of two vectors find each other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Matching {
    /// `on`; otherwise `ignoring`, which nothing at all is, too.
    pub on: bool,
    /// The labels.
    pub labels: Vec<String>,
    /// How many of each side.
    pub cardinality: Cardinality,
    /// Labels that the many take over from the one.
    pub include: Vec<String>,
}

/// How many samples of either side may match.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cardinality {
    /// One of each.
    #[default]
    OneToOne,
    /// `group_left`.
    ManyToOne,
    /// `group_right`.
    OneToMany,
}

impl Expr {
    /// Its type.
    pub fn kind(&self) -> Type {
        match self {
            Self::Number(_) => Type::Scalar,
            Self::Text(_) => Type::Text,
            Self::Instant(_) | Self::Aggregate(_) => Type::Vector,
            Self::Range(..) | Self::Subquery(_) => Type::Matrix,
            Self::Call(name, _) => super::functions::find(name).map_or(Type::Vector, |f| f.returns),
            Self::Binary(b) => match (b.left.kind(), b.right.kind()) {
                (Type::Scalar, Type::Scalar) => Type::Scalar,
                _ => Type::Vector,
            },
            Self::Negate(inner) => inner.kind(),
        }
    }

    /// Calls `visit` for it and everything in it.
    pub fn walk<'a>(&'a self, visit: &mut impl FnMut(&'a Self)) {
        visit(self);
        match self {
            Self::Number(_) | Self::Text(_) | Self::Instant(_) | Self::Range(..) => {}
            Self::Subquery(inner) => inner.expr.walk(visit),
            Self::Call(_, arguments) => arguments.iter().for_each(|argument| argument.walk(visit)),
            Self::Aggregate(aggregate) => {
                aggregate.parameter.iter().for_each(|parameter| parameter.walk(visit));
                aggregate.expr.walk(visit);
            }
            Self::Binary(binary) => {
                binary.left.walk(visit);
                binary.right.walk(visit);
            }
            Self::Negate(inner) => inner.walk(visit),
        }
    }

    /// How far back it looks, milliseconds; `None`: at an instant that stays where it is.
    pub fn reach(&self) -> Option<i64> {
        let most = |all: &[Self]| all.iter().try_fold(0, |most, expr| Some(expr.reach()?.max(most)));
        let behind = |at: Option<i64>, offset: i64, more: i64| at.is_none().then_some(offset.max(0) + more);
        match self {
            Self::Number(_) | Self::Text(_) => Some(0),
            Self::Instant(selector) => behind(selector.at, selector.offset, LOOKBACK),
            Self::Range(selector, range) => behind(selector.at, selector.offset, *range),
            Self::Subquery(query) => behind(query.at, query.offset, query.range + query.expr.reach()?),
            Self::Call(_, arguments) => most(arguments),
            Self::Aggregate(of) => Some(of.expr.reach()?.max(of.parameter.as_ref().map_or(Some(0), Self::reach)?)),
            Self::Binary(binary) => Some(binary.left.reach()?.max(binary.right.reach()?)),
            Self::Negate(inner) => inner.reach(),
        }
    }

    /// Every selector in it.
    pub fn selectors(&self) -> Vec<&Selector> {
        let mut all = Vec::new();
        self.walk(&mut |expr| {
            if let Self::Instant(selector) | Self::Range(selector, _) = expr {
                all.push(selector);
            }
        });
        all
    }
}
