//! `schema`: the published schemas of the files that people write and that other programs read.

use std::fmt::Write;

use record::ExitCode;
use serde_json::Value;

use crate::failure::Failure;
use crate::told;

/// A published schema.
struct Published {
    name: &'static str,
    what: &'static str,
    schema: fn() -> Value,
}

const PUBLISHED: [Published; 4] = [
    Published { name: "scenario", what: "a scenario file: load, faults, expectations", schema: scenarios::schema },
    Published {
        name: "gateway-requests",
        what: "a line of `rehearse gateway --requests`",
        schema: crate::gateway::schema,
    },
    Published { name: "result", what: "result.json of a run folder: verdicts, phases, faults", schema: record::schema },
    Published { name: "hpa-series", what: "a line of `rehearse hpa --series`", schema: crate::hpa::schema },
];

/// `rehearse schema [NAME]`.
pub(crate) fn schema(name: Option<&str>) -> Result<ExitCode, Failure> {
    let Some(name) = name else {
        let mut list = String::new();
        for published in &PUBLISHED {
            writeln!(list, "{:<16} {}", published.name, published.what).map_err(|error| Failure::internal(&error))?;
        }
        told::out(&list);
        return Ok(ExitCode::Pass);
    };
    let Some(published) = PUBLISHED.iter().find(|published| published.name == name) else {
        let known: Vec<_> = PUBLISHED.iter().map(|published| published.name).collect();
        return Err(Failure::usage(format!("there is no schema `{name}`: there are {}", known.join(", "))));
    };
    let text = serde_json::to_string_pretty(&(published.schema)()).map_err(|error| Failure::internal(&error))?;
    told::out(&format!("{text}\n"));
    Ok(ExitCode::Pass)
}
