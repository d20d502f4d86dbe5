//! The objects of a run in a cluster that was there before: never one of somebody else's, and none left.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use serde_json::json;

use crate::KubeError;
use crate::apply::RUN_LABEL;
use crate::rest::{Answer, Rest, refusal};

/// Requests under way at once.
const AT_ONCE: usize = 8;
/// How often it is looked whether what was deleted has gone.
pub(crate) const LOOK: Duration = Duration::from_millis(500);
const LOOKS: u32 = 360;
/// How often an API server is asked that does not answer.
const TRIES: u32 = 6;

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

/// Of the objects at these paths those that are there and carry the run's id, the last first. What somebody else has
/// changed so that it does not carry the id any more is theirs.
pub(crate) async fn there(rest: &Rest, run: &str, paths: &[String]) -> Result<Vec<Thing>, KubeError> {
    let looks = stream::iter(paths.iter().rev()).map(|path| async move {
        let found = match patiently(rest, path).await {
            Ok(found) => found,
            Err(error) if is_gone(&error) => return Ok(None),
            Err(error) => return Err(KubeError::api(format!("tell about {path}"))(error)),
        };
        let uid = found["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
        Ok((found["metadata"]["labels"][RUN_LABEL] == run).then(|| Thing { path: path.clone(), uid }))
    });
    let looks: Vec<Result<Option<Thing>, KubeError>> = looks.buffered(AT_ONCE).collect().await;
    Ok(looks.into_iter().collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
}

/// An object that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Thing {
    pub(crate) path: String,
    uid: String,
}

/// Asks again where nobody answers: that an object is gone is for the API server to say.
async fn patiently(rest: &Rest, path: &str) -> Answer {
    for _ in 1..TRIES {
        match rest.get(path).await {
            Err(error) if refusal(&error).is_none_or(|(code, _)| code >= 500) => pause().await,
            answer => return answer,
        }
    }
    rest.get(path).await
}

fn is_gone(error: &kube::Error) -> bool {
    refusal(error).is_some_and(|(code, _)| code == 404)
}

/// Deletes objects of a run in their order, and waits until they have gone.
pub(crate) async fn remove(rest: &Rest, run: &str, things: &[Thing]) -> Result<(), KubeError> {
    let deletes = stream::iter(things).map(|Thing { path, uid }| async move {
        // What an object owns goes first: pods before their Deployment.
        let options = json!({
            "kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Foreground",
            "preconditions": { "uid": uid },
        });
        match rest.delete_with(path, &options).await {
            // Another one has its name by now, or it goes already.
            Err(error) if !matches!(refusal(&error), Some((404 | 409, _))) => {
                Err(KubeError::api(format!("delete {path}"))(error))
            }
            _ => Ok(()),
        }
    });
    let deleted: Vec<Result<(), KubeError>> = deletes.buffered(AT_ONCE).collect().await;
    deleted.into_iter().collect::<Result<(), _>>()?;
    for _ in 0..LOOKS {
        let stays = stream::iter(things).map(|Thing { path, uid }| async move {
            match rest.get(path).await {
                Ok(found) => found["metadata"]["uid"] == uid.as_str(),
                Err(error) => !is_gone(&error),
            }
        });
        let stays: Vec<bool> = stays.buffered(AT_ONCE).collect().await;
        if !stays.contains(&true) {
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
