//! `rehearse init`: makes any tree ready to rehearse. Writes a project, what its services are assumed to cost, and a
//! scenario over every route that was found, and says what it could not know.

mod smoke;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use manifests::Source;
use model::Profile;
use platform::{Node, Platform};
use record::ExitCode;
use scenarios::{Plan, ResolveError, Scenario};
use units::Seed;

use crate::failure::Failure;
use crate::{project, told};
use smoke::{Routes, quoted};

/// Of `init`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct InitArgs {
    /// A kustomization, a directory of manifests, a rendered file, or `git:REV[:PATH]`
    #[arg(long, value_name = "SRC")]
    platform: String,
    /// Which overlay of the platform
    #[arg(long, value_name = "NAME", default_value = "production")]
    overlay: String,
    /// The nodes that pods are scheduled to; the built-in ones if left out
    #[arg(long, value_name = "FILE")]
    nodes: Option<PathBuf>,
    /// Where the project goes
    #[arg(long, value_name = "DIR", default_value = ".")]
    dir: PathBuf,
    /// Write over files that are there
    #[arg(long)]
    force: bool,
}

/// Items of one kind that are told; the others are counted.
const TOLD_MAX: usize = 12;

/// Writes a project for a platform.
pub(crate) fn init(args: &InitArgs) -> Result<ExitCode, Failure> {
    if args.platform == "-" {
        return Err(Failure::usage("standard input cannot be read again: write the manifests to a file first"));
    }
    let (loaded, errors) = manifests::load_all(&Source::parse(&args.platform), &args.overlay);
    if !errors.is_empty() {
        return Err(Failure::of_manifests(&loaded, &errors));
    }
    let mut platform = loaded.platform;
    let way_in = manifests::way_in(&mut platform).map_err(|error| Failure::new(ExitCode::Manifests, &error))?;
    let nodes = manifests::load_nodes(args.nodes.as_deref())?;
    let profiles = profiles(&platform)?;
    let (scenario, routes) = scenario(&platform, &nodes, &profiles)?;
    let mut files: Vec<(PathBuf, String)> =
        vec![(project::FILE.into(), project_file(args, &loaded.overlay, &profiles)?)];
    files.extend(profiles.values().map(|profile| (profile_path(&profile.workload), profile.to_yaml())));
    files.push(("scenarios/smoke.yaml".into(), scenario));
    write(&args.dir, &files, args.force)?;
    let made = way_in.map(|way_in| format!("{}: a stand-in: {}\n", way_in.what, way_in.how)).unwrap_or_default();
    told::out(&(wrote(args, &profiles, &routes) + &made + &missing(&routes, &platform)));
    let there = if args.dir == Path::new(".") { String::new() } else { format!("cd {} && ", args.dir.display()) };
    told::out(&format!("next: {there}rehearse run smoke\n"));
    Ok(ExitCode::Pass)
}

/// A generic profile for everything that serves HTTP, and for what bears the name of a service that a shipped profile
/// describes, for that is another service.
fn profiles(platform: &Platform) -> Result<BTreeMap<String, Profile>, Failure> {
    let shipped = model::shipped()?;
    let gateway = platform.gateway.as_ref().map(|gateway| gateway.workload);
    let wanted = |id: &platform::WorkloadId| {
        let name = &platform.workload(*id).name;
        Some(*id) != gateway
            && !name.contains('/')
            && (manifests::serves_http(platform, *id) || shipped.contains_key(name))
    };
    let one = |id| (platform.workload(id).name.clone(), scenarios::generic_profile(platform.workload(id)));
    // Of two workloads with one name the first has it.
    let all: Vec<_> = platform.workload_ids().filter(wanted).map(one).collect();
    Ok(all.into_iter().rev().collect())
}

fn profile_path(workload: &str) -> PathBuf {
    Path::new("profiles").join(format!("{workload}.yaml"))
}

/// A scenario that the platform can play: steps that cannot be routed are taken out and told.
fn scenario(
    platform: &Platform,
    nodes: &[Node],
    profiles: &BTreeMap<String, Profile>,
) -> Result<(String, Routes), Failure> {
    let gateway = platform.gateway.as_ref().ok_or(ResolveError::NoGateway)?;
    let port = platform.service(gateway.service).ports.first().and_then(|port| {
        platform.workload(gateway.workload).containers.iter().find_map(|container| container.port(&port.target))
    });
    let mut routes = smoke::routes(platform, gateway, port.ok_or(ResolveError::NoGateway)?);
    let whole = Arc::new(platform.clone());
    let mut all = model::shipped()?;
    all.extend(profiles.clone());
    loop {
        if routes.all.is_empty() {
            let why = routes.left_out.join("\n  ");
            return Err(Failure::usage(format!("no route of the gateway leads to a service:\n  {why}")));
        }
        let (text, lines) = smoke::scenario(&routes.all);
        let resolved = Scenario::parse(&text, "smoke.yaml")
            .map_err(ResolveError::from)
            .and_then(|scenario| Plan::resolve(&scenario, Arc::clone(&whole), nodes.to_vec(), &all, Seed::default()));
        let error = match resolved {
            Ok(_) => return Ok((text, routes)),
            Err(ResolveError::Scenario(error)) => error,
            Err(error) => return Err(error.into()),
        };
        let refused: BTreeMap<usize, String> =
            error.problems.iter().map(|problem| (problem.place.line as usize, problem.what.clone())).collect();
        let is_refused = |index: usize| refused.contains_key(&lines[index]);
        if !(0..lines.len()).any(is_refused) {
            return Err(error.into());
        }
        routes.left_out.extend(lines.iter().filter_map(|line| refused.get(line).cloned()));
        let mut index = 0..lines.len();
        routes.all.retain(|_| index.next().is_some_and(|index| !is_refused(index)));
    }
}

