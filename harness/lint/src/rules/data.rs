//! Connection pools against what the database admits.

use platform::Workload;

use super::{Context, name_of};
use crate::{Finding, Rule, Severity};

/// `superuser_reserved_connections`.
const RESERVED: u32 = 3;

pub(crate) static POOLS_EXCEED: Rule = Rule {
    id: "pools-exceed-max-connections",
    severity: Severity::Error,
    title: "connection pools together may exceed the database's max_connections",
    explanation: "Each process keeps a pool of its own, so a service may hold (pool + overflow) × processes × pods \
        connections. PostgreSQL keeps 3 of max_connections for superusers and refuses the rest: `FATAL: sorry, too \
        many clients already`, first of all when autoscalers are at their maximum, under the highest load.",
    fix: "Make the pools smaller, lower maxReplicas, or put a pooler such as PgBouncer in between.",
};

/// What one workload may hold.
struct Pool<'a> {
    workload: &'a Workload,
    each: u32,
    pods: u32,
}

pub(crate) fn check(context: &Context<'_>, found: &mut Vec<Finding>) {
    let platform = context.platform;
    let Some(id) = platform.database() else { return };
    let (database, limit) = (platform.workload(id), platform.max_connections(id));
    let mut pools: Vec<Pool<'_>> = platform
        .workloads
        .iter()
        .filter(|w| w.kind.is_service() && w.namespace == database.namespace)
        .filter_map(|workload| Some(Pool { workload, each: connections(workload)?, pods: context.most_pods(workload) }))
        .collect();
    let total: u32 = pools.iter().map(|pool| pool.each * pool.pods).sum();
    let usable = limit.saturating_sub(RESERVED);
    if total <= usable {
        return;
    }
    pools.sort_by_key(|pool| std::cmp::Reverse(pool.each * pool.pods));
    let largest: Vec<_> = pools
        .iter()
        .take(3)
        .map(|pool| format!("{} {} × {} pods = {}", pool.workload.name, pool.each, pool.pods, pool.each * pool.pods))
        .collect();
    let place = &pools[0].workload.place;
    found.push(POOLS_EXCEED.at(
        name_of(database),
        place,
        format!("At full scale {} connections are refused.", total - usable),
        format!(
            "Pools may open {total} connections; max_connections {limit} leaves {usable}. The largest: {}.",
            largest.join("; ")
        ),
    ));
}

/// (pool + overflow) × processes, from the variables that say so.
fn connections(workload: &Workload) -> Option<u32> {
    let variables = || workload.containers.iter().flat_map(|container| &container.env);
    let number = |words: &[&str]| {
        let named = |name: &str| words.iter().all(|word| name.contains(word));
        variables().find(|(name, _)| named(name)).and_then(|(_, value)| value.trim().parse::<u32>().ok())
    };
    let pool =
        number(&["POOL", "SIZE"]).or_else(|| number(&["POOL", "MAX"])).or_else(|| number(&["MAX", "CONNECTIONS"]))?;
    let overflow = number(&["OVERFLOW"]).unwrap_or(0);
    let processes = number(&["WEB_CONCURRENCY"]).or_else(|| number(&["WORKERS"])).unwrap_or(1);
    Some((pool + overflow) * processes.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use platform::Container;

    #[test]
    fn pools_count_overflow_and_processes() {
        let workload = |env: &[(&str, &str)]| Workload {
            containers: vec![Container {
                env: env.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect(),
                ..Container::default()
            }],
            ..Workload::default()
        };
        assert_eq!(connections(&workload(&[("DB_POOL_SIZE", "5")])), Some(5));
        assert_eq!(connections(&workload(&[("DB_POOL_SIZE", "5"), ("DB_MAX_OVERFLOW", "10")])), Some(15));
        let four = workload(&[("SQLALCHEMY_POOL_SIZE", "5"), ("WEB_CONCURRENCY", "4")]);
        assert_eq!(connections(&four), Some(20));
        assert_eq!(connections(&workload(&[("PORT", "80")])), None);
    }
}
