//! An expression at an instant. After `promql/engine.go`.

use std::collections::BTreeSet;

use super::aggregate::{self, Parameter};
use super::ast::{Expr, LOOKBACK, Selector, Subquery};
use super::functions::{self, Window};
use super::{binary, quantile};
use crate::labels::{Compare, Labels, NAME, anchored};
use crate::store::Store;

/// Which Prometheus is followed, where releases differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Release {
    /// 2.x: a range includes a sample at its very beginning.
    V2,
    /// 3.x: it does not.
    #[default]
    V3,
}

/// One sample of an instant vector.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Its labels.
    pub labels: Labels,
    /// Its value.
    pub value: f64,
}

/// Series with their samples.
pub type Ranges = Vec<(Labels, Vec<(i64, f64)>)>;

/// What an expression is at an instant.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A number.
    Scalar(f64),
    /// Samples, each with its own label set.
    Vector(Vec<Sample>),
    /// Samples over time.
    Matrix(Ranges),
    /// A text.
    Text(String),
}

impl Value {
    /// As an instant vector: a scalar is one sample without labels.
    pub fn into_vector(self) -> Vec<Sample> {
        match self {
            Self::Scalar(value) => vec![Sample { labels: Labels::default(), value }],
            Self::Vector(samples) => samples,
            Self::Matrix(_) | Self::Text(_) => Vec::new(),
        }
    }
}

/// Why an expression has no value at an instant. Prometheus refuses these, too.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvalError {
    /// Two samples on the side of the one.
    #[error("found duplicate series for the match group {group}: {one} and another; many-to-many matching not allowed")]
    Duplicates {
        /// What they have in common.
        group: String,
        /// One of them.
        one: String,
    },
    /// Two samples on a side that may have one.
    #[error("multiple matches for labels {group}: many-to-one matching must be explicit (group_left/group_right)")]
    ManyToMany {
        /// What they have in common.
        group: String,
    },
    /// Two results of the same labels.
    #[error("vector cannot contain metrics with the same labelset, as with {labels}")]
    SameLabels {
        /// Which.
        labels: String,
    },
    /// An argument that only its value shows to be wrong.
    #[error("{0}")]
    Argument(String),
}

/// Evaluates expressions over a store.
#[derive(Clone, Copy, Debug)]
pub struct Evaluator<'a> {
    store: &'a Store,
    /// Whose rules are followed.
    pub release: Release,
    /// How old a sample may be to count as current, milliseconds.
    pub lookback: i64,
    /// The step of a subquery that names none, milliseconds.
    pub step: i64,
}

impl<'a> Evaluator<'a> {
    /// With Prometheus' defaults.
    pub const fn new(store: &'a Store) -> Self {
        Self { store, release: Release::V3, lookback: LOOKBACK, step: 15_000 }
    }

    /// By the rules of this release.
    #[must_use]
    pub const fn of(self, release: Release) -> Self {
        Self { release, ..self }
    }

    /// With this step for subqueries that name none, milliseconds.
    #[must_use]
    pub const fn every(self, step: i64) -> Self {
        Self { step, ..self }
    }

    /// The value of an expression at an instant, milliseconds.
    pub fn at(&self, expr: &Expr, now: i64) -> Result<Value, EvalError> {
        match expr {
            Expr::Number(value) => Ok(Value::Scalar(*value)),
            Expr::Text(text) => Ok(Value::Text(text.clone())),
            Expr::Instant(selector) => {
                Ok(Value::Vector(self.instant(selector, now).map(|(sample, _)| sample).collect()))
            }
            Expr::Range(..) | Expr::Subquery(_) => self.matrix(expr, now).map(|(matrix, ..)| Value::Matrix(matrix)),
            Expr::Call(name, arguments) => self.call(name, arguments, now),
            Expr::Aggregate(aggregation) => {
                let parameter = aggregation.parameter.as_ref().map(|expr| self.at(expr, now)).transpose()?;
                let parameter = match &parameter {
                    Some(Value::Scalar(number)) => Parameter::Number(*number),
                    Some(Value::Text(label)) => Parameter::Label(label),
                    _ => Parameter::None,
                };
                let samples = self.vector(&aggregation.expr, now)?;
                Ok(Value::Vector(aggregate::aggregate(aggregation, &parameter, samples)))
            }
            Expr::Binary(binary) => {
                let result = match (self.at(&binary.left, now)?, self.at(&binary.right, now)?) {
                    (Value::Scalar(left), Value::Scalar(right)) => {
                        let (value, holds) = binary::element(binary.operator, left, right);
                        let comparison = binary.operator.is_comparison();
                        return Ok(Value::Scalar(if comparison { binary::truth(holds) } else { value }));
                    }
                    (Value::Scalar(left), right) => binary::with_scalar(binary, right.into_vector(), left, true),
                    (left, Value::Scalar(right)) => binary::with_scalar(binary, left.into_vector(), right, false),
                    (left, right) => binary::of_vectors(binary, left.into_vector(), right.into_vector())?,
                };
                unique(result)
            }
            Expr::Negate(inner) => match self.at(inner, now)? {
                Value::Scalar(value) => Ok(Value::Scalar(-value)),
                other => unique(map(other.into_vector(), |value| -value)),
            },
        }
    }

