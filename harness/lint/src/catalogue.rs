//! Every rule there is.

use crate::rules::{
    autoscaling, build, data, disruption, gateway, ingress, kustomization, lifecycle, observability, placement, reach,
    start, storage, traffic,
};
use crate::{Rule, drift};

static RULES: &[&Rule] = &[
    &build::DOES_NOT_LOAD,
    &kustomization::PATCH_HITS_NOTHING,
    &kustomization::REPLACES_NOTHING,
    &kustomization::IMAGE_UNUSED,
    &kustomization::MERGES_NAMESPACES,
    &kustomization::BLANKET_PATCH,
    &build::SECRET_LITERAL,
    &build::UNKNOWN_FIELD,
    &start::MISSING_CONFIG,
    &start::MISSING_KEY,
    &start::MISSING_CLAIM,
    &storage::MISSING_VOLUME,
    &storage::CLASS_MISSING,
    &storage::TOO_SMALL,
    &storage::NO_SIZE,
    &start::MISSING_ACCOUNT,
    &start::MISSING_PRIORITY,
    &start::UNDEFINED_VARIABLE,
    &placement::NO_NODE_FITS,
    &placement::AFFINITY_UNSATISFIABLE,
    &placement::SPREAD_UNSATISFIABLE,
    &placement::SPREAD_SELECTS_NOTHING,
    &placement::SPREAD_KEY_UNKNOWN,
    &placement::MAXIMUM_DOES_NOT_FIT,
    &reach::SERVICE_SELECTS_NOTHING,
    &reach::SERVICE_SELECTS_TWO,
    &reach::TARGET_PORT_UNKNOWN,
    &reach::TARGET_PORT_UNDECLARED,
    &reach::PROBE_PORT_UNKNOWN,
    &reach::SELECTORS_OVERLAP,
    &autoscaling::TARGET_MISSING,
    &autoscaling::FIGHTS_REPLICAS,
    &autoscaling::WITHOUT_REQUEST,
    &autoscaling::UNKNOWN_CONTAINER,
    &autoscaling::TWO_FOR_ONE,
    &autoscaling::NEVER_MOVES,
    &autoscaling::SERVED_BY_ADAPTER,
    &lifecycle::NO_READINESS,
    &lifecycle::NO_LIVENESS,
    &lifecycle::SLOW_START_KILLED,
    &lifecycle::GRACE_TOO_SHORT,
    &lifecycle::NO_PRE_STOP,
    &lifecycle::UPDATE_TAKES_ALL,
    &disruption::BLOCKS_EVERY_DRAIN,
    &disruption::BUDGET_SELECTS_NOTHING,
    &disruption::TWO_BUDGETS,
    &disruption::SINGLE_REPLICA,
    &disruption::REPLICAS_UNPROTECTED,
    &traffic::BLOCKS,
    &traffic::SERVICE_PORT_IN_POLICY,
    &traffic::SELECTS_NOTHING,
    &traffic::BLOCKS_DNS,
    &ingress::BACKEND_MISSING,
    &ingress::HOST_UNANSWERED,
    &ingress::UNKNOWN_ANNOTATION,
    &ingress::REWRITE_SWALLOWS,
    &ingress::BODY_LIMITS_DIFFER,
    &gateway::ANSWERS_503,
    &gateway::MULTIPLIES,
    &gateway::LONE_SERVER,
    &gateway::ONE_BUCKET,
    &gateway::KEY_IS_CONSTANT,
    &gateway::LIMIT_ON_RETURN,
    &gateway::HOST_UNKNOWN,
    &gateway::PORT_UNKNOWN,
    &gateway::UNUSED_ZONE,
    &data::POOLS_EXCEED,
    &observability::NOBODY_SCRAPES,
    &observability::COUNTS_429,
    &observability::LONGER_THAN_REHEARSED,
    &observability::NO_BUCKET_EDGE,
    &drift::DRIFT,
    &drift::SUBJECT_MISSING,
];

/// All rules, by what they are about.
pub fn catalogue() -> impl Iterator<Item = &'static Rule> {
    RULES.iter().copied()
}

/// The rule called `id`, or the nearest id there is.
pub fn rule(id: &str) -> Result<&'static Rule, Option<&'static str>> {
    catalogue().find(|rule| rule.id == id).ok_or_else(|| crate::nearest(id, catalogue().map(|rule| rule.id)))
}