fn project_file(args: &InitArgs, overlay: &str, profiles: &BTreeMap<String, Profile>) -> Result<String, Failure> {
    let from_there = |path: &str| -> Result<String, Failure> {
        if args.dir == Path::new(".") || path.starts_with("git:") {
            return Ok(path.to_owned());
        }
        let whole = fs::canonicalize(path).map_err(|error| Failure::usage(format!("cannot find {path}: {error}")))?;
        Ok(whole.display().to_string())
    };
    let mut text = "# What is rehearsed here. Flags beat it; every key but the first two may be left out.\n\
                    apiVersion: rehearse/v1\nkind: Project\n"
        .to_owned();
    writeln!(text, "platform: {}", quoted(&from_there(&args.platform)?)).ok();
    writeln!(text, "scenario: smoke").ok();
    if !overlay.is_empty() {
        writeln!(text, "overlay: {}", quoted(overlay)).ok();
    }
    if let Some(nodes) = &args.nodes {
        writeln!(text, "nodes: {}", quoted(&from_there(&nodes.display().to_string())?)).ok();
    }
    if !profiles.is_empty() {
        text += "profiles: profiles/\n";
    }
    text += "scenarios: scenarios/\n\
             # deny and allow name rules (`rehearse explain` lists them); accepted: {id, subject, reason}. Nobody has\n\
             # gone through the findings yet, so errors among them are told; with `refuse` they end a run before it begins.\n\
             lint: {deny: [], allow: [], accepted: [], errors: tell}\n\
             # Secrets and ConfigMaps that come from elsewhere: {kind, namespace, name}\nprovided: []\n";
    Ok(text)
}

/// All files, or none if one is there already.
pub(crate) fn write(folder: &Path, files: &[(PathBuf, String)], force: bool) -> Result<(), Failure> {
    let there: Vec<_> = files.iter().map(|(file, _)| within(folder, file)).filter(|file| file.exists()).collect();
    if !there.is_empty() && !force {
        let names: Vec<_> = there.iter().map(|file| file.display().to_string()).collect();
        let text =
            format!("nothing was written: {} is there already; give --force to write over it", told_list(&names));
        return Err(Failure::usage(text));
    }
    for (file, text) in files {
        let file = within(folder, file);
        let parent = file.parent().filter(|parent| *parent != Path::new(""));
        parent
            .map_or(Ok(()), fs::create_dir_all)
            .and_then(|()| fs::write(&file, text))
            .map_err(|error| Failure::usage(format!("cannot write {}: {error}", file.display())))?;
    }
    Ok(())
}

/// A path as one would type it.
fn within(folder: &Path, file: &Path) -> PathBuf {
    if folder == Path::new(".") { file.to_owned() } else { folder.join(file) }
}

fn wrote(args: &InitArgs, profiles: &BTreeMap<String, Profile>, routes: &Routes) -> String {
    let at = |file: &str| within(&args.dir, Path::new(file)).display().to_string();
    let services: BTreeSet<_> = routes.all.iter().map(|route| route.service.as_str()).collect();
    let names: Vec<_> = profiles.keys().cloned().collect();
    format!(
        "wrote {}\nwrote {} for {}: assumed from CPU and memory requests, with no calls between services\n\
         wrote {}: {} to {}, at assumed rates\n",
        at(project::FILE),
        at("profiles/"),
        told_list(&names),
        at("scenarios/smoke.yaml"),
        count(routes.all.len(), "route"),
        count(services.len(), "service")
    )
}

/// What the project does not rehearse.
fn missing(routes: &Routes, platform: &Platform) -> String {
    let mut text = String::new();
    let others: Vec<String> = platform.not_rehearsed.iter().map(|(what, place)| format!("{what}, {place}")).collect();
    let silent = silent(platform);
    let kinds = [
        ("without a step", &routes.left_out),
        ("stood up and not asked, since they do not speak HTTP", &silent),
        ("not rehearsed", &others),
    ];
    for (head, items) in kinds {
        if items.is_empty() {
            continue;
        }
        writeln!(text, "{head}: {}", items.len()).ok();
        for item in items.iter().take(TOLD_MAX) {
            writeln!(text, "  {item}").ok();
        }
        if let Some(left) = items.len().checked_sub(TOLD_MAX).filter(|left| *left > 0) {
            writeln!(text, "  and {left} more").ok();
        }
    }
    text
}

/// Services that lead to pods which do not speak HTTP: each with how its first port is called.
fn silent(platform: &Platform) -> Vec<String> {
    let one = |service: &platform::Service| {
        let mut pods = platform.selected_by(service).peekable();
        pods.peek()?;
        if pods.any(|id| manifests::serves_http(platform, id)) {
            return None;
        }
        let port = service.ports.first()?;
        let name = port.name.as_ref().map_or(String::new(), |name| format!(" ({name})"));
        Some(format!("Service/{} on port {}{name}", service.name, port.port))
    };
    platform.services.iter().filter_map(one).collect()
}

fn told_list(names: &[String]) -> String {
    match names.len().checked_sub(TOLD_MAX).filter(|left| *left > 0) {
        Some(left) => format!("{} and {left} more", names[..TOLD_MAX].join(", ")),
        None => names.join(", "),
    }
}

fn count(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}