    fn vector(&self, expr: &Expr, now: i64) -> Result<Vec<Sample>, EvalError> {
        self.at(expr, now).map(Value::into_vector)
    }

    fn scalar(&self, expr: Option<&Expr>, now: i64) -> Result<f64, EvalError> {
        match expr.map(|expr| self.at(expr, now)).transpose()? {
            Some(Value::Scalar(value)) => Ok(value),
            _ => Ok(0.0),
        }
    }

    fn text(&self, expr: &Expr, now: i64) -> Result<String, EvalError> {
        match self.at(expr, now)? {
            Value::Text(text) => Ok(text),
            _ => Ok(String::new()),
        }
    }

    /// What a selector finds, each with the instant of its sample.
    fn instant(&self, selector: &'a Selector, now: i64) -> impl Iterator<Item = (Sample, i64)> {
        let until = selector.at.unwrap_or(now) - selector.offset;
        let after = until - self.lookback - self.closed();
        self.store.select(&selector.matchers).filter_map(move |series| {
            let (at, value) = series.last(after, until)?;
            Some((Sample { labels: series.labels.clone(), value }, at))
        })
    }

    /// One millisecond where the beginning of a range belongs to it.
    fn closed(&self) -> i64 {
        i64::from(self.release == Release::V2)
    }

    /// The samples of a range with its bounds.
    fn matrix(&self, expr: &Expr, now: i64) -> Result<(Ranges, i64, i64), EvalError> {
        match expr {
            Expr::Range(selector, range) => {
                let until = selector.at.unwrap_or(now) - selector.offset;
                let start = until - range;
                let series = self.store.select(&selector.matchers).map(|series| {
                    (series.labels.clone(), series.within(start - self.closed(), until).collect::<Vec<_>>())
                });
                Ok((series.filter(|(_, samples)| !samples.is_empty()).collect(), start, until))
            }
            Expr::Subquery(subquery) => self.subquery(subquery, now),
            _ => unreachable!("the parser lets only ranges be ranges"),
        }
    }

    fn subquery(&self, subquery: &Subquery, now: i64) -> Result<(Ranges, i64, i64), EvalError> {
        let until = subquery.at.unwrap_or(now) - subquery.offset;
        let (start, step) = (until - subquery.range, subquery.step.unwrap_or(self.step));
        let mut at = start.div_euclid(step) * step;
        if at < start || (at == start && self.release == Release::V3) {
            at += step;
        }
        let mut all: std::collections::BTreeMap<Labels, Vec<(i64, f64)>> = std::collections::BTreeMap::new();
        while at <= until {
            for sample in self.vector(&subquery.expr, at)? {
                all.entry(sample.labels).or_default().push((at, sample.value));
            }
            at += step;
        }
        Ok((all.into_iter().collect(), start, until))
    }

    fn call(&self, name: &'static str, arguments: &[Expr], now: i64) -> Result<Value, EvalError> {
        let first = arguments.first();
        match name {
            "time" => return Ok(Value::Scalar(now as f64 / 1_000.0)),
            "vector" => return self.scalar(first, now).map(|value| Value::Vector(Value::Scalar(value).into_vector())),
            "absent" | "absent_over_time" => return self.absent(&arguments[0], now),
            "timestamp" => {
                if let Expr::Instant(selector) = &arguments[0] {
                    let stamped = self.instant(selector, now).map(|(mut sample, at)| {
                        sample.labels.remove(NAME);
                        Sample { value: at as f64 / 1_000.0, ..sample }
                    });
                    return unique(stamped.collect());
                }
                return unique(map(self.vector(&arguments[0], now)?, |_| now as f64 / 1_000.0));
            }
            _ => {}
        }
        let ranged = arguments.iter().find(|argument| matches!(argument, Expr::Range(..) | Expr::Subquery(_)));
        if let Some(ranged) = ranged {
            let parameter = arguments.iter().find(|argument| !std::ptr::eq(*argument, ranged));
            let parameter = self.scalar(parameter, now)?;
            let (matrix, start, end) = self.matrix(ranged, now)?;
            let named = name == "last_over_time";
            let fold = |(labels, samples): (Labels, Vec<(i64, f64)>)| {
                let window = Window { start, end, samples: &samples };
                let value = functions::over_time(name, &window, parameter, now, self.release)?;
                Some(Sample { labels: if named { labels } else { labels.unnamed() }, value })
            };
            return unique(matrix.into_iter().filter_map(fold).collect());
        }
        match name {
            "scalar" => Ok(Value::Scalar(match self.vector(&arguments[0], now)?.as_slice() {
                [one] => one.value,
                _ => f64::NAN,
            })),
            "clamp" | "clamp_min" | "clamp_max" => {
                let bound = self.scalar(arguments.get(1), now)?;
                let (least, most) = match name {
                    "clamp_min" => (bound, f64::INFINITY),
                    "clamp_max" => (f64::NEG_INFINITY, bound),
                    _ => (bound, self.scalar(arguments.get(2), now)?),
                };
                if most < least {
                    return Ok(Value::Vector(Vec::new()));
                }
                // Go's Min and Max: a NaN stays one, on either side.
                let unknown = least.is_nan() || most.is_nan();
                let within = |v: f64| if unknown || v.is_nan() { f64::NAN } else { v.min(most).max(least) };
                unique(map(self.vector(&arguments[0], now)?, within))
            }
            "round" => {
                let nearest = if arguments.len() > 1 { self.scalar(arguments.get(1), now)? } else { 1.0 };
                // Multiplied by the inverse, so that 0.1 does as well as it can.
                let inverse = 1.0 / nearest;
                unique(map(self.vector(&arguments[0], now)?, |value| (value * inverse + 0.5).floor() / inverse))
            }
            "histogram_quantile" => {
                let q = self.scalar(first, now)?;
                Ok(Value::Vector(quantile::of_buckets(q, self.vector(&arguments[1], now)?)))
            }
            "sort" | "sort_desc" => {
                let mut samples = self.vector(&arguments[0], now)?;
                samples.sort_by(|a, b| a.value.total_cmp(&b.value));
                if name == "sort_desc" {
                    samples.reverse();
                }
                Ok(Value::Vector(samples))
            }
            "label_replace" => self.label_replace(arguments, now),
            "label_join" => self.label_join(arguments, now),
            _ => {
                unique(map(self.vector(&arguments[0], now)?, |value| functions::plain(name, value).unwrap_or(f64::NAN)))
            }
        }
    }

