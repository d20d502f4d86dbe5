//! What kustomize says, in words, with the files and lines that it leaves out.
//!
//! Its messages are those of kustomize 5 (`api/resmap`, `api/internal/target`, `api/internal/accumulator`). What is not
//! known here is told as it came.

use platform::Place;

use super::tree::Tree;

/// The message without the log line that kubectl wraps around it.
pub(super) fn message(stderr: &str) -> String {
    let Some((before, quoted)) = stderr.split_once("\"command failed\" err=") else {
        return stderr.trim_start_matches("Error: ").trim().to_owned();
    };
    let inner = if let Some(block) = quoted.strip_prefix('<') {
        block.trim_end().trim_end_matches('>').trim().to_owned()
    } else {
        let quoted = quoted.trim();
        // The text's own last quote is escaped, so exactly one is the log's.
        let inner = quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(quoted);
        inner.replace("\\\"", "\"").replace("\\n", "\n")
    };
    // Warnings stand above the log line.
    let warnings = before.lines().filter(|line| line.starts_with("# ")).collect::<Vec<_>>().join("\n");
    if warnings.is_empty() { inner } else { format!("{inner}\n{warnings}") }
}

/// The same in words, if it is one of the known messages.
pub(super) fn explain(message: &str, tree: &Tree) -> Option<String> {
    let first = |marks: &[&str]| marks.iter().any(|mark| message.contains(mark));
    if let Some(id) = after(message, "already registered id: ") {
        return Some(duplicate(&Id::read(id), tree));
    }
    if first(&["namespace transformation produces ID conflict"]) {
        return Some(namespaces(message, tree));
    }
    if let Some(id) = after(message, "no matches for Id ") {
        return Some(missed(&Id::read(id), tree));
    }
    if first(&["cannot merge or replace", "behavior must be merge or replace"]) {
        return Some(generator(message, tree));
    }
    if first(&["security; file"]) {
        let file = after(message, "security; file '").and_then(|rest| rest.split('\'').next()).unwrap_or("a file");
        return Some(format!(
            "{file} is outside of the directory of the kustomization that names it, and kustomize reads no such file \
             unless it is told --load-restrictor LoadRestrictionsNone: move the file below, or make its directory a \
             kustomization and name that, or build it yourself and give the output with --platform -"
        ));
    }
    if first(&["must specify --enable-helm"]) {
        return Some(
            "the kustomization inflates a Helm chart, which needs helm and maybe a network: build it yourself \
             (kustomize build --enable-helm DIR) and give the output with --platform -"
                .to_owned(),
        );
    }
    if first(&["git fetch", "no such host", "Could not resolve host", "dial tcp", "hasn't been reachable"]) {
        let remote: Vec<_> = tree.kustomizations.iter().flat_map(|one| &one.remote).collect();
        let named = remote.iter().map(|(url, place)| format!("{url} ({place})")).collect::<Vec<_>>().join(", ");
        let what = if named.is_empty() { "something remote".to_owned() } else { named };
        return Some(format!(
            "the kustomization fetches {what}, and the network did not give it: try again with a network, or keep a \
             copy in the tree and name that"
        ));
    }
    if let Some(field) = after(message, "unknown field \"").and_then(|rest| rest.split('"').next()) {
        let place =
            tree.kustomizations.iter().find(|one| one.document.has(field)).map(|one| one.document.place_of(field));
        let place = place.map(|place| format!("{place}: ")).unwrap_or_default();
        return Some(format!("{place}a kustomization has no field `{field}`: correct its name or remove it"));
    }
    if first(&["cycle detected"]) {
        return Some(
            "a kustomization is made of itself: remove one of the `resources` that lead back to it".to_owned(),
        );
    }
    if first(&["unable to find one of 'kustomization.yaml'"]) {
        let directory =
            after(message, "in directory '").and_then(|rest| rest.split('\'').next()).unwrap_or("a directory");
        let (who, _) = entry(tree, directory.rsplit('/').next().unwrap_or_default());
        return Some(format!(
            "{who}names the directory {directory}, which has no kustomization.yaml: write one there, or name its files"
        ));
    }
    if first(&["MalformedYAMLError"]) {
        return malformed(message, tree);
    }
    if first(&["operation does not apply"]) {
        let path = after(message, "is missing path: ").or(after(message, "is missing key: "));
        let path = path.and_then(|rest| rest.split([':', ' ']).next()).unwrap_or("its path");
        let place = json_patch(tree, path).map(|place| format!("{place}: ")).unwrap_or_default();
        return Some(format!(
            "{place}a JSON patch changes {path}, which its target does not have: correct the path, or `add` what is above it"
        ));
    }
    if first(&["no such file or directory"]) {
        // Of a chain of kustomizations the last one knows: the others only say that they could not go on.
        let last = message.rsplit_once("lstat ").or_else(|| message.rsplit_once("open "));
        let file = last.and_then(|(_, rest)| rest.split(": no such file").next()).filter(|file| !file.contains('\''));
        let quoted = after(message, "from path(").and_then(|rest| rest.split(')').next());
        let named = || after(message, "resources from '").and_then(|rest| rest.split('\'').next());
        let file = file.or(quoted).or_else(named)?;
        let (who, file) = entry(tree, file);
        return Some(format!("{who}names {file}, which does not exist: correct the path or write the file"));
    }
    None
}

