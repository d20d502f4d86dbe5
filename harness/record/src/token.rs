//! The tokens by which a rehearsed client shows who it is.
//!
//! A token names its subject and carries a seal that only the run's seed makes: what is issued is what is checked,
//! by every pod and without a word between them. It keeps nobody out who means harm; it stands in for a signature.

use units::{Purpose, RequestId, Seed};

const SCHEME: &str = "Bearer ";

/// Issues the token of a subject: `rh.SUBJECT.SEAL`.
pub fn issue(seed: Seed, subject: u64) -> String {
    format!("rh.{subject:016x}.{:016x}", seal(seed, subject))
}

/// The value of `Authorization` that carries a subject's token.
pub fn bearer(seed: Seed, subject: u64) -> String {
    SCHEME.to_owned() + &issue(seed, subject)
}

/// Whose token an `Authorization` carries; `None` if it is none of this run's.
pub fn check(seed: Seed, authorization: &str) -> Option<u64> {
    let token = authorization.strip_prefix(SCHEME)?.trim();
    let (subject, sealed) = token.strip_prefix("rh.")?.split_once('.')?;
    let hex = |text: &str| u64::from_str_radix(text, 16).ok().filter(|_| text.len() == 16);
    let (subject, sealed) = (hex(subject)?, hex(sealed)?);
    (sealed == seal(seed, subject)).then_some(subject)
}

fn seal(seed: Seed, subject: u64) -> u64 {
    seed.child("token").draw(RequestId::of_step(subject, 0), Purpose::Payload).bits()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_issued_is_what_is_checked() {
        let seed = Seed::new(7);
        let good = bearer(seed, 42);
        let other = bearer(seed, 43);
        assert_eq!((check(seed, &good), check(seed, &other)), (Some(42), Some(43)));
        let sealed_for_another = format!("{}{}", &good[..good.len() - 16], &other[other.len() - 16..]);
        for (case, text) in [
            ("nothing", String::new()),
            ("another run's", bearer(Seed::new(8), 42)),
            ("no scheme", good["Bearer ".len()..].to_owned()),
            ("another's seal", sealed_for_another),
            ("cut off", good[..good.len() - 1].to_owned()),
            ("somebody else's", "Bearer eyJhbGciOiJIUzI1NiJ9.e30.x".to_owned()),
        ] {
            assert_eq!(check(seed, &text), None, "{case}");
        }
    }
}
