//! The objects of a run in a cluster that was there before: never one of somebody else's, and none left.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use serde_json::{Value, json};

use crate::KubeError;
use crate::apply::RUN_LABEL;
use crate::rest::{Rest, refusal};

/// Requests under way at once.
const AT_ONCE: usize = 8;
/// How often it is looked whether what was deleted has gone.
pub(crate) const LOOK: Duration = Duration::from_millis(500);
const LOOKS: u32 = 360;

/// The first of the objects at these paths that is there already and that this run did not make.
pub(crate) async fn foreign(rest: &Rest, run: &str, paths: &[String]) -> Result<Option<String>, KubeError> {
    let looks = stream::iter(paths).map(|path| async move {
        match rest.get(path).await {
            Ok(found) => Ok((found["metadata"]["labels"][RUN_LABEL] != run).then(|| path.clone())),
            Err(error) if refusal(&error).is_some_and(|(code, _)| code == 404) => Ok(None),
            Err(error) => Err(KubeError::api(format!("tell about {path}"))(error)),
        }
    });
    let looks: Vec<Result<Option<String>, KubeError>> = looks.buffered(AT_ONCE).collect().await;
    for look in looks {
        if let Some(path) = look? {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

/// Deletes the objects at these paths that carry the run's id, the last first, and waits until they have gone. What
/// somebody else has changed so that it does not carry the id any more stays.
pub(crate) async fn remove(rest: &Rest, run: &str, paths: &[String]) -> Result<(), KubeError> {
    let wanted = |found: &Value| found["metadata"]["labels"][RUN_LABEL] == run;
    let deletes = stream::iter(paths.iter().rev()).map(|path| async move {
        let found = rest.get(path).await.ok().filter(|found| wanted(found))?;
        let uid = found["metadata"]["uid"].as_str()?.to_owned();
        // What an object owns goes first: pods before their Deployment.
        let options = json!({
            "kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Foreground",
            "preconditions": { "uid": uid },
        });
        rest.delete_with(path, &options).await.ok()?;
        Some(path)
    });
    let deleted: Vec<&String> = deletes.buffered(AT_ONCE).filter_map(|path| async move { path }).collect().await;
    for _ in 0..LOOKS {
        let there =
            stream::iter(&deleted).map(|path| async move { rest.get(path).await.is_ok_and(|found| wanted(&found)) });
        let there: Vec<bool> = there.buffered(AT_ONCE).collect().await;
        if !there.contains(&true) {
            return Ok(());
        }
        pause().await;
    }
    Err(KubeError::Stays { run: run.to_owned(), seconds: (LOOK * LOOKS).as_secs() })
}

#[expect(clippy::disallowed_methods, reason = "a pause between two looks; nothing is measured by it")]
pub(crate) async fn pause() {
    tokio::time::sleep(LOOK).await;
}