/// The first `FILE:LINE` that a text names.
pub(super) fn first_place(text: &str) -> Option<Place> {
    let place = |word: &str| {
        let (file, line) = word.trim_matches(['(', ')', ':', ',', ';']).rsplit_once(':')?;
        let line = line.parse::<u32>().ok().filter(|line| *line > 0)?;
        file.contains('.').then(|| Place { file: file.to_owned(), line })
    };
    text.split_whitespace().find_map(place)
}

fn after<'a>(text: &'a str, mark: &str) -> Option<&'a str> {
    text.split_once(mark).map(|(_, rest)| rest)
}

/// kustomize's way to name an object: `Deployment.v1.apps/name.namespace`.
struct Id {
    kind: String,
    name: String,
}

impl Id {
    fn read(text: &str) -> Self {
        let text = text.split(['\'', '"', ';', ' ', '\n']).next().unwrap_or_default();
        let (kind, name) = text.split_once('/').unwrap_or((text, ""));
        let name = name.rsplit_once('.').map_or(name, |(name, _)| name);
        Self { kind: kind.split('.').next().unwrap_or_default().to_owned(), name: name.to_owned() }
    }
}

/// Everything of this kind and name among the source files of the tree; an empty name is any.
fn declared(tree: &Tree, kind: &str, name: &str) -> Vec<(String, Place)> {
    let resources = tree.kustomizations.iter().flat_map(|one| &one.resources);
    let documents = resources.flat_map(super::tree::Resource::documents);
    let named = documents.filter(|document| document.text("kind") == Some(kind));
    let named = named.filter_map(|document| Some((document.text("metadata.name")?.to_owned(), document.place())));
    let mut all: Vec<_> = named.filter(|(known, _)| name.is_empty() || known == name).collect();
    all.dedup();
    all
}

fn listed(places: &[(String, Place)]) -> String {
    places.iter().map(|(_, place)| place.to_string()).collect::<Vec<_>>().join(" and at ")
}

fn duplicate(id: &Id, tree: &Tree) -> String {
    let places = declared(tree, &id.kind, &id.name);
    match places.as_slice() {
        [] => format!("{}/{} is declared twice: remove one of the two", id.kind, id.name),
        [(_, place)] => format!(
            "{}/{} at {place} comes in twice: two kustomizations name the same file or base; remove one of them",
            id.kind, id.name
        ),
        _ => format!("{}/{} is declared at {}: remove one of them", id.kind, id.name, listed(&places)),
    }
}

fn namespaces(message: &str, tree: &Tree) -> String {
    // The conflict is told as the objects in JSON.
    let text = |key: &str| {
        let quoted = after(message, &format!("\"{key}\":\""))?;
        quoted.split('"').next().map(str::to_owned)
    };
    let kind = text("kind").unwrap_or_default();
    let name = text("internal.config.kubernetes.io/previousNames").or_else(|| text("name")).unwrap_or_default();
    let places = declared(tree, &kind, &name);
    let by = tree.kustomizations.iter().find(|one| one.document.has("namespace"));
    let by = by.map(|one| format!(" ({})", one.document.place_of("namespace"))).unwrap_or_default();
    format!(
        "`namespace`{by} moves objects of different namespaces into one, where {kind}/{name} (declared at {}) would be \
         there twice: rename one of them, or give each namespace a kustomization of its own",
        listed(&places)
    )
}

