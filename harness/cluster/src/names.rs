//! What objects are called: the random parts of names, drawn so that equal runs name alike.

use units::{Draw, Purpose, Seed};

/// What Kubernetes makes random names of (`k8s.io/apimachinery/pkg/util/rand`): no vowels, no look-alikes.
const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

/// The names of one workload's objects.
#[derive(Debug)]
pub(crate) struct Names {
    base: String,
    seed: Seed,
    created: u64,
}

impl Names {
    pub(crate) fn new(base: &str, seed: Seed) -> Self {
        Self { base: base.to_owned(), seed: seed.child("pod-names").child(base), created: 0 }
    }

    /// The hash of the `nth` pod template, as in `web-7c5d9f6b8d`.
    pub(crate) fn template(&self, nth: u32) -> String {
        let hash = letters(self.seed.child("template").draw_nth(nth.into(), Purpose::Phase), 10);
        format!("{}-{hash}", self.base)
    }

    /// The name of the next pod under `prefix`, such as `web-7c5d9f6b8d-x2k4p`. The suffix stands for the count of
    /// pods so far; a name in use is drawn anew, as the API server's refusal makes upstream do.
    pub(crate) fn pod(&mut self, prefix: &str, taken: impl Fn(&str) -> bool) -> String {
        loop {
            let name = format!("{prefix}-{}", letters(self.seed.draw_nth(self.created, Purpose::Phase), 5));
            self.created += 1;
            if !taken(&name) {
                return name;
            }
        }
    }

    /// The name of the pod with this ordinal, such as `db-0`.
    pub(crate) fn ordinal(&self, ordinal: u32) -> String {
        format!("{}-{ordinal}", self.base)
    }

    /// As manifests have it.
    pub(crate) fn base(&self) -> &str {
        &self.base
    }
}

fn letters(draw: Draw, count: u32) -> String {
    let base = ALPHABET.len() as u64;
    let mut bits = draw.bits();
    (0..count)
        .map(|_| {
            let letter = ALPHABET[(bits % base) as usize];
            bits /= base;
            char::from(letter)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_kubernetes_like_stable_and_never_taken() {
        let names = || Names::new("web", Seed::new(7));
        let (mut one, mut two) = (names(), names());
        let set = one.template(0);
        let first = one.pod(&set, |_| false);
        assert_eq!(first, two.pod(&set, |_| false));
        assert_ne!(two.pod(&set, |_| false), first);
        let parts: Vec<_> = first.split('-').collect();
        assert_eq!((parts[0], parts[1].len(), parts[2].len()), ("web", 10, 5), "{first}");
        assert_ne!(names().pod(&set, |name| name == first), first);
        assert_ne!(one.template(1), set, "another template, another hash");
        assert_eq!(one.ordinal(3), "web-3");
    }
}
