//! The rewrite phase: `if`, `rewrite`, `set`, `break` and `return`.

use platform::{Action, Condition, Place, RewriteFlag, RewriteStep, Template};

use super::tree::Directive;
use super::{NginxError, Reader};

/// The steps of a rewrite phase, and the plain `return` that ends them, with its place.
type Phase = (Vec<RewriteStep>, Option<(Action, Place)>);

/// The steps of a block, and the plain `return` that ends them. Where a `break` may come before the `return`, it is
/// one of the steps.
pub(super) fn phase(reader: &mut Reader<'_>, block: &[Directive]) -> Result<Phase, NginxError> {
    // Variables are known by name whatever the order, as nginx declares them.
    declare(reader, block);
    let mut steps = Vec::new();
    for directive in block {
        if directive.name == "return" && directive.block.is_none() && !may_break(&steps) {
            let (status, text) = answer(reader, directive)?;
            let action = Action::Return { status, body: text.text };
            return Ok((steps, Some((action, reader.place(directive)))));
        }
        if let Some(step) = step(reader, directive)? {
            steps.push(step);
        }
    }
    Ok((steps, None))
}

fn declare(reader: &mut Reader<'_>, block: &[Directive]) {
    for directive in block {
        if let ("set", [name, _]) = (directive.name.as_str(), directive.args.as_slice()) {
            reader.named.extend(name.strip_prefix('$').map(str::to_owned));
        }
        if let ("if", Some(inner)) = (directive.name.as_str(), &directive.block) {
            declare(reader, inner);
        }
    }
}

fn may_break(steps: &[RewriteStep]) -> bool {
    steps.iter().any(|step| match step {
        RewriteStep::Break | RewriteStep::Rewrite { .. } => true,
        RewriteStep::If { then, .. } => may_break(then),
        RewriteStep::Set { .. } | RewriteStep::Return { .. } => false,
    })
}

/// `None` for a directive of another phase.
fn step(reader: &mut Reader<'_>, directive: &Directive) -> Result<Option<RewriteStep>, NginxError> {
    Ok(Some(match (directive.name.as_str(), &directive.block) {
        ("return", None) => {
            let (status, text) = answer(reader, directive)?;
            RewriteStep::Return { status, text }
        }
        ("break", None) => RewriteStep::Break,
        ("set", None) => {
            let [name, value] = directive.args.as_slice() else {
                return Err(reader.refused(directive, "takes a variable and a value", "write set $name value"));
            };
            let Some(name) = name.strip_prefix('$').filter(|name| !name.is_empty()) else {
                return Err(reader.refused(directive, &format!("`{name}` is no variable"), "write set $name value"));
            };
            let value = reader.template(directive, value)?;
            reader.constants.retain(|(known, _)| known != name);
            if let Some(value) = value.as_constant() {
                reader.constants.push((name.to_owned(), value.to_owned()));
            }
            RewriteStep::Set { variable: name.to_owned(), value }
        }
        ("rewrite", None) => rewrite(reader, directive)?,
        ("if", Some(inner)) => {
            let condition = condition(reader, directive)?;
            let mut then = Vec::new();
            for inner in inner {
                match step(reader, inner)? {
                    Some(step) => then.push(step),
                    None => reader.leave(inner),
                }
            }
            // What is set only sometimes is no constant.
            let set = |name: &str| {
                then.iter().any(|step| matches!(step, RewriteStep::Set { variable, .. } if variable == name))
            };
            reader.constants.retain(|(name, _)| !set(name));
            RewriteStep::If { condition, then }
        }
        _ => return Ok(None),
    }))
}

