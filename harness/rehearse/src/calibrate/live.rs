//! A platform that runs, tried gently: what nobody measures under load is how long its answers take without any.
//!
//! Only GETs are sent, one after another, so nothing is written and nobody is kept waiting.

use scenarios::Plan;
use units::Nanos;

use super::http;
use super::log::{Log, Seen};

/// How a platform is tried.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct LiveArgs {
    /// How often each GET is sent
    #[arg(long, value_name = "N", default_value_t = 50, requires = "live", value_parser = clap::value_parser!(u32).range(30..=10_000))]
    pub(super) times: u32,
    /// A header of every request, such as 'Authorization: Bearer …'; may be given again
    #[arg(long = "header", value_name = "NAME: VALUE", requires = "live")]
    pub(super) headers: Vec<String>,
}

/// Between two requests: at most 20 a second, however fast the platform is.
const PAUSE: Nanos = Nanos::from_millis(50);

/// Sends, and notes what comes as an access log would.
pub(super) fn log(url: &str, args: &LiveArgs, plan: &Plan) -> Result<(Log, Vec<String>), String> {
    let steps = &plan.load.steps;
    let gets: Vec<_> = steps.iter().filter(|step| step.method == "GET").collect();
    if gets.is_empty() {
        return Err("no step of the scenario is a GET, and nothing else is sent to a live platform".into());
    }
    let asked: Vec<(&str, &str)> =
        (0..args.times).flat_map(|_| &gets).map(|s| (s.host.as_str(), s.path.as_str())).collect();
    let mut log = Log::default();
    let mut at = 0.0;
    http::gets(url, &asked, &args.headers, PAUSE, |index, answered| {
        at += (answered.took + PAUSE).as_secs_f64();
        log.seen.push(Seen {
            at,
            client: "here".into(),
            method: "GET".into(),
            target: asked[index].1.to_owned(),
            status: answered.status,
            took: answered.took,
        });
    })?;
    log.length = Nanos::from_secs_f64(at.max(1.0));
    let others = steps.len() - gets.len();
    let refused = log.seen.iter().filter(|seen| seen.status >= 400).count();
    let mut told = vec![format!("{} GETs of {} steps, one after another", log.seen.len(), gets.len())];
    if others > 0 {
        told.push(format!("{others} steps are no GETs and were not sent"));
    }
    if let Some(seen) = log.seen.iter().find(|seen| seen.status >= 400) {
        told.push(format!(
            "{refused} were refused and are not used, the first with {} for {}; what must be signed in needs --header",
            seen.status, seen.target
        ));
    }
    Ok((log, told))
}
