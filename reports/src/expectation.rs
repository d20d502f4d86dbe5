//! An expectation in words: `failed of core in after is at most 0.5 %` as a scenario states it, as a reader reads it.

/// The words that begin a part, in the order in which a scenario states them.
const PARTS: [&str; 7] = ["of", "in", "during", "after", "is", "reaches", "within"];

/// Taken apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Stated<'a> {
    that: &'a str,
    parts: Vec<(&'a str, String)>,
}

impl<'a> Stated<'a> {
    fn read(told: &'a str) -> Self {
        let mut words = told.split(' ');
        let mut stated = Self { that: words.next().unwrap_or_default(), parts: Vec::new() };
        let mut value_is_due = false;
        for word in words {
            // What follows the word of a part is its value, even if it is such a word itself: a phase may be called so.
            let known = PARTS.contains(&word) && !stated.parts.iter().any(|(part, _)| *part == word);
            match stated.parts.last_mut() {
                _ if known && !value_is_due => {
                    stated.parts.push((word, String::new()));
                    value_is_due = true;
                    continue;
                }
                Some((_, value)) => {
                    if !value.is_empty() {
                        value.push(' ');
                    }
                    value.push_str(word);
                }
                None => {}
            }
            value_is_due = false;
        }
        stated
    }

    fn part(&self, name: &str) -> Option<&str> {
        self.parts.iter().find(|(part, _)| *part == name).map(|(_, value)| value.as_str())
    }

    /// ` in phase step`, ` during “zone lost”`, ` after “zone lost”`.
    fn when(&self) -> String {
        let mut when = String::new();
        for (part, before, after) in
            [("in", " in phase ", ""), ("during", " during “", "”"), ("after", " after “", "”")]
        {
            if let Some(value) = self.part(part) {
                when += &format!("{before}{value}{after}");
            }
        }
        when
    }

    fn within(&self) -> String {
        self.part("within").map_or_else(String::new, |within| format!(" within {within}"))
    }
}

/// What a title says of one that did not come true; `flows` are those of the run.
pub(crate) fn unmet(told: &str, flows: &[&str]) -> String {
    let stated = Stated::read(told);
    let of = stated.part("of").map(|of| if flows.contains(&of) { format!("the {of} flow") } else { of.to_owned() });
    let of = of.as_deref();
    match (stated.that, of, stated.part("is"), stated.part("reaches")) {
        ("recovered", Some(of), ..) => format!("{of} does not recover{}{}", stated.within(), stated.when()),
        ("replicas", Some(of), _, Some(n)) => {
            format!("{of} does not reach {n} replicas{}{}", stated.within(), stated.when())
        }
        (that @ ("failed" | "rejected"), of, Some(bound), _) => {
            let verb = if that == "failed" { "fail" } else { "are rejected" };
            let whose = of.map_or_else(String::new, |of| format!(" of {of}"));
            let amount = if bound == "0" || bound.starts_with("at most") {
                "too many"
            } else {
                "not as many as expected of the"
            };
            format!("{amount} requests{whose} {verb}{}", stated.when())
        }
        _ => format!("it did not come true that {told}"),
    }
}

/// The same for a table.
pub(crate) fn expected(told: &str) -> String {
    let stated = Stated::read(told);
    let of = stated.part("of").map_or_else(String::new, |of| format!(" of {of}"));
    match (stated.that, stated.part("is"), stated.part("reaches")) {
        (that @ ("failed" | "rejected" | "answered"), Some(bound), _) => {
            let bound = if bound == "0" { "none" } else { bound };
            format!("Requests{of} {that}{}: {bound}", stated.when())
        }
        ("recovered", ..) => format!("Recovery{of}{}{}", stated.when(), stated.within()),
        ("replicas", _, Some(n)) => format!("Replicas{of}{} reach {n}{}", stated.when(), stated.within()),
        _ => told.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_scenario_states_reads_as_a_sentence() {
        for (told, title, row) in [
            (
                "failed of core in after is at most 0.5 %",
                "too many requests of the core flow fail in phase after",
                "Requests of core failed in phase after: at most 0.5 %",
            ),
            ("rejected is 0", "too many requests are rejected", "Requests rejected: none"),
            (
                "recovered of core after zone lost within 120s",
                "the core flow does not recover within 120s after “zone lost”",
                "Recovery of core after “zone lost” within 120s",
            ),
            (
                "replicas of transactions-service in step reaches 4 within 90s",
                "transactions-service does not reach 4 replicas within 90s in phase step",
                "Replicas of transactions-service in phase step reach 4 within 90s",
            ),
            (
                "the run is not given up before its end",
                "it did not come true that the run is not given up before its end",
                "the run is not given up before its end",
            ),
        ] {
            assert_eq!(unmet(told, &["core"]), title);
            assert_eq!(expected(told), row);
        }
    }
}
