//! The profiles of the platform that this repository ships.

use std::collections::BTreeMap;

use super::{Profile, ProfileError};

macro_rules! profiles {
    ($($workload:literal)*) => {
        /// Every shipped profile as (file name, text).
        pub const PROFILES: &[(&str, &str)] = &[
            $((concat!($workload, ".yaml"), include_str!(concat!("../../profiles/", $workload, ".yaml"))),)*
        ];
    };
}

profiles! {
    "advice-service" "agent-service" "ai-agent-service" "analytics-service" "auth-service" "banking-connector"
    "billing-service" "business-intelligence-service" "calendar-service" "categorization-service"
    "compliance-service" "consent-service" "documents-service" "fraud-detection-service" "graphql-gateway"
    "integrations-service" "invoice-service" "localization-service" "partner-registry"
    "predictive-analytics-service" "qna-service" "support-ai-service" "tax-engine" "transactions-service"
    "user-profile-service" "voice-gateway" "weaviate" "web-portal"
}

/// The shipped profiles by workload.
pub fn shipped() -> Result<BTreeMap<String, Profile>, ProfileError> {
    PROFILES.iter().map(|(file, text)| Profile::parse(text, file).map(|p| (p.workload.clone(), p))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use units::Nanos;

    #[test]
    fn they_are_valid_named_after_their_file_and_none_is_forgotten() {
        let shipped = shipped().unwrap();
        for (file, _) in PROFILES {
            assert!(shipped.contains_key(file.trim_end_matches(".yaml")), "{file}");
        }
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/profiles");
        assert_eq!(std::fs::read_dir(folder).unwrap().count(), shipped.len(), "a file that no list names");
    }

    #[test]
    fn their_calls_find_a_route() {
        let shipped = shipped().unwrap();
        for (workload, profile) in &shipped {
            for call in profile.routes.iter().flat_map(|route| &route.calls) {
                let (method, path) = call.request.split_once(' ').unwrap();
                let found = shipped.get(&call.service).and_then(|callee| callee.route(method, path));
                assert!(found.is_some(), "{workload} calls {} {}", call.service, call.request);
            }
        }
    }

    #[test]
    fn documented_steps_are_fast_enough_when_nobody_is_in_the_way() {
        let shipped = shipped().unwrap();
        // Means with all that they call; the limits are of the 95th percentile under load.
        for (workload, request, limit) in [
            ("auth-service", "POST /auth/register", 500),
            ("auth-service", "POST /auth/token", 200),
            ("user-profile-service", "GET /users/me", 300),
            ("transactions-service", "POST /transactions/", 400),
            ("analytics-service", "GET /analytics/dashboard", 600),
            ("tax-engine", "POST /tax/submissions", 2_500),
            ("ai-agent-service", "POST /ai/chat", 3_000),
        ] {
            let mean = mean(&shipped, workload, request);
            assert!(mean * 2 < Nanos::from_millis(limit), "{request}: {mean} on average, and the limit is {limit} ms");
        }
    }

    fn mean(shipped: &BTreeMap<String, Profile>, workload: &str, request: &str) -> Nanos {
        let profile = &shipped[workload];
        let (method, path) = request.split_once(' ').unwrap();
        let route = &profile.routes[usize::from(profile.route(method, path).expect(request).0)];
        let calls: Nanos = route.calls.iter().map(|call| mean(shipped, &call.service, &call.request)).sum();
        let cache = route.cache.map_or(Nanos::ZERO, |cache| cache.time.mean() * u64::from(cache.operations));
        let database = route.database.map_or(Nanos::ZERO, |db| db.time.mean() * u64::from(db.queries));
        let stream = route.stream.map_or(Nanos::ZERO, |s| s.first.mean() + s.gap.mean() * u64::from(s.tokens.median));
        route.cpu.mean() + route.wait.mean() + calls + cache + database + stream
    }
}
