//! A capacity answer in a terminal: the answer first, what would move it next.

use record::{CapacityPlan, Climbs};

use super::{first, rate, requests, title, trust};
use crate::terminal::{Out, row};
use crate::words;

/// A readable summary of at most `width` columns, ended by a newline.
pub fn capacity_text(plan: &CapacityPlan, width: usize) -> String {
    let mut out = Out::new(width, false);
    if let Some(trust) = trust(plan) {
        out.line(&trust);
    }
    out.line(&format!("{}.", title(plan)));
    if let Some(first) = first(plan) {
        out.line(&first);
    }
    out.head("How much");
    let mut rows = vec![row(["", "holds", "breaks", "requests/s", "p95", "broken by"])];
    for capacity in [&plan.declared, &plan.fixed] {
        rows.push(row([
            &capacity.setting,
            &rate(capacity.keeps),
            &capacity.breaks.map_or_else(|| "–".into(), rate),
            &requests(plan, capacity.keeps).replace(" requests/s", ""),
            &capacity.p95_us.map_or_else(|| "–".into(), words::ms),
            capacity.broken_by.as_deref().unwrap_or("–"),
        ]));
    }
    out.table(1, &rows);
    crate::confirmed::text(&mut out, &plan.confirmed, &plan.not_confirmed);
    out.head("What breaks first, and next");
    for (index, rung) in plan.ladder.iter().enumerate() {
        out.line(&format!("  {}. {}", index + 1, rung.binds));
        let change = rung.change.as_deref().unwrap_or("no manifest says it");
        let after = rung.after.map_or_else(String::new, |after| format!(" → {}", rate(after)));
        out.line(&format!("     {change}: {}{after}", rate(rung.before)));
    }
    out.head("Bounds by the utilisation law");
    for bound in plan.bounds.iter().take(8) {
        out.line(&format!("  {:>8}  {}", rate(bound.rate), bound.why));
    }
    motion(&mut out, plan);
    out.head("With something gone");
    for loss in &plan.losses {
        let enough = if loss.enough { "enough" } else { "NOT ENOUGH" };
        let why = loss.why.as_ref().filter(|_| !loss.enough).map_or_else(String::new, |why| format!(": {why}"));
        out.line(&format!("  {:>8}  without {} ({enough}{why})", rate(loss.keeps), loss.what));
    }
    if let Some(growth) = &plan.growth {
        out.head("How long it is enough");
        out.line(&format!(
            "  {} months at {} a month; {} with the worst of these gone",
            words::number(growth.months, 1),
            words::percent(growth.monthly),
            words::number(growth.months_degraded, 1)
        ));
    }
    out.head("Who and what that is");
    out.line(&format!(
        "  {} users at once, {} a day: {}",
        words::count(plan.users.at_once as u64),
        words::count(plan.users.daily as u64),
        plan.users.how
    ));
    for footing in &plan.footing {
        let nodes: Vec<String> = footing.nodes.iter().map(|(kind, count)| format!("{count} × {kind}")).collect();
        let cost = footing.per_million.zip(footing.prices.as_ref()).map_or_else(String::new, |(cost, prices)| {
            format!("; {} a million requests ({prices})", words::number(cost, 2))
        });
        out.line(&format!(
            "  at {}: {} cores and {} GiB requested, {}{cost}",
            rate(footing.rate),
            words::number(footing.cores, 1),
            words::number(footing.gib, 0),
            words::list(&nodes)
        ));
    }
    out.head("Settings at the asked rate: latency against cost");
    let mut rows = vec![row(["", "p95", "cores", ""])];
    for point in &plan.frontier {
        let word = match (point.holds, point.pareto) {
            (false, _) => "breaks an objective",
            (true, true) => "on the frontier",
            (true, false) => "",
        };
        let p95 = format!("{} ms", words::number(point.p95_ms, 0));
        rows.push(row([&point.setting, &p95, &words::number(point.cores, 1), word]));
    }
    out.table(1, &rows);
    out.head("A figure off by 20 %");
    for sensitivity in &plan.sensitivity {
        out.line(&format!("  {}: {} to {}", sensitivity.figure, rate(sensitivity.higher), rate(sensitivity.lower)));
    }
    out.line("");
    out.line(&format!("{} rehearsals. Again: {}", words::count(plan.rehearsals), plan.command));
    out.into_text()
}

/// Which climbs hold.
pub(super) fn climbs(found: Climbs) -> String {
    let seconds = |climb: f64| words::number(climb, 0);
    match (found.shortest_s, found.breaks_s) {
        (Some(good), Some(bad)) => format!("a climb of {} s holds, one of {} s does not", seconds(good), seconds(bad)),
        (Some(good), None) => format!("even a climb of {} s holds", seconds(good)),
        (None, _) => "no climb that was tried holds".into(),
    }
}

fn motion(out: &mut Out, plan: &CapacityPlan) {
    let Some(motion) = &plan.motion else { return };
    out.head("Autoscaling in motion");
    let (from, to) = (rate(motion.from), rate(motion.to));
    out.line(&format!("  from {from} to {to}: {}", climbs(motion.reactive)));
    out.line(&format!("  with a forecast beside the autoscalers: {}", climbs(motion.predictive)));
    for delay in &motion.delays {
        let parts = [
            ("sample", delay.sample_us),
            ("sync", delay.sync_us),
            ("schedule", delay.schedule_us),
            ("start", delay.start_us),
            ("probes", delay.probe_us),
            ("endpoints", delay.propagation_us),
        ];
        let told: Vec<String> = parts.iter().map(|(name, us)| format!("{name} {}", words::span(*us))).collect();
        let all: u64 = parts.iter().map(|(_, us)| us).sum();
        out.line(&format!(
            "  {} {} → {}: {} from load to ready ({}); overshoot {}, reversals {}",
            delay.workload,
            delay.from,
            delay.to,
            words::span(all),
            told.join(", "),
            delay.overshoot,
            delay.reversals
        ));
    }
    for target in &motion.targets {
        let late = if target.at_limit < f64::from(target.target) {
            ": it acts too late to save the objective by itself"
        } else {
            ""
        };
        out.line(&format!(
            "  {} aims at {} % of its CPU request; at the limit of fixed replicas it uses {} %{late}",
            target.workload,
            target.target,
            words::number(target.at_limit, 0)
        ));
    }
}