fn missed(id: &Id, tree: &Tree) -> String {
    let patches = || tree.kustomizations.iter().flat_map(|one| &one.patches);
    let is = |document: &crate::Document| {
        document.text("kind") == Some(&id.kind) && document.text("metadata.name") == Some(&id.name)
    };
    let patch = patches().flat_map(|patch| &patch.documents).find(|document| is(document));
    let place = patch.map(|document| format!("{}: ", document.place())).unwrap_or_default();
    let known = declared(tree, &id.kind, "");
    let names: Vec<_> = known.iter().map(|(name, _)| name.as_str()).collect();
    let hint = if names.is_empty() {
        format!("there is no {} in this tree", id.kind)
    } else {
        format!("write the name of one that is there ({})", names.join(", "))
    };
    format!("{place}the patch of {}/{} hits nothing: {hint}, or remove the patch", id.kind, id.name)
}

fn generator(message: &str, tree: &Tree) -> String {
    let text = |key: &str| after(message, &format!("{key}:\"")).and_then(|rest| rest.split('"').next());
    let (kind, name) = (text("Kind").unwrap_or("ConfigMap"), text("Name").unwrap_or_default());
    let generators = tree.kustomizations.iter().flat_map(|one| &one.generators);
    let named: Vec<_> = generators.filter(|generator| generator.kind == kind && generator.name == name).collect();
    if message.contains("cannot merge or replace") {
        let place = named.iter().find(|generator| generator.behavior != "create");
        let (place, behavior) = place.map_or((String::new(), "merge or replace"), |generator| {
            (format!("{}: ", generator.place), generator.behavior.as_str())
        });
        return format!(
            "{place}the generator of {kind}/{name} has `behavior: {behavior}`, and there is no {kind} of that name from \
             another generator to {behavior}: correct the name, or write `behavior: create`"
        );
    }
    let places: Vec<_> = named.iter().map(|generator| (String::new(), generator.place.clone())).collect();
    format!(
        "{kind}/{name} is generated twice, at {}: write `behavior: merge` or `replace` in the later one, or rename it",
        listed(&places)
    )
}

fn malformed(message: &str, tree: &Tree) -> Option<String> {
    let file = after(message, "in File: ").map(|rest| rest.split(['\'', ' ', '\n']).next().unwrap_or_default())?;
    let problem = after(message, "MalformedYAMLError: ").and_then(|rest| rest.split(" in File").next())?;
    let full = tree.kustomizations.iter().flat_map(|one| &one.resources).find(|known| known.file.ends_with(file));
    let file = full.map_or(file, |known| known.file.as_str());
    Some(format!("{file} is no YAML: {problem}; correct it"))
}

/// Who names a file or directory, as the beginning of a sentence, and how.
fn entry(tree: &Tree, file: &str) -> (String, String) {
    // The tool tells the whole path, the kustomization one that is relative to it.
    let means = |text: &str| {
        let text = text.rsplit_once('=').map_or(text, |(_, path)| path).trim_end_matches('/');
        let below = text.trim_start_matches("./").trim_start_matches("../").trim_start_matches("../");
        !below.is_empty() && (text.ends_with(file) || file == below || file.ends_with(&format!("/{below}")))
    };
    for one in &tree.kustomizations {
        let mut paths = Vec::new();
        for list in ["resources", "bases", "components", "patches", "patchesStrategicMerge"] {
            let indices = 0..one.document.len_of(list);
            paths.extend(indices.flat_map(|index| [format!("{list}[{index}]"), format!("{list}[{index}].path")]));
        }
        for list in ["configMapGenerator", "secretGenerator"] {
            for index in 0..one.document.len_of(list) {
                let files = format!("{list}[{index}].files");
                paths.extend((0..one.document.len_of(&files)).map(|file| format!("{files}[{file}]")));
            }
        }
        let written = |path: &String| Some((format!("{} ", one.document.place_of(path)), one.document.text(path)?));
        if let Some((who, text)) = paths.iter().filter_map(written).find(|(_, text)| means(text)) {
            return (who, text.to_owned());
        }
    }
    ("the kustomization ".to_owned(), file.to_owned())
}

/// The JSON patch that has an operation on this path.
fn json_patch(tree: &Tree, path: &str) -> Option<Place> {
    let patches = tree.kustomizations.iter().flat_map(|one| &one.patches);
    patches.flat_map(|patch| &patch.documents).find_map(|document| {
        let operations = document.root().elements();
        let index = operations.iter().position(|operation| operation.text_at(&["path"]) == Some(path))?;
        Some(document.place_of(&format!("[{index}]")))
    })
}
