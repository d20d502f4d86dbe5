//! Drawn scenarios: load of every kind, faults of every kind, none of it tuned.

use std::collections::BTreeSet;
use std::fmt::Write;

use units::{Draw, Purpose, Seed};

/// Draws by number.
struct Chance(Seed);

impl Chance {
    fn draw(&self, nth: u64) -> Draw {
        self.0.draw_nth(nth, Purpose::Phase)
    }
    fn below(&self, nth: u64, bound: usize) -> usize {
        self.draw(nth).below(bound)
    }
    fn pick<'a>(&self, nth: u64, of: &[&'a str]) -> &'a str {
        of[self.below(nth, of.len())]
    }
    /// Up to five different kinds, of so many.
    fn kinds(&self, of: usize) -> BTreeSet<usize> {
        (0..self.below(0, 6) as u64).map(|nth| self.below(100 + nth, of)).collect()
    }
}

/// Names of a platform that faults are about.
struct Names {
    workloads: &'static [&'static str],

    /// Whom the gateway calls late, and whom in vain: two, since these exclude each other.
    behind: (&'static str, &'static str),
    caller: &'static str,
    called: &'static str,
    updated: &'static str,
    broken: &'static str,
    /// Nodes that are lost, drained and cut off: others, since faults of a node must not meet.
    apart: [&'static str; 3],
    noisy: (&'static str, u32),
}

/// A fault of a drawn kind, within so many seconds. Two of a kind never meet.
fn fault(kind: usize, names: &Names, chance: &Chance, within: usize) -> String {
    let (at, lasts) = (2 + chance.below(1, within), 1 + chance.below(2, within / 2));
    let workload = chance.pick(3, names.workloads);
    let what = match kind {
        0 => {
            format!(
                "podKill: {{workload: {workload}, pods: {}, forced: {}}}",
                1 + chance.below(5, 2),
                chance.below(6, 2) == 0
            )
        }
        1 => format!("nodeDrain: {{node: {}}}", names.apart[0]),
        2 => format!("nodeLoss: {{node: {}}}", names.apart[1]),
        3 => format!("partition: {{node: {}}}", names.apart[2]),
        4 => format!("rollingUpdate: {{workload: {}}}", names.updated),
        5 => format!("badImage: {{workload: {}}}", names.broken),
        6 => format!("latency: {{from: gateway, to: {}, add: {}ms}}", names.behind.0, 50 + chance.below(8, 900)),
        7 => format!(
            "errors: {{from: {}, to: {}, share: {} %, status: 503}}",
            names.caller,
            names.called,
            1 + chance.below(9, 99)
        ),
        8 => format!("blackhole: {{from: gateway, to: {}}}", names.behind.1),
        9 => "gatewayLoss: {pods: 1}".to_owned(),
        10 => format!("noisyNeighbour: {{node: {}, cpu: {}}}", names.noisy.0, names.noisy.1),
        11 => format!("dnsFailure: {{service: {}}}", names.called),
        12 => "databaseLoss: {}".to_owned(),
        13 => format!("connectionsTaken: {{connections: {}}}", 1 + chance.below(10, 200)),
        14 => format!("backup: {{cpu: {}m}}", 100 + chance.below(11, 3_000)),
        15 => "restore: {}".to_owned(),
        16 => "diskFull: {}".to_owned(),
        17 => format!("reset: {{from: gateway, to: {}, share: {} %}}", names.behind.0, 1 + chance.below(9, 99)),
        18 => format!(
            "packetLoss: {{from: {}, to: {}, share: {} %}}",
            names.caller,
            names.called,
            1 + chance.below(9, 60)
        ),
        19 => format!("quota: {{pods: {}}}", 1 + chance.below(12, 60)),
        _ => "redisLoss: {}".to_owned(),
    };
    let undone = !matches!(kind, 0 | 5 | 9);
    let lasts = if undone { format!(", lasts: {lasts}s") } else { String::new() };
    format!("    - {{name: fault {kind}, at: {at}s{lasts}, {what}}}\n")
}

fn faults(seed: Seed, names: &Names, kinds: usize, within: usize) -> String {
    let mut text = String::new();
    for kind in Chance(seed).kinds(kinds) {
        text += &fault(kind, names, &Chance(seed.child_nth(kind as u64)), within);
    }
    if text.is_empty() { text } else { format!("  faults:\n{text}") }
}

/// On the whole shipped platform: its shortest scenario, at a part of its load.
pub(crate) fn shipped(seed: Seed) -> String {
    const NAMES: Names = Names {
        workloads: &[
            "auth-service",
            "user-profile-service",
            "transactions-service",
            "nginx-gateway",
            "analytics-service",
        ],
        behind: ("auth-service", "transactions-service"),
        caller: "transactions-service",
        called: "user-profile-service",
        updated: "auth-service",
        broken: "user-profile-service",
        apart: ["general-b-2", "general-a-1", "general-c-1"],
        noisy: ("general-a-3", 12),
    };
    let rate = 1 + Chance(seed).below(9, 8);
    let shipped = scenarios::find("smoke").unwrap().text;
    shipped
        .replace("{warm-up: 6/s, step: 24/s, probe: 24/s}", &format!("{{step: {rate}/s, probe: {rate}/s}}"))
        .replace("  load:\n", &format!("{}  load:\n", faults(seed, &NAMES, 21, 30)))
}

/// On the small platform: any load.
pub(crate) fn small(seed: Seed) -> String {
    const NAMES: Names = Names {
        workloads: &["gateway", "orders", "stock"],
        behind: ("orders", "stock"),
        caller: "orders",
        called: "stock",
        updated: "orders",
        broken: "stock",
        apart: ["a-2", "b-1", "b-2"],
        noisy: ("a-1", 1),
    };
    let chance = Chance(seed);
    let rate = |nth| [1, 3, 8, 20, 45][chance.below(nth, 5)];
    let shape = match chance.below(20, 4) {
        0 => format!("{}/s to {}/s", rate(21), rate(22)),
        1 => format!("{}/s, {}/s", rate(21), rate(22)),
        2 => format!("{}/s spike {}/s at 4s for 3s", rate(21), rate(22) + 20),
        _ => format!("{}/s", rate(21)),
    };
    let law = chance.pick(23, &["poisson", "even"]);
    let retry = match chance.below(24, 3) {
        0 => {
            "\n      retry: {attempts: 3, on: [5xx, timeout, refused, gateway], backoff: 200ms, factor: 2, max: 1s, jitter: true}"
        }
        _ => "",
    };
    let (clients, timeout) = (1 + chance.below(25, 40), 1 + chance.below(26, 8));
    let mut text = format!(
        "apiVersion: rehearse/v1\nkind: Scenario\nmetadata: {{name: drawn, question: Does everything hold?}}\nspec:\n  \
         host: shop.test\n  timeout: {timeout}s\n  phases: [{{name: all, kind: steady, duration: 20s}}]\n  journeys:\n    \
         buy:\n      flow: shop\n      think: {}\n      steps:\n        - {{name: order, request: POST /orders/, times: {}}}\n        \
         - {{name: look up, request: GET /orders/7}}\n    look: {{flow: shop, steps: [{{name: look, request: GET /stock/a}}]}}\n\
         {}  load:\n    - mix: {{buy: 60 %, look: 40 %}}\n      arrivals: {law}\n      clients: {clients}\n      rate: {{all: '{shape}'}}{retry}\n",
        chance.pick(27, &["100ms", "1s to 3s", "exponential 500ms"]),
        1 + chance.below(28, 3),
        faults(seed, &NAMES, 12, 12),
    );
    if chance.below(29, 5) == 0 {
        let users = 1 + chance.below(30, 30);
        write!(text, "    - journey: look\n      users: {{all: 0 to {users}}}\n      think: exponential 300ms\n")
            .unwrap();
    }
    text
}