    /// One sample of value 1 if there is none, with the labels that the selector fixes.
    fn absent(&self, argument: &Expr, now: i64) -> Result<Value, EvalError> {
        let there = match argument {
            Expr::Range(..) | Expr::Subquery(_) => !self.matrix(argument, now)?.0.is_empty(),
            _ => !self.vector(argument, now)?.is_empty(),
        };
        if there {
            return Ok(Value::Vector(Vec::new()));
        }
        let mut labels = Labels::default();
        if let Expr::Instant(selector) | Expr::Range(selector, _) = argument {
            let mut seen = BTreeSet::new();
            for matcher in selector.matchers.iter().filter(|matcher| matcher.label != NAME) {
                let fixed = matches!(matcher.compare, Compare::Equal) && seen.insert(&matcher.label);
                labels.set(matcher.label.as_str(), if fixed { matcher.value.as_str() } else { "" });
            }
        }
        Ok(Value::Vector(vec![Sample { labels, value: 1.0 }]))
    }

    fn label_replace(&self, arguments: &[Expr], now: i64) -> Result<Value, EvalError> {
        let text = |index: usize| self.text(&arguments[index], now);
        let (to, with, from, expression) = (text(1)?, text(2)?, text(3)?, text(4)?);
        let expression = anchored(&expression)
            .map_err(|error| EvalError::Argument(format!("invalid regular expression in label_replace: {error}")))?;
        let replace = |mut sample: Sample| {
            let source = sample.labels.get(&from).to_owned();
            if let Some(captures) = expression.captures(&source) {
                let mut value = String::new();
                captures.expand(&with, &mut value);
                sample.labels.set(to.as_str(), value);
            }
            sample
        };
        unique(self.vector(&arguments[0], now)?.into_iter().map(replace).collect())
    }

    fn label_join(&self, arguments: &[Expr], now: i64) -> Result<Value, EvalError> {
        let texts = arguments[1..].iter().map(|argument| self.text(argument, now)).collect::<Result<Vec<_>, _>>()?;
        let [to, separator, from @ ..] = texts.as_slice() else { return Ok(Value::Vector(Vec::new())) };
        let join = |mut sample: Sample| {
            let values: Vec<&str> = from.iter().map(|label| sample.labels.get(label)).collect();
            let value = values.join(separator);
            sample.labels.set(to.as_str(), value);
            sample
        };
        unique(self.vector(&arguments[0], now)?.into_iter().map(join).collect())
    }
}

/// Each value changed, and the metric's name dropped.
fn map(samples: Vec<Sample>, change: impl Fn(f64) -> f64) -> Vec<Sample> {
    samples.into_iter().map(|s| Sample { labels: s.labels.unnamed(), value: change(s.value) }).collect()
}

/// Refuses two samples of the same labels.
fn unique(samples: Vec<Sample>) -> Result<Value, EvalError> {
    let mut seen = BTreeSet::new();
    match samples.iter().find(|sample| !seen.insert(&sample.labels)) {
        Some(twice) => Err(EvalError::SameLabels { labels: twice.labels.to_string() }),
        None => Ok(Value::Vector(samples)),
    }
}