/// `return STATUS [TEXT]`, or `return URL`, which is a 302.
pub(super) fn answer(reader: &mut Reader<'_>, directive: &Directive) -> Result<(u16, Template), NginxError> {
    let url = |text: &str| ["http://", "https://", "$scheme"].iter().any(|start| text.starts_with(start));
    let (status, text) = match directive.args.as_slice() {
        [text] if url(text) => (302, text.clone()),
        [status] => (reader.number(directive, status, 0)?, String::new()),
        [status, text] => (reader.number(directive, status, 0)?, text.clone()),
        _ => return Err(reader.refused(directive, "takes a status and a text", "write e.g. return 200 \"ok\"")),
    };
    let status = u16::try_from(status)
        .ok()
        .filter(|status| *status <= 999)
        .ok_or_else(|| reader.refused(directive, &format!("{status} is no status"), "write 100 to 999"))?;
    Ok((status, reader.template(directive, &text)?))
}

fn rewrite(reader: &mut Reader<'_>, directive: &Directive) -> Result<RewriteStep, NginxError> {
    let (pattern, replacement, flag) = match directive.args.as_slice() {
        [pattern, replacement] => (pattern, replacement, ""),
        [pattern, replacement, flag] => (pattern, replacement, flag.as_str()),
        _ => {
            let fix = "write rewrite PATTERN REPLACEMENT [last|break|redirect|permanent]";
            return Err(reader.refused(directive, "takes a pattern and a replacement", fix));
        }
    };
    let absolute = ["http://", "https://", "$scheme"].iter().any(|start| replacement.starts_with(start));
    let then = match flag {
        "permanent" => RewriteFlag::Permanent,
        "redirect" => RewriteFlag::Redirect,
        _ if absolute => RewriteFlag::Redirect,
        "" => RewriteFlag::Next,
        "last" => RewriteFlag::Last,
        "break" => RewriteFlag::Break,
        other => {
            let fix = "write last, break, redirect or permanent";
            return Err(reader.refused(directive, &format!("has no flag `{other}`"), fix));
        }
    };
    let pattern = reader.pattern(directive, pattern, false)?;
    Ok(RewriteStep::Rewrite { pattern, replacement: reader.template(directive, replacement)?, then })
}

/// What stands between the parentheses of an `if`, in however many words.
fn condition(reader: &mut Reader<'_>, directive: &Directive) -> Result<Condition, NginxError> {
    let refuse = |reader: &Reader<'_>| {
        let fix = "write if ($variable), if ($a = b), if ($a ~ pattern) or if (-f file)";
        reader.refused(directive, "is no condition", fix)
    };
    let mut words: Vec<String> = directive.args.clone();
    let Some(first) = words.first_mut().filter(|word| word.starts_with('(')) else { return Err(refuse(reader)) };
    first.remove(0);
    let Some(last) = words.last_mut().filter(|word| word.ends_with(')')) else { return Err(refuse(reader)) };
    last.pop();
    words.retain(|word| !word.is_empty());
    let word = |reader: &mut Reader<'_>, text: &str| reader.template(directive, text);
    match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [variable] if variable.starts_with('$') => Ok(Condition::True(word(reader, variable)?)),
        [test, _] if matches!(*test, "-f" | "-d" | "-e" | "-x") => Ok(Condition::File { not: false }),
        [test, _] if matches!(*test, "!-f" | "!-d" | "!-e" | "!-x") => Ok(Condition::File { not: true }),
        // An empty right side loses its quotes and thereby its word.
        [left, operator @ ("=" | "!=")] => {
            let left = word(reader, left)?;
            Ok(Condition::Equals { left, right: Template::default(), not: *operator == "!=" })
        }
        [left, operator @ ("=" | "!="), right @ ..] => {
            let (left, right) = (word(reader, left)?, word(reader, &right.join(" "))?);
            Ok(Condition::Equals { left, right, not: *operator == "!=" })
        }
        [subject, operator @ ("~" | "~*" | "!~" | "!~*"), pattern @ ..] => {
            let subject = word(reader, subject)?;
            let pattern = reader.pattern(directive, &pattern.join(" "), operator.ends_with('*'))?;
            Ok(Condition::Matches { subject, pattern, not: operator.starts_with('!') })
        }
        _ => Err(refuse(reader)),
    }
}
