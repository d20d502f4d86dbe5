//! Reading a profile, and refusing what cannot be with its place and the nearest word that would do.

use serde_saphyr::Error;
use units::Distribution;

use super::{Profile, RouteProfile};

/// Why a profile cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// The YAML is broken or has a key that no profile has.
    #[error("{file}:{line}: {reason}")]
    Parse {
        /// Which file.
        file: String,
        /// Where, from 1.
        line: u64,
        /// Why, and what would do.
        reason: String,
    },
    /// A figure makes no sense.
    #[error("{file}:{line}: {what}")]
    Impossible {
        /// Which file.
        file: String,
        /// Where, from 1.
        line: u64,
        /// What, and what would do.
        what: String,
    },
}

impl Profile {
    /// Reads a profile and refuses what cannot be. `file` is its name in errors.
    pub fn parse(text: &str, file: &str) -> Result<Self, ProfileError> {
        let profile: Self = serde_saphyr::from_str(text).map_err(|error| {
            let line = error.location().map_or(1, |location| location.line());
            ProfileError::Parse { file: file.into(), line, reason: reason(error.without_snippet()) }
        })?;
        match profile.impossible() {
            None => Ok(profile),
            Some((near, what)) => {
                let line = text.lines().position(|line| line.contains(&near)).map_or(1, |index| index as u64 + 1);
                Err(ProfileError::Impossible { file: file.into(), line, what })
            }
        }
    }

    /// What makes no sense, with the text that stands near it.
    fn impossible(&self) -> Option<(String, String)> {
        if self.workers == 0 || self.backlog == 0 {
            let near = if self.workers == 0 { "workers:" } else { "backlog:" };
            return Some((near.into(), "workers and backlog must be at least 1".into()));
        }
        if self.pool.as_ref().is_some_and(|pool| pool.size == 0 && pool.overflow == 0) {
            return Some(("pool:".into(), "the pool has no connection: size or overflow must be at least 1".into()));
        }
        for (index, route) in self.routes.iter().enumerate() {
            let what = route.impossible().or_else(|| {
                if let Some(earlier) = self.routes[..index].iter().find(|earlier| earlier.covers(route)) {
                    return Some(format!("is never reached: `{}` stands before it", earlier.route));
                }
                let unpooled = route.database.is_some() && self.pool.is_none();
                unpooled.then(|| {
                    "asks a database, and the profile has no `pool`: {database, size, overflow, timeout}".into()
                })
            });
            if let Some(what) = what {
                return Some((route.route.clone(), format!("route `{}` {what}", route.route)));
            }
        }
        None
    }
}

impl RouteProfile {
    fn impossible(&self) -> Option<String> {
        let request = |text: &str| text.split_once(' ').is_some_and(|(_, path)| path.starts_with('/'));
        let share = |value: f64| (0.0..=1.0).contains(&value);
        if !request(&self.route) {
            return Some("is not of the form `GET /path`".into());
        }
        if let Some(call) = self.calls.iter().find(|call| !request(&call.request)) {
            return Some(format!("calls `{}`, which is not of the form `GET /path`", call.request));
        }
        let stream = self.stream.map(|stream| [stream.first, stream.gap]).into_iter().flatten();
        let data = self.cache.map(|cache| cache.time).into_iter().chain(self.database.map(|database| database.time));
        for law in [self.cpu, self.wait].into_iter().chain(stream).chain(data) {
            if matches!(law, Distribution::LogNormal { sigma, .. } if !(0.0..=3.0).contains(&sigma)) {
                return Some("has a sigma outside 0 to 3".into());
            }
        }
        if let Some(tokens) = self.stream.map(|stream| stream.tokens)
            && (tokens.median == 0 || !(0.0..=3.0).contains(&tokens.sigma))
        {
            return Some("streams no tokens: their median is at least 1 and their sigma within 0 to 3".into());
        }
        match (self.cache, self.database, self.errors) {
            (Some(cache), ..) if !share(cache.hit) => Some(format!("hits its cache {} of the time: 0 to 1", cache.hit)),
            (Some(cache), ..) if cache.operations == 0 => Some("has a cache and no operations".into()),
            (_, Some(database), _) if database.queries == 0 => Some("has a database and no queries".into()),
            (.., Some(errors)) if !share(errors.rate) => Some(format!("has an error rate of {}: 0 to 1", errors.rate)),
            (.., Some(errors)) if !(400..=599).contains(&errors.status) => {
                Some(format!("fails with status {}: 400 to 599", errors.status))
            }
            _ => None,
        }
    }
}

fn reason(error: &Error) -> String {
    match error {
        Error::SerdeUnknownField { field, expected, .. } => {
            format!("there is no key `{field}` here{}", nearest(field, expected))
        }
        Error::SerdeUnknownVariant { variant, expected, .. } => {
            format!("`{variant}` is none of what can stand here{}", nearest(variant, expected))
        }
        Error::SerdeMissingField { field, .. } => format!("the key `{field}` is missing"),
        // The place is told beside it.
        other => {
            let text = other.to_string();
            text.split(" at line ").next().unwrap_or(&text).to_owned()
        }
    }
}

fn nearest(word: &str, candidates: &[&str]) -> String {
    let near = candidates.iter().map(|known| (strsim::damerau_levenshtein(word, known), *known)).min();
    match near {
        Some((distance, known)) if distance <= 1 + word.chars().count() / 3 => format!(": did you mean `{known}`?"),
        _ => format!(": it knows {}", candidates.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::PROFILES;

    #[test]
    fn impossible_profiles_are_refused_with_place_and_reason() {
        let good = PROFILES.iter().find(|(file, _)| *file == "auth-service.yaml").unwrap().1;
        let line_of = |needle: &str| good.lines().position(|line| line.contains(needle)).unwrap() + 1;
        for (case, from, to, wants) in [
            ("unknown key", "workers:", "wrokers:", vec!["`wrokers`", "did you mean `workers`"]),
            ("unknown key of a route", "    cpu:", "    cpus:", vec!["`cpus`", "did you mean `cpu`"]),
            ("unknown discipline", "discipline: fcfs", "discipline: lifo", vec!["`lifo`", "fcfs, ps"]),
            ("no workers", "workers: 1", "workers: 0", vec!["at least 1"]),
            ("no unit", "median: 22ms", "median: 22", vec!["22", "unit"]),
            ("sigma", "sigma: 0.35", "sigma: 9", vec!["POST /auth/register", "sigma"]),
            ("no path", "POST /auth/register", "POST auth", vec!["GET /path"]),
            (
                "hidden by an earlier route",
                "POST /auth/register",
                "POST /auth/*",
                vec!["POST /auth/token", "never reached"],
            ),
            ("hit", "hit: 0.95", "hit: 95", vec!["95", "0 to 1"]),
            ("no pool", "pool: {database: db_auth, size: 3, overflow: 0, timeout: 30s}", "", vec!["no `pool`"]),
        ] {
            assert!(good.contains(from), "{case}: the profile has no `{from}`");
            let error = Profile::parse(&good.replacen(from, to, 1), "x.yaml").unwrap_err().to_string();
            assert!(wants.iter().all(|want| error.contains(want)), "{case}: {error}");
            if !matches!(case, "hidden by an earlier route" | "no pool" | "sigma" | "hit") {
                let place = format!("x.yaml:{}: ", line_of(from));
                assert!(error.starts_with(&place), "{case}: {error} is not at {place}");
            }
        }
    }
}
